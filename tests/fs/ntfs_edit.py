# SPDX-License-Identifier: GPL-3.0-or-later
"""Small changes to NTFS images that no tool makes: flags, log pages, attribute lists, damage."""
import struct

from oracles import patch, peek

DATA, INFORMATION, LIST = 0x80, 0x70, 0x20


class Volume:
    """What the tests need of an image; only for files whose attributes are all in their base record."""

    def __init__(self, image):
        self.image = image
        b = peek(image, 0, 512)
        self.sector = struct.unpack_from('<H', b, 11)[0]
        self.cluster = self.sector * (b[13] if b[13] <= 128 else 1 << (256 - b[13]))
        self.total = struct.unpack_from('<Q', b, 40)[0] * self.sector
        self.clusters = self.total // self.cluster
        self.mft, self.mirror = (n * self.cluster for n in struct.unpack_from('<QQ', b, 48))
        self.record = b[64] * self.cluster if b[64] < 128 else 1 << (256 - b[64])

    def load(self, number):
        """A file record with its update sequence taken out; the first ones lie one behind the other."""
        r = bytearray(peek(self.image, self.mft + number * self.record, self.record))
        at, n = struct.unpack_from('<HH', r, 4)
        for i in range(1, n):
            r[i * 512 - 2:i * 512] = r[at + 2 * i:at + 2 * i + 2]
        return r

    def store(self, number, r, mirror=True):
        patch(self.image, self.mft + number * self.record, protect(r))
        if mirror and number < 4:
            patch(self.image, self.mirror + number * self.record, protect(r))

    def attribute(self, r, kind):
        """(start, length) in the record of the first attribute of a kind."""
        at = struct.unpack_from('<H', r, 20)[0]
        while True:
            this, length = struct.unpack_from('<II', r, at)
            if this == kind:
                return at, length
            assert this != 0xffffffff, f'no attribute {kind:#x}'
            at += length

    def runs(self, number, kind=DATA):
        """[(cluster of the volume, count)] of an attribute with runs."""
        r = self.load(number)
        at, _ = self.attribute(r, kind)
        return unpack_runs(r[at + struct.unpack_from('<H', r, at + 32)[0]:])

    def offset(self, number):
        """Where the data of a file begins, in bytes."""
        return self.runs(number)[0][0] * self.cluster

    def turn(self, number, kind, at, data):
        """Change bytes within an attribute."""
        r = self.load(number)
        start, _ = self.attribute(r, kind)
        r[start + at:start + at + len(data)] = data
        self.store(number, r)

    def set_flags(self, flags):
        self.turn(3, INFORMATION, 24 + 10, struct.pack('<H', flags))

    def set_log(self, first, second):
        """Restart pages in $LogFile: (sequence number, closed, clean flag) each, or None for noise."""
        at = self.offset(2)
        for i, page in enumerate((first, second)):
            patch(self.image, at + 4096 * i, restart_page(*page) if page else b'\xa5' * 4096)

    def split(self, number, keep, extension):
        """The data of a file in two pieces: `keep` clusters by its base record, the others by another record."""
        r = self.load(number)
        at, length = self.attribute(r, DATA)
        old = bytes(r[at:at + length])
        runs, total = unpack_runs(old[struct.unpack_from('<H', old, 32)[0]:]), 0
        head, tail = [], []
        for lcn, n in runs:
            first = max(0, min(n, keep - total))
            head += [(lcn, first)] if first else []
            tail += [(lcn + first, n - first)] if n > first else []
            total += n
        assert head and tail
        second = data_piece(keep, tail, b'\0' * 24, 0)
        first = data_piece(0, head, old[40:64], struct.unpack_from('<H', old, 14)[0])
        sequence = struct.unpack_from('<H', r, 16)[0]
        entries, walk = [], struct.unpack_from('<H', r, 20)[0]
        start = walk
        while True:
            kind, size = struct.unpack_from('<II', r, walk)
            if kind == 0xffffffff:
                break
            instance = struct.unpack_from('<H', r, walk + 14)[0]
            entries.append((kind, list_entry(kind, 0, number, sequence, instance)))
            if kind == DATA:
                entries.append((kind, list_entry(kind, keep, extension, 7, 0)))
            walk += size
        value = b''.join(e for _, e in entries)
        listed = struct.pack('<IIBBHHHIHBB', LIST, 24 + len(value), 0, 0, 24, 0, 99, len(value), 24, 0, 0) + value
        body = bytes(r[start:walk])
        data_at = at - start
        standard = struct.unpack_from('<I', body, 4)[0]  # the list goes behind $STANDARD_INFORMATION
        body = body[:standard] + listed + body[standard:data_at] + first + body[data_at + length:] + b'\xff' * 4 + b'\0' * 4
        r[start:] = body + bytes(self.record - start - len(body))
        struct.pack_into('<I', r, 24, start + len(body))
        struct.pack_into('<H', r, 40, 100)
        e = bytearray(self.load(extension))
        e[start:] = bytes(self.record - start)
        body = second + b'\xff' * 4 + b'\0' * 4
        e[start:start + len(body)] = body
        struct.pack_into('<HHHHII', e, 16, 7, 0, start, 1, start + len(body), self.record)
        struct.pack_into('<QH', e, 32, number | sequence << 48, 1)
        self.store(extension, e)
        self.store(number, r)
        # $MFT's own bitmap: the extension is in use.
        bitmap = self.runs(0, 0xb0)[0][0] * self.cluster if number else None
        if bitmap:
            byte = peek(self.image, bitmap + extension // 8, 1)[0]
            patch(self.image, bitmap + extension // 8, bytes([byte | 1 << extension % 8]))


def protect(r):
    r = bytearray(r)
    at, n = struct.unpack_from('<HH', r, 4)
    for i in range(1, n):
        r[at + 2 * i:at + 2 * i + 2] = r[i * 512 - 2:i * 512]
        r[i * 512 - 2:i * 512] = r[at:at + 2]
    return bytes(r)


def unpack_runs(p):
    runs, lcn, at = [], 0, 0
    while p[at]:
        n, d = p[at] & 15, p[at] >> 4
        lcn += int.from_bytes(p[at + 1 + n:at + 1 + n + d], 'little', signed=True)
        runs.append((lcn if d else None, int.from_bytes(p[at + 1:at + 1 + n], 'little')))
        at += 1 + n + d
    return runs


def pack_runs(runs):
    out, last = b'', 0
    for lcn, n in runs:
        out += b'\x44' + n.to_bytes(4, 'little') + (lcn - last).to_bytes(4, 'little', signed=True)
        last = lcn
    return out + b'\0'


def data_piece(vcn, runs, sizes, instance):
    pairs = pack_runs(runs)
    pairs += bytes(-len(pairs) % 8)
    end = vcn + sum(n for _, n in runs) - 1
    return struct.pack('<IIBBHHHQQHHI', DATA, 64 + len(pairs), 1, 0, 64, 0, instance, vcn, end, 64, 0, 0) + sizes + pairs


def list_entry(kind, vcn, number, sequence, instance):
    return struct.pack('<IHBBQQH', kind, 32, 0, 26, vcn, number | sequence << 48, instance) + bytes(6)


def restart_page(sequence, closed, clean):
    """A restart page as Windows writes it: one client, "NTFS"."""
    page = bytearray(4096)
    struct.pack_into('<4sHHQIIHHH', page, 0, b'RSTR', 30, 9, 0, 4096, 4096, 48, 1, 1)
    page[30:32] = b'\x05\x00'
    struct.pack_into('<QHHHHIHHQ', page, 48, sequence, 1, 0xffff if not closed else 0, 0xffff if closed else 0,
                     2 if clean else 0, 41, 160, 64, 2 << 20)
    return protect(page)
