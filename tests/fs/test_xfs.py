#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation maps of XFS against xfs_db, the kernel's GETFSMAP, xfs_repair, and mounting a copy of the used bytes
alone."""
import fcntl
import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import used_only as u  # noqa: E402
from used_only import MIB, check, run  # noqa: E402

FS_IOC_GETFSMAP = 0xc0c0583b
FREE = 1  # FMR_OWN_FREE

VARIANTS = [
    # name, MiB, options of mkfs.xfs
    ('default', 64, '-m crc=1'),
    ('v4', 64, '-m crc=0'),
    ('v4-512', 64, '-m crc=0 -b size=512'),
    ('v4-1k-attr1', 64, '-m crc=0 -b size=1024 -i attr=1,size=512'),
    ('v4-logv1', 64, '-m crc=0 -l version=1 -n ftype=0'),
    ('finobt-rmapbt', 64, '-m finobt=1,rmapbt=1,reflink=1'),
    ('no-finobt', 64, '-m finobt=0,reflink=0,inobtcount=0'),
    ('bigtime', 64, '-m bigtime=1,inobtcount=1 -i nrext64=1'),
    ('1k', 64, '-b size=1024 -m rmapbt=1'),
    ('2k-inode1k', 64, '-b size=2048 -i size=1024'),
    ('64k', 512, '-b size=65536'),
    ('sector4k', 64, '-s size=4096'),
    ('agcount16', 320, '-d agcount=16'),
    ('short-last-ag', 71, '-d agsize=17m'),
    ('stripe', 128, '-d su=65536,sw=4 -l su=32768'),
    ('log-su256k', 128, '-l su=262144'),
    ('log-in-ag0', 64, '-l agnum=0'),
    ('dirblock', 64, '-n size=16384 -i maxpct=5 -m rmapbt=1,uuid=01234567-89ab-cdef-0123-456789abcdef'),
]


def mkfs(image, size, options, *more):
    if os.path.exists(image):
        os.unlink(image)
    with open(image, 'wb') as f:
        f.truncate(size)
    run('mkfs.xfs', '-q', '--unsupported', '-f', '-L', 'the label', *options.split(), *more, image)


def db(image, *commands, write=False):
    argv = ['xfs_db', '-x' if write else '-r']
    for c in commands:
        argv += ['-c', c]
    return run(*argv, image).stdout


def super_of(image):
    with open(image, 'rb') as f:
        sb = f.read(512)
    block, = struct.unpack_from('>I', sb, 4)
    blocks, = struct.unpack_from('>Q', sb, 8)
    ag_blocks, ag_count = struct.unpack_from('>II', sb, 84)
    log, log_blocks = struct.unpack_from('>Q', sb, 48)[0], struct.unpack_from('>I', sb, 96)[0]
    bits = sb[124]
    log = ((log >> bits) * ag_blocks + (log & ((1 << bits) - 1))) * block
    return {'block': block, 'size': blocks * block, 'ag_blocks': ag_blocks, 'ag_count': ag_count,
            'sector': struct.unpack_from('>H', sb, 102)[0], 'log': (log, log + log_blocks * block)}


def used_by_db(image):
    s = super_of(image)
    free = []
    for line in db(image, 'freesp -d').splitlines():
        w = line.split()
        if len(w) == 3 and all(x.isdigit() for x in w):
            ag, block, n = map(int, w)
            a = (ag * s['ag_blocks'] + block) * s['block']
            free.append((a, a + n * s['block']))
    return u.gaps(free, s['size']) + [s['log']]


def used_by_kernel(top):
    """From the reverse-mapping trees, where there are any: independent of the free-space trees."""
    fd = os.open(top, os.O_RDONLY)
    used = []
    low = b'\0' * 64
    try:
        while True:
            count = 512
            head = struct.pack('<IIII6Q', 0, 0, count, 0, 0, 0, 0, 0, 0, 0)
            high = struct.pack('<IIQQQQQQQ', 2**32 - 1, 2**32 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1, 0, 0, 0, 0)
            buf = bytearray(head + low + high[:64] + b'\0' * (64 * count))
            fcntl.ioctl(fd, FS_IOC_GETFSMAP, buf)
            n, = struct.unpack_from('<I', buf, 12)
            device = None
            for i in range(n):
                at = 192 + 64 * i
                dev, flags, physical, owner, offset, length = struct.unpack_from('<IIQQQQ', buf, at)
                device = device or dev
                if not (flags & 0x10 and owner & 0xffffffff == FREE):
                    used.append((physical, physical + length))
            if n == 0 or struct.unpack_from('<I', buf, 192 + 64 * (n - 1) + 4)[0] & 0x80000000:
                return used
            low = bytes(buf[192 + 64 * (n - 1):192 + 64 * n])
    finally:
        os.close(fd)


def proto(d, rng, budget):
    """For file systems that this kernel does not mount: files that mkfs.xfs itself copies in."""
    lines = ['/dev/null', '0 0', 'd--755 0 0']
    number = 0
    for folder in range(5):
        lines.append('d%d d--755 0 0' % folder)
        for _ in range(60):
            p = os.path.join(d, 'p%d' % number)
            data = rng.randbytes(int(2 ** rng.uniform(0, 17)))
            budget -= len(data)
            if budget > 0:
                u.write_file(p, data)
                lines.append('f%d ---644 0 0 %s' % (number, p))
            number += 1
        lines.append('$')
    lines.append('$')
    p = os.path.join(d, 'proto')
    u.write_file(p, '\n'.join(lines).encode() + b'\n')
    return p


def compare(name, image):
    m = u.Map('xfs', image)
    size = os.path.getsize(image)
    if not check(not m.all and m.state == 'clean', '%s: no map: %s' % (name, m.why)):
        return m
    s = super_of(image)
    kept = u.check_covers(name, m, used_by_db(image) + [(s['size'], size)], size)
    check(m.facts['label'] == 'the label', '%s: label %s' % (name, m.facts['label']))
    u.remarks.append('%-16s used %6.1f of %d MiB; %d KiB kept that xfs_db calls free' %
                     (name, m.used / MIB, size / MIB, kept / 1024))
    check(kept <= 40 * s['ag_count'] * s['block'], '%s: keeps too much' % name)
    return m


def copy_is_whole(name, image, d, m, before, where):
    copy = os.path.join(d, 'copy')
    u.random_copy(m, image, copy)
    r = run('xfs_repair', '-n', '-f', copy, check=False)
    check(r.returncode == 0, '%s: xfs_repair -n of the copy: %s' % (name, r.stdout[-600:]))
    if before is not None:
        with u.mounted('xfs', copy, where, 'nouuid,ro,norecovery'):
            check(u.tree(where) == before, '%s: files of the copy differ' % name)
            u.check_covers(name + ' GETFSMAP', m, used_by_kernel(where), os.path.getsize(image))
    os.unlink(copy)


def age_xfs(where, rng, budget):
    u.age(where, rng, budget)
    run('cp', '-a', '--reflink=auto', where + '/d1', where + '/clone', check=False)
    big = where + '/fragmented'
    with open(big, 'wb') as f:
        for i in range(300):
            f.seek(i * 131072)
            f.write(rng.randbytes(4096))
    for i in range(0, 20, 2):
        run('fallocate', '-p', '-o', i * 131072, '-l', 4096, big, check=False)
    os.truncate(big, 200 * 131072)


def flip(image, offset, mask):
    with open(image, 'r+b') as f:
        f.seek(offset)
        b = f.read(1)
        f.seek(offset)
        f.write(bytes([b[0] ^ mask]))


class Xfs(u.Case):
    tools = ('mkfs.xfs', 'xfs_db', 'xfs_repair')

    def variant(self, name, size, options):
        image, where, d, rng = self.image, self.where, self.d, self.rng
        mkfs(image, size * MIB, options)
        compare(name + ' empty', image)
        if 'crc=0' in options or not u.can_mount('xfs', image, where, 'size=65536' in options):
            mkfs(image, size * MIB, options, '-p', proto(d, rng, size * MIB // 4))
            m = compare(name, image)
            copy_is_whole(name, image, d, m, None, where)
            return
        with u.mounted('xfs', image, where):
            age_xfs(where, rng, size * MIB // 12)
            os.sync()
            u.shutil.copyfile(image, d + '/dirty')
            before = u.tree(where)
        u.check_all_used(name + ' dirty', u.Map('xfs', d + '/dirty'), size * MIB, 'not unmounted')
        os.unlink(d + '/dirty')
        m = compare(name, image)
        copy_is_whole(name, image, d, m, before, where)

    def test_nearly_full(self):
        image, where, d, rng = self.image, self.where, self.d, self.rng
        mkfs(image, 64 * MIB, '-m rmapbt=1')
        if not u.can_mount('xfs', image, where):
            self.skipTest('cannot be mounted')
        with u.mounted('xfs', image, where):
            u.age(where, rng, 4 * MIB, 1)
            u.fill(where, rng)
            before = u.tree(where)
        m = compare('nearly full', image)
        copy_is_whole('nearly full', image, d, m, before, where)
        with u.mounted('xfs', image, where):
            names = sorted(os.listdir(where))
            for name in names[::2]:
                run('rm', '-rf', where + '/' + name)
            before = u.tree(where)
        m = compare('half emptied', image)
        copy_is_whole('half emptied', image, d, m, before, where)

    def test_huge_and_truncated(self):
        image = self.image
        for size, options in ((15 << 40, ''), (15 << 40, '-d agsize=1g')):
            mkfs(image, size, options + ' -K')
            m = u.Map('xfs', image)
            check(not m.all and m.used < size // 200, '15 TiB: %s %s' % (m.used, m.why))
            if not options:
                u.check_covers('15 TiB', m, used_by_db(image), size)
        mkfs(image, 300 * MIB, '')
        with open(image, 'r+b') as f:
            f.truncate(299 * MIB)
        u.check_all_used('truncated', u.Map('xfs', image), 299 * MIB, 'larger than its partition')
        with open(image, 'r+b') as f:
            f.truncate(310 * MIB)
        m = u.Map('xfs', image)
        check(m.runs[-1] == (300 * MIB, 310 * MIB), 'the tail behind it is used')

    def test_growing(self):
        """Grown by the kernel: a last group that was short, and new ones."""
        image, where = self.image, self.where
        mkfs(image, 70 * MIB, '-d agsize=16m')
        with open(image, 'r+b') as f:
            f.truncate(150 * MIB)
        if not u.can_mount('xfs', image, where):
            self.skipTest('cannot be mounted')
        with u.mounted('xfs', image, where):
            run('xfs_growfs', where)
        compare('grown', image)

    def test_external_devices(self):
        image, d = self.image, self.d
        for what in ('log', 'realtime'):
            with open(d + '/second', 'wb') as f:
                f.truncate(64 * MIB)
            option = ['-l', 'logdev=' + d + '/second,size=16m'] if what == 'log' else ['-r', 'rtdev=' + d + '/second']
            mkfs(image, 64 * MIB, '', *option)
            m = u.Map('xfs', image)
            if what == 'log':
                u.check_all_used('external log', m, 64 * MIB, 'log lies on another device')
            else:
                check(not m.all and m.used < 32 * MIB, 'realtime: %s' % m.why)

    def test_forbidden(self):
        image = self.image
        for field, value, word in (('features_incompat', '0x8000000b', 'not known'), ('features_incompat', '0x1b', 'damaged'),
                                   ('features_ro_compat', '0x40000005', 'not known'), ('inprogress', '1', 'interrupted'),
                                   ('versionnum', '0xb6a5', 'not known')):
            mkfs(image, 64 * MIB, '')
            db(image, 'sb 0', 'write -d %s %s' % (field, value), write=True)
            m = u.Map('xfs', image)
            u.check_all_used('%s=%s' % (field, value), m, 64 * MIB, word)
        for offset in (4, 9, 60, 87, 100, 120, 124):
            mkfs(image, 64 * MIB, '')
            flip(image, offset, 0x11)
            u.check_all_used('superblock byte %d' % offset, u.Map('xfs', image), 64 * MIB)

    def test_damaged(self):
        """Whatever one flipped byte in the metadata does, no used byte may leave the map."""
        for options in ('-b size=1024 -m rmapbt=0', '-m crc=0 -b size=512'):
            image, d, rng, rounds = self.image, self.d, self.rng, 60 * u.N
            mkfs(image, 64 * MIB, options, '-p', proto(d, rng, 16 * MIB))
            s, truth = super_of(image), u.Map('xfs', image)
            targets = []
            for ag in range(s['ag_count']):
                start = ag * s['ag_blocks'] * s['block']
                fields = db(image, 'agf %d' % ag, 'print bnoroot cntroot').replace('=', ' ').split()
                targets += [(start + s['sector'], 60)] * 2
                for root in fields[1::2]:
                    targets.append((start + int(root) * s['block'], 256))
            targets += [(s['log'][0], 1024), (0, 264)]
            noticed = 0
            for _ in range(rounds):
                start, length = rng.choice(targets)
                offset, mask = start + rng.randrange(length), 1 << rng.randrange(8)
                flip(image, offset, mask)
                m = u.Map('xfs', image)
                missing = u.common(u.gaps(m.runs, 64 * MIB), truth.runs)
                check(not missing, '%s: byte %d ^ %#x: lost %s' % (options, offset, mask, missing[:3]))
                noticed += m.used > truth.used
                flip(image, offset, mask)
            check(noticed > rounds // 4, '%s: damage hardly noticed (%d of %d)' % (options, noticed, rounds))


u.each(Xfs, VARIANTS, Xfs.variant)

if __name__ == '__main__':
    unittest.main()
