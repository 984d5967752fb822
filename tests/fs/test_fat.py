# SPDX-License-Identifier: GPL-3.0-or-later
"""FAT12, FAT16 and FAT32 maps against mkfs.fat, mtools, fsck.fat and sleuthkit: whatever another program calls used
is used here; a copy of nothing else is whole; and what cannot be trusted is all used."""
import os
import random
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from maps import N, SEED, copy_used, merge, run, total, tree  # noqa: E402
from oracles import Map, blkls, make_sparse, patch, peek, say, scratch  # noqa: E402

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

# size, options of mkfs.fat
VARIANTS = [
    (1440 * KIB, '-F 12'),
    (360 * KIB, '-F 12 -s 2'),
    (8 * MIB, '-F 12 -s 64'),
    (4 * MIB, '-F 12 -f 1 -s 8'),
    (16 * MIB, '-F 12 -S 2048 -s 4'),
    (8 * MIB, '-F 16 -s 1'),
    (32 * MIB, '-F 16 -s 4 -R 7'),
    (33 * MIB + 512 * 3, '-F 16 -s 2 -f 1'),
    (64 * MIB, '-F 16 -S 1024 -s 2'),
    (48 * MIB, '-F 16 -S 4096 -s 1 -r 1024'),
    (36 * MIB, '-F 32 -s 1'),
    (40 * MIB + 512 * 5, '-F 32 -s 1 -f 1 -R 64'),
    (48 * MIB, '-F 32 -f 3 -b 9 -R 48'),
    (272 * MIB, '-F 32 -S 4096 -s 1'),
    (40 * MIB, '-F 32 -a -h 63'),
]
LARGE = [(3 * GIB, '-F 32 -s 8'), (2 * TIB - 512, '-F 32 -s 128'), (3 * TIB, '-F 32 -S 4096 -s 16')]


