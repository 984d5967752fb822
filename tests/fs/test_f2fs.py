#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation maps of F2FS against dump.f2fs and fsck.f2fs, on file systems filled by sload.f2fs."""
import hashlib
import os
import re
import struct
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import used_only as u  # noqa: E402
from used_only import MIB, check, run  # noqa: E402

BLOCK = 4096
SEGMENT = 512
VARIANTS = [
    # name, MiB, options of mkfs.f2fs
    ('default', 100, ''),
    ('tiny', 64, ''),
    ('section2', 256, '-s 2'),
    ('section4-zone2', 400, '-s 4 -z 2'),
    ('section8', 512, '-s 8'),
    ('checksums', 100, '-O extra_attr,inode_checksum,sb_checksum'),
    ('android', 128, '-g android'),
    ('quota', 128, '-O extra_attr,project_quota,quota'),
    ('encrypt-verity', 100, '-O encrypt,verity,lost_found'),
    ('crtime', 100, '-O extra_attr,inode_crtime'),
    ('compression', 128, '-O extra_attr,compression'),
    ('casefold', 128, '-O casefold -C utf8'),
    ('node-bitmap', 200, '-i'),
    ('overprovision', 200, '-o 20'),
    ('heap', 100, '-a 1'),
    ('no-trim', 100, '-t 0'),
    ('sector4k', 100, '-w 4096'),
]


def mkfs(image, size, options=''):
    if os.path.exists(image):
        os.unlink(image)
    with open(image, 'wb') as f:
        f.truncate(size)
    run('mkfs.f2fs', '-q', '-f', '-l', 'the läbel', *options.split(), image)


def crc(data, seed=0xf2f52010):
    return ~zlib.crc32(data, ~seed & 0xffffffff) & 0xffffffff


def layout(image):
    with open(image, 'rb') as f:
        f.seek(1024)
        sb = f.read(3072)
    main_segments, = struct.unpack_from('<I', sb, 68)
    cp, sit, nat, ssa, main = struct.unpack_from('<5I', sb, 76)
    return {'cp': cp, 'main': main, 'segments': main_segments, 'payload': struct.unpack_from('<I', sb, 1664)[0]}


def used_by_dump(image, d):
    """The SIT with its journal, as dump.f2fs sees it."""
    run('dump.f2fs', '-s', '0~-1', image, cwd=d)
    with open(d + '/dump_sit') as f:
        text = f.read()
    os.unlink(d + '/dump_sit')
    where = layout(image)
    used = [(0, where['main'] * BLOCK)]
    for part in text.split('segno:')[1:]:
        head, *rows = part.splitlines()
        bits = ''.join(format(int(x, 16), '08b') for row in rows if re.match(r'^(\s*[0-9a-f]{2})+\s*$', row)
                       for x in row.split())
        start = where['main'] + int(head.split()[0]) * SEGMENT
        used += [((start + m.start()) * BLOCK, (start + m.end()) * BLOCK) for m in re.finditer('1+', bits)]
        check(bits.count('1') == int(re.search(r'vblocks:\s*(\d+)', head)[1]), 'the dump is understood')
    return used


def fsck(name, image):
    r = run('fsck.f2fs', '--dry-run', image, check=False)
    bad = [line for line in r.stdout.splitlines() if 'Fail' in line or 'ASSERT' in line]
    check(r.returncode == 0 and not bad, '%s: fsck.f2fs: %s' % (name, bad[:5] or r.stdout[-400:]))
    return r.stdout


def compare(name, image, d):
    m = u.Map('f2fs', image)
    size = os.path.getsize(image)
    if not check(not m.all and m.why == '-' and m.state == 'clean', '%s: no map: %s' % (name, m.why)):
        return m
    kept = u.check_covers(name, m, used_by_dump(image, d), size)
    check(m.facts['label'] == 'the läbel', '%s: label %s' % (name, m.facts['label']))
    check(kept <= 4 * MIB, '%s: keeps %d bytes too many' % (name, kept))
    u.remarks.append('%-16s used %6.1f of %d MiB; %d KiB kept that dump.f2fs calls free' %
                     (name, m.used / MIB, size / MIB, kept / 1024))
    return m


def blocks_of(path):
    out = set()
    with open(path, 'rb') as f:
        while True:
            block = f.read(BLOCK)
            if len(block) < BLOCK:
                return out
            out.add(hashlib.sha256(block).digest())


