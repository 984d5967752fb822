#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second reader of isomorph's images, written from doc/image-format.md alone.

  read_image.py check IMAGE           every sum, the tree, checkpoints, extents, chunks; prints a summary as JSON
  read_image.py stream IMAGE          the disk on standard output, through the seek table
  read_image.py tree IMAGE            root of the hash tree, the chunks not looked at
  read_image.py extents IMAGE         OFFSET LENGTH KIND, a line each
  read_image.py range IMAGE OFFSET N  bytes by a reader of zstd's seekable format that knows nothing of our frames
Exit status 1 and one line on standard error: the image is not whole.
"""
import ctypes
import ctypes.util
import hashlib
import json
import struct
import sys

OURS, SEEK = 0x184D2A59, 0x184D2A5E
F0, C, M, H, X = 1, 2, 3, 4, 5
KINDS = ['data', 'zero', 'unused', 'bad', 'skipped']
ZSTD = ctypes.CDLL(ctypes.util.find_library('zstd') or 'libzstd.so.1')
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
ZSTD.ZSTD_getFrameContentSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
ZSTD.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


class Damaged(Exception):
    """The image is not what the specification says."""


def need(condition, what):
    if not condition:
        raise Damaged(what)


def sha(data):
    return hashlib.sha256(data).digest()


def unzstd(frame, size):
    out = ctypes.create_string_buffer(max(size, 1))
    n = ZSTD.ZSTD_decompress(out, size, frame, len(frame))
    need(n == size, f'a frame does not give {size} bytes')
    return out.raw[:size]


class SeekTable:
    """zstd seekable format 0.1.0: [(position, stored, bytes, checksum)] of the frames before it."""

    def __init__(self, f):
        self.f = f
        end = f.seek(0, 2)
        need(end >= 4096 + 17, 'too short')
        count, descriptor, magic = struct.unpack('<IBI', self.at(end - 9, 9))
        need(magic == 0x8F92EAB1 and descriptor == 0x80, 'no seek table at the end: unfinished or cut off')
        self.start = end - 17 - 12 * count
        need(self.start >= 0, 'the seek table is longer than the file')
        self.raw = self.at(self.start, end - self.start)
        need(struct.unpack('<II', self.raw[:8]) == (SEEK, len(self.raw) - 8), 'the seek table does not begin where it must')
        self.frames, position = [], 0
        for i in range(count):
            stored, size, checksum = struct.unpack_from('<III', self.raw, 8 + 12 * i)
            self.frames.append((position, stored, size, checksum))
            position += stored
        need(position == self.start, 'the seek table does not list every byte')

    def at(self, position, size):
        self.f.seek(position)
        data = self.f.read(size)
        need(len(data) == size, f'ends before byte {position + size}')
        return data

    def read(self, offset, size):
        """Bytes of the stream, by the table alone."""
        out, at = [], 0
        for position, stored, length, _ in self.frames:
            if at < offset + size and at + length > offset:
                data = unzstd(self.at(position, stored), length)
                out.append(data[max(0, offset - at):offset + size - at])
            at += length
        return b''.join(out)


class Image:
    """Everything but the chunks' contents, checked while it is read."""

    def __init__(self, f):
        self.seek = SeekTable(f)
        self.sequence = 0
        head = self.ours(0, 4096, F0, uuid=None)
        self.uuid = head[32:48]
        (self.size, self.chunk_size, self.sector, self.physical, self.partition, self.partition_offset,
         self.created) = struct.unpack_from('<QIIIIQQ', head, 48)
        self.survey = head[88:120]
        need(not any(head[536:4064]), 'the unused part of F0 is not zero')
        need(self.chunk_size % 4096 == 0 and 65536 <= self.chunk_size <= 16 << 20, 'chunk size')
        self.manifest = self.read_manifest()
        facts = self.manifest['image']
        if self.size == 2**64 - 1:
            self.size = facts['size']
        need((facts['size'], facts['chunk_size']) == (self.size, self.chunk_size), 'F0 and M differ')
        self.walk()
        self.check_facts(facts)

    def ours(self, position, stored, kind, uuid):
        frame = self.seek.at(position, stored)
        magic, size, tag, version, got, self.flags, sequence = struct.unpack_from('<II8sHHIQ', frame)
        where = f'the frame at byte {position}'
        need((magic, size, tag, version) == (OURS, stored - 8, b'ISOMORPH', 1), f'{where} is none of ours')
        need(sha(frame[8:-32]) == frame[-32:], f'{where} is damaged')
        need(got == kind, f'{where} is of kind {got}, not {kind}')
        need(uuid is None or frame[32:48] == uuid, f'{where} is of another image')
        need(sequence == self.sequence, f'{where} is out of sequence')
        self.sequence += 1
        return frame

    def read_manifest(self):
        position, stored, size, _ = self.seek.frames[-1]
        need(size == 0 and 80 <= stored <= (16 << 20) + 80, 'no manifest before the seek table')
        kept, self.sequence = self.sequence, sum(1 for f in self.seek.frames if f[2] == 0) - 1
        frame = self.ours(position, stored, M, self.uuid)
        self.sequence = kept
        self.fingerprint = sha(frame[8:]).hex()
        manifest = json.loads(frame[48:-32].decode('utf-8'))
        need(manifest['image']['seek_table_sha256'] == sha(self.seek.raw).hex(), 'another seek table than the manifest\'s')
        return manifest

    def walk(self):
        """All frames between F0 and M, in order: (D* C)* H* X*."""
        self.chunks, c_sums, c_runs, group = [], [], [], []
        sums, runs, h, x = [], [], hashlib.sha256(), hashlib.sha256()
        for position, stored, size, checksum in self.seek.frames[1:-1]:
            if size:
                need(not sums and not runs, 'a chunk behind the lists')
                group.append((position, stored, size, checksum))
                continue
            need(checksum == 0x51D8E999, 'checksum of an empty frame')
            kind = struct.unpack_from('<H', self.seek.at(position, 20), 18)[0]
            frame = self.ours(position, stored, kind, self.uuid)
            if kind == C:
                need(not sums and not runs, 'a checkpoint behind the lists')
                first, n, r, survey = struct.unpack_from('<QII32s', frame, 48)
                need(first == len(self.chunks) and 1 <= n == len(group) <= 1024, 'a checkpoint of other chunks')
                need(len(frame) == 96 + 32 * n + 17 * r + 32 and survey == self.survey, 'a checkpoint that is wrong within')
                self.chunks += group
                group = []
                c_sums += [frame[96 + 32 * i:128 + 32 * i] for i in range(n)]
                c_runs += [struct.unpack_from('<QQB', frame, 96 + 32 * n + 17 * i) for i in range(r)]
            else:
                need(kind in (H, X) and not group, f'a frame of kind {kind} in the middle')
                need(kind == X or not runs, 'H behind X')
                first, n = struct.unpack_from('<QQ', frame, 48)
                item = 32 if kind == H else 17
                (h if kind == H else x).update(frame)
                need(len(frame) == 96 + item * n and first == len(sums if kind == H else runs), 'a list with a gap')
                if kind == H:
                    sums += [frame[64 + 32 * i:96 + 32 * i] for i in range(n)]
                else:
                    runs += [struct.unpack_from('<QQB', frame, 64 + 17 * i) for i in range(n)]
        need(not group, 'chunks without a checkpoint')
        need(c_sums == sums and len(sums) == len(self.chunks), 'checkpoints and hash list differ')
        need(self.merged(c_runs) == runs, 'checkpoints and extent list differ')
        self.sums, self.runs, self.lists = sums, runs, (h.hexdigest(), x.hexdigest())

    @staticmethod
    def merged(runs):
        out = []
        for offset, size, kind in runs:
            if out and out[-1][2] == kind and out[-1][0] + out[-1][1] == offset:
                out[-1] = (out[-1][0], out[-1][1] + size, kind)
            else:
                out.append((offset, size, kind))
        return out

    def root(self):
        level = [sha(b'\0' + struct.pack('<QQ', i, c[2]) + s) for i, (c, s) in enumerate(zip(self.chunks, self.sums))]
        while len(level) > 1:
            pairs = [sha(b'\1' + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
            level = pairs + level[len(pairs) * 2:]
        return level[0] if level else bytes(32)

    def check_facts(self, facts):
        need(facts['version'] == 1 and facts['hash'] == 'sha256' and facts['uuid'] == self.uuid.hex(), 'manifest')
        need(facts['chunks'] == len(self.chunks) == -(-self.size // self.chunk_size), 'number of chunks')
        need((facts['hashes_sha256'], facts['extents_sha256']) == self.lists, 'sums of the lists')
        need(facts['tree'] == self.root().hex(), 'root of the tree')
        at, counts = 0, dict.fromkeys(KINDS, 0)
        for offset, size, kind in self.runs:
            need(offset == at and size > 0 and kind < len(KINDS), f'extents do not cover byte {at}')
            need(kind != 1 or (offset % 4096 == 0 and size % 4096 == 0), 'a zero extent that is no whole blocks')
            counts[KINDS[kind]] += size
            at += size
        need(at == self.size, f'extents end at {at}')
        need(counts == facts['bytes'], 'bytes of each kind')

    def stream(self):
        """Each chunk, proven, and zero where it must be."""
        run = 0
        for i, (position, stored, size, checksum) in enumerate(self.chunks):
            need(size == min(self.chunk_size, self.size - i * self.chunk_size), f'length of chunk {i}')
            frame = self.seek.at(position, stored)
            need(ZSTD.ZSTD_findFrameCompressedSize(frame, stored) == stored, f'chunk {i} is not one frame')
            need(ZSTD.ZSTD_getFrameContentSize(frame, stored) == size, f'content size of chunk {i}')
            need(struct.unpack('<I', frame[-4:])[0] == checksum, f'checksum of chunk {i} in the seek table')
            data = unzstd(frame, size)
            need(sha(data) == self.sums[i], f'chunk {i} (byte {i * self.chunk_size} of the disk) has another sum')
            start, end = i * self.chunk_size, i * self.chunk_size + size
            while run < len(self.runs) and self.runs[run][0] < end:
                offset, length, kind = self.runs[run]
                if kind:
                    part = data[max(offset, start) - start:min(offset + length, end) - start]
                    need(not part.strip(b'\0'), f'bytes that are {KINDS[kind]} are not zero in chunk {i}')
                if offset + length > end:
                    break
                run += 1
            yield data


def main():
    what, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    with open(path, 'rb') as f:
        if what == 'range':
            sys.stdout.buffer.write(SeekTable(f).read(int(rest[0]), int(rest[1])))
            return
        image = Image(f)
        if what == 'tree':
            print(image.root().hex())
            return
        if what == 'extents':
            for offset, size, kind in image.runs:
                print(offset, size, KINDS[kind])
            return
        whole = hashlib.sha256()
        for data in image.stream():
            whole.update(data)
            if what == 'stream':
                sys.stdout.buffer.write(data)
        if what == 'check':
            print(json.dumps({'size': image.size, 'chunks': len(image.chunks), 'tree': image.root().hex(), 'sha256': whole.hexdigest(),
                              'fingerprint': image.fingerprint, 'partition': image.partition, 'mode': image.manifest['mode'],
                              'partition_offset': image.partition_offset, 'sector': image.sector, 'flags': image.flags, 'bytes': image.manifest['image']['bytes']}))


if __name__ == '__main__':
    try:
        main()
    except (Damaged, KeyError, ValueError, struct.error, IndexError, TypeError) as e:
        sys.exit(f'read_image: {sys.argv[2]}: {type(e).__name__}: {e}')
