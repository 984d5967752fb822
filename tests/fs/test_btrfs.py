#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation maps of btrfs against dumps of its trees by btrfs-progs, btrfs check with data checksums, and mounting a
copy of the used bytes alone."""
import os
import re
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import used_only as u  # noqa: E402
from used_only import MIB, check, run  # noqa: E402

VARIANTS = [
    # name, MiB, options of mkfs.btrfs
    ('default', 256, ''),
    ('single', 256, '-m single -d single'),
    ('dup-dup', 300, '-m dup -d dup'),
    ('mixed', 64, '--mixed'),
    ('mixed-dup', 256, '--mixed -m dup -d dup'),
    ('node4k', 256, '-n 4096'),
    ('node32k', 256, '-n 32768'),
    ('node64k', 256, '-n 65536'),
    ('xxhash', 256, '--csum xxhash'),
    ('sha256', 256, '--csum sha256'),
    ('blake2', 256, '--csum blake2'),
    ('old', 256, '-O ^no-holes,^extref,^skinny-metadata -R ^free-space-tree'),
    ('quota', 256, '-R quota'),
]


def blank(image, size):
    if os.path.exists(image):
        os.unlink(image)
    with open(image, 'wb') as f:
        f.truncate(size)


def mkfs(image, size, options=''):
    blank(image, size)
    run('mkfs.btrfs', '-q', '-f', '-L', 'the label', *options.split(), image)


def dump(image, tree):
    return run('btrfs', 'inspect-internal', 'dump-tree', '-t', tree, image).stdout


def used_by_dump(image, devid=1):
    """Extents of the extent tree at every place where this device holds them; superblocks; nothing else."""
    chunks, used = [], []
    chunk = None
    for line in dump(image, 'chunk').splitlines():
        w = line.split()
        if re.match(r'\s*item \d+ key \(FIRST_CHUNK_TREE CHUNK_ITEM (\d+)\)', line):
            chunk = [int(w[5].rstrip(')')), 0, '', []]
            chunks.append(chunk)
        elif chunk is not None and w[:1] == ['length']:
            chunk[1], chunk[2] = int(w[1]), w[-1]
        elif chunk is not None and w[:1] == ['stripe'] and w[2] == 'devid' and int(w[3]) == devid:
            chunk[3].append(int(w[5]))
    node = int(re.search(r'nodesize\s+(\d+)', run('btrfs', 'inspect-internal', 'dump-super', image).stdout).group(1))
    for line in dump(image, 'extent').splitlines():
        m = re.match(r'\s*item \d+ key \((\d+) (EXTENT_ITEM|METADATA_ITEM) (\d+)\)', line)
        if m:
            logical, n = int(m[1]), int(m[3]) if m[2] == 'EXTENT_ITEM' else node
            start, length, _, stripes = next(c for c in chunks if c[0] <= logical < c[0] + c[1])
            used += [(p + logical - start, p + logical - start + n) for p in stripes]
    used += [(a, a + 4096) for a in (65536, 64 << 20, 256 << 30) if a < os.path.getsize(image)]
    return used


def compare(name, image):
    m = u.Map('btrfs', image)
    size = os.path.getsize(image)
    if not check(not m.all and m.why == '-', '%s: no map: %s' % (name, m.why)):
        return m
    kept = u.check_covers(name, m, used_by_dump(image), size)
    check(m.facts['label'] == 'the label', '%s: label %s' % (name, m.facts['label']))
    check(kept <= 2 * MIB, '%s: keeps %d bytes too many' % (name, kept))
    u.remarks.append('%-16s used %6.1f of %d MiB; %d KiB kept that the extent tree does not name' %
                     (name, m.used / MIB, size / MIB, kept / 1024))
    return m


def copy_is_whole(name, image, d, m, before, where):
    copy = os.path.join(d, 'copy')
    u.random_copy(m, image, copy)
    os.rename(image, image + '.away')
    r = run('btrfs', 'check', '--readonly', '--check-data-csum', copy, check=False)
    check(r.returncode == 0, '%s: btrfs check of the copy: %s' % (name, r.stdout[-900:]))
    if before is not None:
        with u.mounted('btrfs', copy, where, 'ro'):
            check(u.tree(where) == before, '%s: files of the copy differ' % name)
    os.rename(image + '.away', image)
    os.unlink(copy)


def age_btrfs(where, rng, budget):
    """Snapshots, one deleted, clones, holes, compression."""
    run('btrfs', 'subvolume', 'create', where + '/sub')
    u.age(where + '/sub', rng, budget, 2)
    run('btrfs', 'subvolume', 'snapshot', '-r', where + '/sub', where + '/snap1')
    run('btrfs', 'subvolume', 'snapshot', where + '/sub', where + '/snap2')
    u.age(where + '/sub', rng, budget // 2, 1)
    run('btrfs', 'subvolume', 'delete', '-c', where + '/snap2')
    run('cp', '-a', '--reflink=auto', where + '/sub/d1', where + '/clone')
    u.write_file(where + '/zeros', b'\0' * 300000 + rng.randbytes(100000))
    run('btrfs', 'filesystem', 'sync', where)


def flip(image, offset, mask):
    with open(image, 'r+b') as f:
        f.seek(offset)
        b = f.read(1)
        f.seek(offset)
        f.write(bytes([b[0] ^ mask]))


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def patch_super(image, offset, fmt, value):
    """A field of the superblock and of its copy, with the right checksum."""
    with open(image, 'r+b') as f:
        for at in (65536, 64 << 20):
            f.seek(at)
            sb = bytearray(f.read(4096))
            if sb[64:72] == b'_BHRfS_M':
                struct.pack_into(fmt, sb, offset, value)
                sb[:4] = struct.pack('<I', crc32c(sb[32:]))
                f.seek(at)
                f.write(sb)


class Btrfs(u.Case):
    tools = ('mkfs.btrfs', 'btrfs', 'btrfstune')

    def variant(self, name, size, options):
        image, where = self.image, self.where
        mkfs(image, size * MIB, options)
        compare(name + ' empty', image)
        if not u.can_mount('btrfs', image, where, name):
            self.skipTest('cannot be mounted')
        with u.mounted('btrfs', image, where, 'rw,compress=lzo' if name == 'node32k' else 'rw'):
            age_btrfs(where, self.rng, size * MIB // 24)
            before = u.tree(where)
        m = compare(name, image)
        copy_is_whole(name, image, self.d, m, before, where)

    def test_nearly_full_and_balanced(self):
        image, where = self.image, self.where
        mkfs(image, 160 * MIB)
        if not u.can_mount('btrfs', image, where):
            self.skipTest('cannot be mounted')
        with u.mounted('btrfs', image, where):
            u.age(where, self.rng, 4 * MIB, 1)
            u.fill(where, self.rng)
            before = u.tree(where)
        m = compare('nearly full', image)
        copy_is_whole('nearly full', image, self.d, m, before, where)
        with u.mounted('btrfs', image, where):
            for name in sorted(os.listdir(where))[::2]:
                run('rm', '-rf', where + '/' + name)
            run('btrfs', 'filesystem', 'sync', where)
            run('btrfs', 'balance', 'start', '--full-balance', where, check=False)
            before = u.tree(where)
        m = compare('balanced', image)
        copy_is_whole('balanced', image, self.d, m, before, where)

    def test_log_not_replayed(self):
        """fsync without a commit: what it wrote is in no extent tree yet."""
        image, where = self.image, self.where
        mkfs(image, 256 * MIB)
        if not u.can_mount('btrfs', image, where):
            self.skipTest('cannot be mounted')
        with u.mounted('btrfs', image, where, 'rw,commit=300'):
            u.write_file(where + '/committed', self.rng.randbytes(MIB))
            run('btrfs', 'filesystem', 'sync', where)
            run('dd', 'if=/dev/urandom', 'of=' + where + '/file', 'bs=1M', 'count=3', 'conv=fsync')
            u.shutil.copyfile(image, self.d + '/dirty')
        m = u.Map('btrfs', self.d + '/dirty')
        u.check_all_used('log', m, 256 * MIB, 'not unmounted')
        check(m.state == 'dirty', 'state ' + m.state)
        check(not u.Map('btrfs', image).all, 'clean after unmounting')

    def test_crash_without_log(self):
        """Without fsync the last commit stands: its map must hold every byte that it needs."""
        image, where = self.image, self.where
        mkfs(image, 256 * MIB)
        if not u.can_mount('btrfs', image, where):
            self.skipTest('cannot be mounted')
        with u.mounted('btrfs', image, where, 'rw,commit=300'):
            u.age(where, self.rng, 6 * MIB, 2)
            run('btrfs', 'filesystem', 'sync', where)
            u.shutil.copyfile(image, self.d + '/crashed')
            before = u.tree(where)
        m = compare('crashed', self.d + '/crashed')
        os.unlink(image)
        copy_is_whole('crashed', self.d + '/crashed', self.d, m, before, where)

    def test_several_devices(self):
        for profile, words in (('-m raid1 -d raid1', 'one of 2 devices'), ('-m raid0 -d raid0', 'one of 2 devices'),
                               ('-m dup -d single', 'one of 2 devices')):
            images = [self.d + '/a', self.d + '/b']
            for image in images:
                blank(image, 256 * MIB)
            run('mkfs.btrfs', '-q', '-f', *profile.split(), *images)
            for image in images:
                m = u.Map('btrfs', image)
                check(words in m.why, '%s: %s' % (profile, m.why))
                if 'raid1' in profile:
                    check(not m.all and 256 * MIB > m.used > 16 * MIB, '%s: %d used' % (profile, m.used))
                if 'raid0' in profile:
                    check(m.all, '%s: must be all used' % profile)
            if 'raid1' in profile:
                devices = [int(re.search(r'dev_item.devid\s+(\d+)', run('btrfs', 'inspect-internal', 'dump-super',
                                                                       image).stdout).group(1)) for image in images]
                for image, devid in zip(images, devices):
                    u.check_covers('raid1 device %d' % devid, u.Map('btrfs', image), used_by_dump(image, devid),
                                   256 * MIB)

    def test_other_uuid_and_seed(self):
        for option in (['-m'], ['-S', '1']):
            mkfs(self.image, 256 * MIB)
            run('btrfstune', '-f', *option, self.image)
            m = compare('btrfstune ' + option[0], self.image)
            shown = run('blkid', '-p', '-o', 'value', '-s', 'UUID', self.image).stdout.strip()
            check(m.facts['uuid'] == shown, 'uuid %s, not %s' % (m.facts['uuid'], shown))

    def test_huge_and_truncated(self):
        size = 15 << 40
        mkfs(self.image, size, '-K')
        m = u.Map('btrfs', self.image)
        check(not m.all and m.used < size // 1000, '15 TiB: %d %s' % (m.used, m.why))
        u.check_covers('15 TiB', m, used_by_dump(self.image), size)
        check(any(a <= 256 << 30 < b for a, b in m.runs), 'the third superblock is used')
        mkfs(self.image, 300 * MIB)
        with open(self.image, 'r+b') as f:
            f.truncate(299 * MIB)
        u.check_all_used('truncated', u.Map('btrfs', self.image), 299 * MIB, 'larger than its partition')
        with open(self.image, 'r+b') as f:
            f.truncate(310 * MIB)
        check(u.Map('btrfs', self.image).runs[-1] == (300 * MIB, 310 * MIB), 'the tail behind it is used')

    def test_forbidden(self):
        for offset, fmt, value, word in ((188, '<Q', 0x1361, 'not known'), (188, '<Q', 0x2361, 'not known'),
                                         (188, '<Q', 0x4361, 'not known'), (188, '<Q', 1 << 40 | 0x361, 'not known'),
                                         (180, '<Q', 0x13, 'not known'), (56, '<Q', 5, 'marked as damaged'),
                                         (56, '<Q', 1 << 36 | 1, 'interrupted'), (96, '<Q', 0x1d04000, 'unmounted')):
            mkfs(self.image, 256 * MIB)
            patch_super(self.image, offset, fmt, value)
            u.check_all_used('superblock %d=%#x' % (offset, value), u.Map('btrfs', self.image), 256 * MIB, word)
        mkfs(self.image, 256 * MIB)
        flip(self.image, 65536 + 3000, 1)
        u.check_all_used('checksum', u.Map('btrfs', self.image), 256 * MIB, 'checksum')

    def test_damaged(self):
        """Whatever one flipped byte does, no used byte may leave the map."""
        for options in ('-m dup', '-m single --csum xxhash', '--mixed'):
            mkfs(self.image, 256 * MIB, options)
            if u.can_mount('btrfs', self.image, self.where):
                with u.mounted('btrfs', self.image, self.where):
                    u.age(self.where, self.rng, 4 * MIB, 1)
            truth = u.Map('btrfs', self.image)
            blocks = [int(x) for tree in ('root', 'chunk', 'dev', 'extent')
                      for x in re.findall(r'^(?:leaf|node) (\d+)', dump(self.image, tree), re.M)]
            chunks = dump(self.image, 'chunk')
            places = []
            for part in chunks.split('CHUNK_ITEM ')[1:]:
                start = int(part.split(')')[0])
                length = int(re.search(r'length (\d+)', part)[1])
                for stripe in re.findall(r'stripe \d+ devid 1 offset (\d+)', part):
                    places += [int(stripe) + b - start for b in blocks if start <= b < start + length]
            noticed = 0
            for _ in range(60 * u.N):
                offset, mask = self.rng.choice(places) + self.rng.randrange(4096), 1 << self.rng.randrange(8)
                flip(self.image, offset, mask)
                m = u.Map('btrfs', self.image)
                missing = u.common(u.gaps(m.runs, 256 * MIB), truth.runs)
                check(not missing, '%s: byte %d ^ %#x: lost %s' % (options, offset, mask, missing[:3]))
                noticed += m.used > truth.used
                flip(self.image, offset, mask)
            if 'dup' in options:
                check(noticed == 0, 'the other copy should do: %d' % noticed)
            elif 'single' in options:
                check(noticed > 50 * u.N, 'damage hardly noticed: %d' % noticed)


u.each(Btrfs, VARIANTS, Btrfs.variant)

if __name__ == '__main__':
    unittest.main()