def make_tree(top, rng, budget):
    """Random bytes do not shrink, so each whole block of a file is somewhere on the disk as it is."""
    os.makedirs(top)
    want = set()
    number = 0
    while budget > 0:
        d = os.path.join(top, 'd%d' % rng.randrange(9))
        os.makedirs(d, exist_ok=True)
        size = int(2 ** rng.uniform(0, 20))
        p = os.path.join(d, 'f%d' % number)
        u.write_file(p, rng.randbytes(size))
        if size > 2 * BLOCK:
            want |= blocks_of(p)
        number += 1
        budget -= size + BLOCK
    return want


def copy_is_whole(name, image, d, m, want):
    copy = d + '/copy'
    u.random_copy(m, image, copy)
    fsck(name + ' copy', copy)
    want &= blocks_of(image)  # sload.f2fs leaves out what is larger than it can map
    check(len(want) > 0 and want <= blocks_of(copy), '%s: blocks of files are missing from the copy' % name)
    os.unlink(copy)


def patch(image, offset, data):
    with open(image, 'r+b') as f:
        f.seek(offset)
        f.write(data)


def patch_checkpoints(image, change):
    """Both blocks of both packs, with the right checksum; change(bytearray) is done to each."""
    where = layout(image)
    with open(image, 'r+b') as f:
        for pack in (where['cp'], where['cp'] + SEGMENT):
            f.seek(pack * BLOCK)
            count, = struct.unpack_from('<I', f.read(BLOCK), 136)
            if not 2 <= count <= SEGMENT:
                continue
            for block in (pack, pack + count - 1):
                f.seek(block * BLOCK)
                cp = bytearray(f.read(BLOCK))
                at, = struct.unpack_from('<I', cp, 164)
                change(cp)
                value = crc(bytes(cp[:at]))
                if at < BLOCK - 4:
                    value = crc(bytes(cp[at + 4:]), value)
                struct.pack_into('<I', cp, at, value)
                f.seek(block * BLOCK)
                f.write(cp)


def checkpoint(image):
    """The newest."""
    where = layout(image)
    with open(image, 'rb') as f:
        packs = []
        for pack in (where['cp'], where['cp'] + SEGMENT):
            f.seek(pack * BLOCK)
            packs.append(f.read(BLOCK))
    return max(packs, key=lambda p: struct.unpack_from('<Q', p, 0)[0])