class Boot:
    """The fields of a boot sector that the tests turn."""

    def __init__(self, image):
        b = peek(image, 0, 512)
        self.sector, self.per_cluster, self.reserved, self.n_tables, self.root_entries = struct.unpack_from('<HBHBH', b,
                                                                                                            11)
        self.table = struct.unpack_from('<H', b, 22)[0]
        self.is_32 = self.table == 0
        self.table = (self.table or struct.unpack_from('<I', b, 36)[0]) * self.sector
        self.tables = self.reserved * self.sector
        self.data = self.tables + self.n_tables * self.table + -(-self.root_entries * 32 // self.sector) * self.sector
        self.total = (struct.unpack_from('<H', b, 19)[0] or struct.unpack_from('<I', b, 32)[0]) * self.sector
        self.cluster = self.sector * self.per_cluster
        self.clusters = (self.total - self.data) // self.cluster
        self.bits = 32 if self.is_32 else 12 if self.clusters < 4085 else 16


class Fat(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        os.environ['MTOOLS_SKIP_CHECK'] = '1'

    def setUp(self):
        self.folder = scratch(self)
        self.image = os.path.join(self.folder, 'image')
        self.random = random.Random(SEED)

    def make(self, size, options):
        make_sparse(self.image, size)
        run('mkfs.fat', '-n', 'ISOMORPH', *options.split(), self.image)

    def add_files(self, prefix, sizes):
        files = os.path.join(self.folder, prefix)
        os.makedirs(os.path.join(files, prefix), exist_ok=True)
        for i, size in enumerate(sizes):
            with open(os.path.join(files, prefix, f'{prefix} number {i}.bin'), 'wb') as f:
                f.write(self.random.randbytes(size))
        run('mcopy', '-o', '-s', '-Q', '-i', self.image, os.path.join(files, prefix), '::', ok=(0, 1))

    def age(self, fill=0.7):
        """Many files, every other one deleted, longer ones into the holes: fragments."""
        boot = Boot(self.image)
        room = min(boot.clusters * boot.cluster, 16 * MIB)
        n = 40
        self.add_files('first', [self.random.randrange(1 + int(room * fill / n * 1.6)) for _ in range(n)])
        for i in range(0, n, 2):
            run('mdel', '-i', self.image, f'::first/first number {i}.bin', ok=(0, 1))
        self.add_files('second', [self.random.randrange(1 + int(room * fill / 10)) for _ in range(6)])

    def check_oracle(self, what):
        """sleuthkit's view of clusters; it takes all before them as used, and does not see what is behind."""
        boot = Boot(self.image)
        ours = Map('vfat', self.image)
        theirs = blkls(f'fat{boot.bits}', self.image, boot.sector)
        self.assertEqual(ours.missing(theirs), [], what)
        behind = boot.data + boot.clusters * boot.cluster
        self.assertEqual(ours.missing([(0, boot.data), (behind, ours.size)]), [], what)
        self.assertFalse(ours.all_used, f'{what}: {ours.why}')
        kept = ours.used - total(merge(theirs + [(0, boot.data), (behind, ours.size)]))
        say(f'{what}: {ours.used} used, {kept // boot.cluster} clusters kept that sleuthkit calls free')
        self.assertEqual(kept, 0)
        return ours

    def check_copy(self, ours, what):
        target, a, b = (os.path.join(self.folder, name) for name in ('target', 'a', 'b'))
        copy_used(self.image, ours.runs, target)
        if '-f 3' not in what:  # fsck.fat knows two at most
            run('fsck.fat', '-n', target)
        for image, folder in ((self.image, a), (target, b)):
            os.mkdir(folder)
            run('mcopy', '-s', '-n', '-Q', '-i', image, '::/', folder)
        files = tree(a)
        self.assertGreater(len(files), 6, what)
        self.assertEqual(files, tree(b), what)

    def test_variants(self):
        for size, options in VARIANTS * N:
            with self.subTest(options=options, size=size):
                self.setUp()
                self.make(size, options)
                self.check_oracle(options + ' empty')
                self.age()
                self.check_copy(self.check_oracle(options + ' aged'), options)

    def test_few_clusters(self):
        """FAT32 with fewer clusters than it should have, as many tools make it; mtools does not read it."""
        for options in ('-F 32 -s 2', '-F 32 -s 64'):
            self.setUp()
            self.make(34 * MIB, options)
            ours = self.check_oracle(options)
            copy_used(self.image, ours.runs, self.image + '.copy')
            run('fsck.fat', '-n', self.image + '.copy')

    def test_nearly_full(self):
        for size, options in ((2880 * KIB, '-F 12'), (9 * MIB, '-F 16 -s 1'), (36 * MIB, '-F 32 -s 1')):
            with self.subTest(options=options):
                self.setUp()
                self.make(size, options)
                boot = Boot(self.image)
                self.add_files('full', [boot.clusters * boot.cluster // 64] * 70)
                ours = self.check_oracle(options + ' full')
                self.assertGreater(ours.used, size * 0.95)

    def test_large(self):
        for size, options in LARGE:
            with self.subTest(options=options):
                self.setUp()
                self.make(size, options)
                self.add_files('few', [30000] * 5)
                start = time.monotonic()
                ours = Map('vfat', self.image)
                seconds = time.monotonic() - start
                boot = Boot(self.image)
                say(f'{options} {size}: {boot.clusters} clusters in {seconds:.2f} s')
                self.assertFalse(ours.all_used, ours.why)
                self.assertLess(ours.used, boot.data + 64 * boot.cluster)
                self.assertEqual(ours.missing([(0, boot.data + 7 * boot.cluster)]), [])
                # By entry it would be a system call a cluster; 100 ns a cluster is a fiftieth of that.
                self.assertLess(seconds, 1 + boot.clusters * 1e-7)

    def test_label_and_uuid(self):
        for options in ('-F 12', '-F 16 -s 1', '-F 32 -s 1'):
            self.setUp()
            self.make(36 * MIB if '32' in options else 16 * MIB, options + ' -i 1234ABCD')
            facts = Map('vfat', self.image).facts
            self.assertEqual((facts['label'], facts['uuid'], facts['type']), ('ISOMORPH', '1234-ABCD', 'vfat'))

    def free_cluster(self, boot):
        """The last cluster, which is free in what these tests make."""
        return boot.clusters + 1, boot.data + (boot.clusters - 1) * boot.cluster

    def entry(self, boot, table, cluster):
        return boot.tables + table * boot.table + cluster * boot.bits // 8

    def test_bad_and_reserved_entries_are_used(self):
        for options, marks in (('-F 16 -s 1', (b'\xf7\xff', b'\x01\x00')),
                               ('-F 32 -s 1', (b'\xf7\xff\xff\x0f', b'\x01\0\0\0', b'\xf7\xff\xff\xff'))):
            for mark in marks:
                self.setUp()
                self.make(36 * MIB if '32' in options else 16 * MIB, options)
                boot = Boot(self.image)
                cluster, at = self.free_cluster(boot)
                self.assertNotEqual(Map('vfat', self.image).missing([(at, at + 1)]), [])
                for table in (0, 1):
                    patch(self.image, self.entry(boot, table, cluster), mark)
                ours = Map('vfat', self.image)
                self.assertEqual(ours.missing([(at, at + boot.cluster)]), [])
                self.assertEqual(ours.why, '-')

    def test_upper_four_bits_mean_nothing(self):
        self.make(36 * MIB, '-F 32 -s 1')
        boot = Boot(self.image)
        before = Map('vfat', self.image).runs
        for table in (0, 1):
            for cluster in range(100, 200):
                patch(self.image, self.entry(boot, table, cluster), b'\0\0\0\xf0')
        self.assertEqual(Map('vfat', self.image).runs, before)

    def test_copies_that_differ_are_united(self):
        for size, options in ((1440 * KIB, '-F 12'), (16 * MIB, '-F 16 -s 1'), (36 * MIB, '-F 32 -s 1 -f 3')):
            self.setUp()
            self.make(size, options)
            self.age()
            boot = Boot(self.image)
            whole = Map('vfat', self.image)
            for table in range(boot.n_tables):
                saved = peek(self.image, boot.tables + table * boot.table, boot.table)
                patch(self.image, boot.tables + table * boot.table + 16, bytes(boot.table - 16))
                ours = Map('vfat', self.image)
                self.assertEqual(ours.runs, whole.runs, options)
                self.assertIn('differ', ours.why)
                self.assertEqual(ours.state, 'damaged')
                patch(self.image, boot.tables + table * boot.table, saved)

    def test_mirroring_off(self):
        self.make(36 * MIB, '-F 32 -s 1')
        self.age()
        boot = Boot(self.image)
        whole = Map('vfat', self.image)
        patch(self.image, 40, b'\x81\0')
        patch(self.image, boot.tables, bytes(boot.table))  # the first is not used any more
        self.assertEqual(Map('vfat', self.image).runs, whole.runs)
        patch(self.image, 40, b'\x85\0')  # no such table
        self.assertTrue(Map('vfat', self.image).all_used)

    def test_dirty(self):
        for size, options, at, clean in ((16 * MIB, '-F 16 -s 1', 3, 0x7f), (36 * MIB, '-F 32 -s 1', 7, 0x07)):
            self.setUp()
            self.make(size, options)
            boot = Boot(self.image)
            before = Map('vfat', self.image)
            self.assertEqual((before.state, before.why), ('clean', '-'))
            for table in (0, 1):
                patch(self.image, boot.tables + table * boot.table + at, bytes([clean]))
            ours = Map('vfat', self.image)
            self.assertEqual((ours.state, ours.runs), ('dirty', before.runs))
            self.assertIn('not unmounted', ours.why)
            self.setUp()
            self.make(size, options)
            patch(self.image, 65 if '32' in options else 37, b'\x01')  # as Linux marks it
            self.assertEqual(Map('vfat', self.image).state, 'dirty')

    def test_free_space_hint_is_not_believed(self):
        self.make(36 * MIB, '-F 32 -s 1')
        self.age()
        before = Map('vfat', self.image)
        patch(self.image, 512 + 488, struct.pack('<II', 70000, 2))
        self.assertEqual(Map('vfat', self.image).runs, before.runs)

    def test_tail_of_the_partition_is_used(self):
        self.make(16 * MIB, '-F 16 -s 4')
        with open(self.image, 'ab') as f:
            f.write(b'x' * 70000)
        ours = Map('vfat', self.image)
        self.assertEqual(ours.missing([(16 * MIB, 16 * MIB + 70000)]), [])
        self.assertFalse(ours.all_used)

    def test_offset(self):
        self.make(16 * MIB, '-F 16 -s 4')
        before = Map('vfat', self.image).runs
        shifted = os.path.join(self.folder, 'disk')
        with open(self.image, 'rb') as src, open(shifted, 'wb') as dst:
            dst.write(b'y' * 1000448 + src.read())
        self.assertEqual(Map('vfat', shifted, 1000448).runs, before)

    def test_what_cannot_be_trusted_is_all_used(self):
        size = 36 * MIB
        self.make(size, '-F 32 -s 1')
        good = peek(self.image, 0, 64 * KIB)
        boot = Boot(self.image)
        root = self.entry(boot, 0, 2)
        cases = {
            'no signature': [(510, b'\0\0')],
            'sector size 0': [(11, b'\0\0')],
            'sector size 513': [(11, b'\x01\x02')],
            'cluster size 0': [(13, b'\0')],
            'cluster size 3': [(13, b'\3')],
            'no tables': [(16, b'\0')],
            'no reserved sectors': [(14, b'\0\0')],
            'larger than the partition': [(32, struct.pack('<I', size // 512 + 1))],
            'tables longer than all': [(36, struct.pack('<I', 0xffffffff))],
            'table too short': [(36, struct.pack('<I', 100))],
            'unknown version': [(42, b'\1\0')],
            'root cluster 0': [(44, bytes(4))],
            'root cluster behind the end': [(44, b'\xff\xff\xff\x0f')],
            'root cluster free': [(root, bytes(4)), (root + boot.table, bytes(4))],
            'tables zeroed': [(boot.tables, bytes(4096)), (boot.tables + boot.table, bytes(4096))],
            'BitLocker To Go': [(424, bytes.fromhex('3bd66749292ed84a8399f6a339e3d001'))],
            'media byte': [(21, b'\0')],
        }
        for name, patches in cases.items():
            with self.subTest(name):
                patch(self.image, 0, good)
                saved = [(at, peek(self.image, at, len(data))) for at, data in patches]
                self.assertFalse(Map('vfat', self.image).all_used)
                for at, data in patches:
                    patch(self.image, at, data)
                ours = Map('vfat', self.image)
                self.assertTrue(ours.all_used)
                self.assertEqual(ours.runs, [(0, size)])
                self.assertNotEqual(ours.why, '-')
                for at, data in saved:
                    patch(self.image, at, data)
        with open(self.image, 'r+b') as f:
            f.truncate(size - 512)
        self.assertTrue(Map('vfat', self.image).all_used)

    def test_bounds_between_the_kinds(self):
        """Cluster counts near 4085 and 65525: what one driver reads as FAT12 another reads as FAT16."""
        for clusters, kept in ((4084, False), (4085, True), (4086, True), (4087, False), (65524, False),
                               (65525, True)):
            self.setUp()
            make_sparse(self.image, 64 * MIB)
            table = (clusters + 2) * 2 // 512 + 1
            total = 1 + 2 * table + 32 + clusters
            boot = bytearray(512)
            boot[0:11] = b'\xeb\x3c\x90mkfs.fat'
            struct.pack_into('<HBHBHHBH', boot, 11, 512, 1, 1, 2, 512, 0, 0xf8, table)
            struct.pack_into('<I', boot, 32, total)
            boot[510:] = b'\x55\xaa'
            patch(self.image, 0, bytes(boot))
            for i in (0, 1):
                patch(self.image, 512 * (1 + i * table), b'\xf8\xff\xff' + (b'\xff' if clusters > 4086 else b''))
            with self.subTest(clusters=clusters):
                ours = Map('vfat', self.image)
                self.assertEqual(ours.all_used, kept, ours.why)
                first = 512 * (1 + 2 * table + 32)
                if not kept:
                    self.assertEqual(ours.runs, [(0, first), (first + clusters * 512, 64 * MIB)])


if __name__ == '__main__':
    unittest.main()