class F2fs(u.Case):
    tools = ('mkfs.f2fs', 'sload.f2fs', 'dump.f2fs', 'fsck.f2fs')

    def variant(self, name, size, options):
        image, d = self.image, self.d
        mkfs(image, size * MIB, options)
        compare(name + ' empty', image, d)
        want = make_tree(d + '/tree', self.rng, size * MIB // 8 if size > 64 else MIB // 2)
        run('sload.f2fs', '-f', d + '/tree', image)
        m = compare(name, image, d)
        fsck(name, image)
        copy_is_whole(name, image, d, m, want)
        u.shutil.rmtree(d + '/tree')

    def test_loaded_again_and_again(self):
        """More checkpoints: both packs and both halves of the SIT are used in turn."""
        mkfs(self.image, 256 * MIB)
        want = set()
        for i in range(4):
            want |= make_tree(self.d + '/tree%d' % i, self.rng, 8 * MIB)
            run('sload.f2fs', '-f', self.d + '/tree%d' % i, '-t', '/x%d' % i, self.image)
            m = compare('load %d' % i, self.image, self.d)
        copy_is_whole('loads', self.image, self.d, m, want)

    def test_nearly_full(self):
        mkfs(self.image, 100 * MIB)
        want = make_tree(self.d + '/tree', self.rng, 30 * MIB)
        run('sload.f2fs', '-f', self.d + '/tree', self.image)
        m = compare('nearly full', self.image, self.d)
        copy_is_whole('nearly full', self.image, self.d, m, want)

    def test_huge_and_truncated(self):
        size = 300 << 30
        mkfs(self.image, size, '-t 0')
        m = u.Map('f2fs', self.image)
        check(not m.all and m.used < size // 100, 'huge: %d %s' % (m.used, m.why))
        mkfs(self.image, 100 * MIB)
        with open(self.image, 'r+b') as f:
            f.truncate(98 * MIB)
        u.check_all_used('truncated', u.Map('f2fs', self.image), 98 * MIB, 'larger than its partition')
        with open(self.image, 'r+b') as f:
            f.truncate(110 * MIB)
        check(u.Map('f2fs', self.image).runs[-1] == (100 * MIB, 110 * MIB), 'the tail behind it is used')

    def test_dirty_and_damaged_checkpoints(self):
        def flags(clear, add):
            def change(cp):
                old, = struct.unpack_from('<I', cp, 132)
                struct.pack_into('<I', cp, 132, old & ~clear | add)
            return change
        for clear, add, word in ((1, 0, 'not unmounted cleanly'), (0, 8, 'damaged'), (0, 0x10, 'damaged'),
                                 (0, 0x1000, 'damaged'), (0, 0x4000, 'damaged'), (0, 0x100000, 'not known')):
            mkfs(self.image, 100 * MIB)
            patch_checkpoints(self.image, flags(clear, add))
            m = u.Map('f2fs', self.image)
            u.check_all_used('flags -%x +%x' % (clear, add), m, 100 * MIB, word)
            if clear:
                check(m.state == 'dirty', 'state ' + m.state)
        mkfs(self.image, 100 * MIB)
        where = layout(self.image)
        patch(self.image, (where['cp'] * BLOCK) + 20, b'\x55')
        patch(self.image, (where['cp'] + SEGMENT) * BLOCK + 20, b'\x55')
        u.check_all_used('no checkpoint', u.Map('f2fs', self.image), 100 * MIB, 'neither')

    def test_written_after_the_checkpoint(self):
        """What a node log would write next holds a node of this checkpoint: files were synced, then power failed."""
        for log in range(3):
            mkfs(self.image, 100 * MIB)
            cp, where = checkpoint(self.image), layout(self.image)
            segment, = struct.unpack_from('<I', cp, 36 + 4 * log)
            offset, = struct.unpack_from('<H', cp, 68 + 2 * log)
            at = (where['main'] + segment * SEGMENT + offset) * BLOCK
            check(any(a <= at < b for a, b in u.Map('f2fs', self.image).runs), 'the next node is not in the map')
            patch(self.image, at + BLOCK - 12, cp[:8])
            m = u.Map('f2fs', self.image)
            u.check_all_used('roll-forward %d' % log, m, 100 * MIB, 'after its last checkpoint')
            check(m.state == 'dirty', 'state ' + m.state)

    def test_forbidden(self):
        for offset, data, word in ((2180, b'\x02', 'not known'), (2182, b'\x04', 'not known'), (2181, b'\x40', 'not known'),
                                   (2201, b'/dev/sdb', 'several devices'), (36, b'\0\0\0\1', ''), (92, b'\1', ''),
                                   (16, b'\x0e', '4096'), (68, b'\xff\xff', '')):
            mkfs(self.image, 100 * MIB)
            for at in (1024, 5120):
                patch(self.image, at + offset, data)
            u.check_all_used('superblock %d' % offset, u.Map('f2fs', self.image), 100 * MIB, word)
        mkfs(self.image, 100 * MIB, '-O extra_attr,sb_checksum')
        patch(self.image, 1024 + 1200, b'x')
        u.check_all_used('checksum', u.Map('f2fs', self.image), 100 * MIB, 'checksum')

    def test_damaged(self):
        """One flipped bit in the segment table or a checkpoint: no used byte may leave the map."""
        mkfs(self.image, 100 * MIB)
        make_tree(self.d + '/tree', self.rng, 8 * MIB)
        run('sload.f2fs', '-f', self.d + '/tree', self.image)
        truth, where = u.Map('f2fs', self.image), layout(self.image)
        places = [(where['cp'] * BLOCK, 250), ((where['cp'] + SEGMENT) * BLOCK, 250)]
        with open(self.image, 'rb') as f:
            f.seek(1024 + 80)
            sit, nat = struct.unpack('<II', f.read(8))
        half = (nat - sit) // 2
        places += [(sit * BLOCK, 74 * 20), ((sit + half) * BLOCK, 74 * 20)]
        noticed = 0
        for _ in range(80 * u.N):
            start, length = self.rng.choice(places)
            at, mask = start + self.rng.randrange(length), 1 << self.rng.randrange(8)
            with open(self.image, 'r+b') as f:
                f.seek(at)
                old = f.read(1)
                f.seek(at)
                f.write(bytes([old[0] ^ mask]))
            m = u.Map('f2fs', self.image)
            missing = u.common(u.gaps(m.runs, 100 * MIB), truth.runs)
            # An older checkpoint may stand where the newest is damaged: then its own map must be whole.
            if missing:
                check(start < sit * BLOCK, 'byte %d ^ %#x: lost %s' % (at, mask, missing[:3]))
                u.check_covers('older checkpoint', m, used_by_dump(self.image, self.d), 100 * MIB)
            noticed += m.runs != truth.runs
            patch(self.image, at, old)
        check(noticed > 5 * u.N, 'damage hardly noticed: %d' % noticed)


u.each(F2fs, VARIANTS, F2fs.variant)

if __name__ == '__main__':
    unittest.main()
