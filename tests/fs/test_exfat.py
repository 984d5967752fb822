# SPDX-License-Identifier: GPL-3.0-or-later
"""exFAT maps against mkfs.exfat, exfat-fuse, fsck.exfat and sleuthkit: whatever another program calls used is used
here; a copy of nothing else is whole; and what cannot be trusted is all used."""
import contextlib
import errno
import os
import random
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from maps import N, SEED, copy_used, merge, run, total, tree  # noqa: E402
from oracles import Map, blkls, make_sparse, patch, peek, say, scratch  # noqa: E402

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

# size, options of mkfs.exfat
VARIANTS = [
    (5 * MIB, '-c 512'),
    (24 * MIB, '-c 512'),
    (24 * MIB + 512 * 5, '-c 1K'),
    (24 * MIB + 512 * 7, '-c 2K -b 64K'),
    (32 * MIB, '-c 4K'),
    (32 * MIB, ''),
    (40 * MIB + 512, '-c 8K -b 4M'),
    (40 * MIB, '-c 16K'),
    (48 * MIB + 99 * 512, '-c 32K'),
    (64 * MIB, '-c 64K --pack-bitmap'),
    (64 * MIB, '-c 128K'),
    (80 * MIB, '-c 1M'),
    (160 * MIB, '-c 8M'),
    (320 * MIB, '-c 32M'),
]
LARGE = [(2 * TIB, '-c 32K'), (16 * TIB, '-c 1M'), (60 * TIB + 512 * 33, '-c 32M'), (64 * GIB, '-c 512')]


class Boot:
    """The fields of a boot sector that the tests turn, and the few structures that they build."""

    def __init__(self, image):
        self.image = image
        b = peek(image, 0, 512)
        self.total, fat, fat_len, heap, self.clusters, self.root = struct.unpack_from('<QIIIII', b, 72)
        self.sector, self.cluster = 1 << b[108], 1 << b[108] + b[109]
        self.total, self.fat, self.fat_len, self.heap = (n * self.sector for n in (self.total, fat, fat_len, heap))

    def at(self, cluster):
        return self.heap + (cluster - 2) * self.cluster

    def entry(self, kind):
        """Where the first entry of a kind lies in the root directory."""
        for at in range(self.at(self.root), self.at(self.root) + self.cluster, 32):
            if peek(self.image, at, 1)[0] == kind:
                return at
        raise AssertionError(f'no entry {kind:#x}')

    def bitmap(self):
        """The first cluster and the length of the bitmap."""
        return struct.unpack_from('<IQ', peek(self.image, self.entry(0x81), 32), 20)

    def link(self, cluster, following):
        patch(self.image, self.fat + 4 * cluster, struct.pack('<I', following))

    def mark(self, cluster, used=True):
        at = self.at(self.bitmap()[0]) + (cluster - 2) // 8
        bit = 1 << (cluster - 2) % 8
        byte = peek(self.image, at, 1)[0]
        patch(self.image, at, bytes([byte | bit if used else byte & ~bit]))

    def sign(self):
        """The checksums of both boot regions, the backup made equal."""
        region = bytearray(peek(self.image, 0, 11 * self.sector))
        total = 0
        for i, byte in enumerate(region):
            if i not in (106, 107, 112):
                total = ((total << 31 | total >> 1) + byte) & 0xffffffff
        region += struct.pack('<I', total) * (self.sector // 4)
        patch(self.image, 0, bytes(region) * 2)


class Exfat(unittest.TestCase):
    def setUp(self):
        self.folder = scratch(self)
        self.image = os.path.join(self.folder, 'image')
        self.random = random.Random(SEED)

    def make(self, size=24 * MIB, options='-c 4K'):
        make_sparse(self.image, size)
        run('mkfs.exfat', '-L', 'isomorph', *options.split(), self.image)
        return Boot(self.image)

    @contextlib.contextmanager
    def mounted(self, image, options=''):
        place = os.path.join(self.folder, 'mnt')
        os.makedirs(place, exist_ok=True)
        if os.geteuid() or not os.path.exists('/dev/fuse'):
            self.skipTest('needs root and /dev/fuse')
        loop = run('losetup', '--find', '--show', image).strip()  # exfat-fuse wants a block device
        server = subprocess.Popen(['mount.exfat-fuse', '-d', *(['-o', options] if options else []), loop, place],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not os.path.ismount(place):
                self.assertIsNone(server.poll(), 'exfat-fuse does not mount it')
                time.sleep(0.01)
            yield place
        finally:
            if os.path.ismount(place):
                run('umount', place)
            server.communicate(timeout=60)
            run('losetup', '-d', loop)

    def fill(self, place, n, most):
        """Files of any size until there are n or the volume is full."""
        for i in range(n):
            folder = os.path.join(place, f'folder {i % 5}')
            try:
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, f'{self.random.random()} ä.bin'), 'wb') as f:
                    f.write(self.random.randbytes(self.random.randrange(most)))
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)
                break

    def age(self, place, room):
        self.fill(place, 50, max(2000, room // 50))
        for base, _, names in os.walk(place):
            for name in names[::2]:
                os.unlink(os.path.join(base, name))
        self.fill(place, 6, max(4000, room // 10))

    def believed(self):
        ours = Map('exfat', self.image)
        self.assertEqual((ours.all_used, ours.state, ours.why), (False, 'clean', '-'))
        return ours

    def refused(self, state, *words):
        ours = Map('exfat', self.image)
        self.assertTrue(ours.all_used)
        self.assertEqual((ours.runs, ours.state), ([(0, ours.size)], state), ours.why)
        for word in words:
            self.assertIn(word, ours.why)

    def check_oracle(self, what):
        b, ours = Boot(self.image), self.believed()
        ends = [(0, b.heap), (b.at(b.clusters + 2), ours.size)]
        self.assertEqual(ours.missing(ends), [], what)
        theirs = blkls('exfat', self.image, b.sector)
        self.assertEqual(ours.missing(theirs), [], what)
        kept = (ours.used - total(merge(theirs + ends))) // b.cluster
        say(f'{what}: {ours.used} used, {kept} clusters kept that sleuthkit calls free')
        self.assertEqual(kept, 0, what)
        free = int(run('dump.exfat', self.image).split('Free Clusters:')[1].split()[0])
        self.assertEqual((ours.size - ours.used) // b.cluster, free, what)
        return ours

    def check_copy(self, ours, what):
        target = self.image + '.copy'
        copy_used(self.image, ours.runs, target)
        run('fsck.exfat', '-n', target)
        with self.mounted(self.image, 'ro') as place:
            files = tree(place)
        with self.mounted(target, 'ro') as place:
            self.assertEqual(files, tree(place), what)
        self.assertGreater(len(files), 5, what)

    def test_variants(self):
        for size, options in VARIANTS * N:
            with self.subTest(options=options, size=size):
                self.setUp()
                self.make(size, options)
                self.check_oracle(f'{options} {size} empty')
                with self.mounted(self.image) as place:
                    self.age(place, min(size // 3, 12 * MIB))
                self.check_copy(self.check_oracle(f'{options} {size} aged'), options)

    def test_nearly_full(self):
        self.make(8 * MIB, '-c 512')
        with self.mounted(self.image) as place:
            self.fill(place, 400, 100000)
        ours = self.check_oracle('full')
        self.check_copy(ours, 'full')
        self.assertGreater(ours.used, 7.5 * MIB)

    def test_large(self):
        for size, options in LARGE:
            with self.subTest(options=options):
                self.setUp()
                b = self.make(size, options)
                start = time.monotonic()
                ours = self.believed()
                seconds = time.monotonic() - start
                say(f'{options} {size}: {b.clusters} clusters in {seconds:.2f} s, {ours.used} used')
                self.assertLess(ours.used, b.heap + 4 * b.cluster + b.clusters // 8 + ours.size - b.at(b.clusters + 2) + MIB)
                self.assertEqual(ours.missing([(b.at(b.clusters + 2), ours.size), (0, b.heap)]), [])
                self.assertLess(seconds, 2 + b.clusters * 1e-8)

    def test_facts(self):
        b = self.make()
        facts = Map('exfat', self.image).facts
        self.assertEqual((facts['type'], facts['label'], facts['block_size']), ('exfat', 'isomorph', '4096'))
        self.assertEqual(facts['uuid'], run('blkid', '-p', '-s', 'UUID', '-o', 'value', self.image).strip())
        self.assertEqual(int(facts['size']), b.total)

    def test_dirty(self):
        self.make()
        self.believed()
        patch(self.image, 106, b'\x02')
        self.refused('dirty', 'not unmounted', 'fsck.exfat')
        patch(self.image, 106, b'\x04')  # media failures: no reason
        self.believed()
        patch(self.image, 106, b'\0')
        with self.mounted(self.image) as place:
            self.fill(place, 3, 30000)
            self.refused('dirty', 'not unmounted')
        self.believed()

    def test_percentage_is_not_believed(self):
        self.make()
        before = self.believed().runs
        for percent in (b'\0', b'\x64', b'\xff'):
            patch(self.image, 112, percent)
            self.assertEqual(self.believed().runs, before)

    def test_bitmap_in_fragments(self):
        b = self.make(24 * MIB, '-c 512')
        before = self.believed()
        first, length = b.bitmap()
        n = -(-length // 512)
        self.assertGreater(n, 4)
        # Its last clusters move to the end of the volume, in reverse.
        new = [b.clusters - i for i in range(n - 2)]
        self.assertTrue(before.missing([(b.at(c), b.at(c) + 512) for c in new]))
        for c in new:
            at = b.at(first) + (c - 2) // 8
            patch(self.image, at, bytes([peek(self.image, at, 1)[0] | 1 << (c - 2) % 8]))
        for i, c in enumerate(new):
            patch(self.image, b.at(c), peek(self.image, b.at(first + 2 + i), 512))
            patch(self.image, b.at(first + 2 + i), self.random.randbytes(512))
        for c, following in zip([first + 1] + new, new + [0xffffffff]):
            b.link(c, following)
        ours = self.believed()
        self.assertEqual(ours.runs, merge(before.runs + [(b.at(c), b.at(c) + 512) for c in new]))
        # A circle, a way out, an early end, a free cluster in the middle.
        for following in (first, b.clusters + 2, 0xffffffff, 0, 1, 0xfffffff7):
            b.link(new[0], following)
            self.refused('damaged', 'bitmap')
        b.link(new[0], new[1])
        self.believed()

    def test_two_bitmaps_are_united(self):
        """TexFAT: two FATs, two bitmaps; nobody makes such volumes, the specification has them."""
        b = self.make(24 * MIB, '-c 4K')
        before = self.believed()
        first, length = b.bitmap()
        second = b.clusters - 10
        self.assertLess(b.fat + 2 * b.fat_len, b.heap)
        b.mark(second)
        b.link(second, 0xffffffff)
        patch(self.image, b.at(second), peek(self.image, b.at(first), 4096))
        entry = bytearray(peek(self.image, b.entry(0x81), 32))
        entry[1] = 1
        struct.pack_into('<I', entry, 20, second)
        patch(self.image, b.entry(0), bytes(entry))
        patch(self.image, b.fat + b.fat_len, peek(self.image, b.fat, b.fat_len))
        patch(self.image, 110, b'\2')
        b.sign()
        expected = merge(before.runs + [(b.at(second), b.at(second) + 4096)])
        self.assertEqual(self.believed().runs, expected)
        for bitmap, cluster in ((first, 3000), (second, 4000)):
            at = b.at(bitmap) + (cluster - 2) // 8
            patch(self.image, at, bytes([peek(self.image, at, 1)[0] | 1 << (cluster - 2) % 8]))
            expected = merge(expected + [(b.at(cluster), b.at(cluster) + 4096)])
            self.assertEqual(self.believed().runs, expected)
        # The second FAT is the active one: the first does not count.
        patch(self.image, b.fat, b'\xa5' * b.fat_len)
        self.refused('damaged')
        patch(self.image, 106, b'\1')
        self.assertEqual(self.believed().runs, expected)

    def test_own_tables_called_free(self):
        b = self.make()
        upcase = struct.unpack_from('<I', peek(self.image, b.entry(0x82), 32), 20)[0]
        for cluster in (b.root, upcase, b.bitmap()[0]):
            b.mark(cluster, False)
            self.refused('damaged', 'own tables free')
            b.mark(cluster)
            self.believed()

    def test_backup_boot_region(self):
        b = self.make()
        before = self.believed().runs
        patch(self.image, 12 * b.sector + 200, b'\xee')
        ours = Map('exfat', self.image)
        self.assertEqual((ours.all_used, ours.runs), (False, before))
        self.assertIn('backup boot region', ours.why)

    def test_tail_of_the_partition(self):
        self.make()
        with open(self.image, 'ab') as f:
            f.write(b'x' * 50000)
        self.assertEqual(self.believed().missing([(24 * MIB, 24 * MIB + 50000)]), [])

    def test_what_cannot_be_trusted_is_all_used(self):
        size = 24 * MIB
        b = self.make(size)
        bitmap, upcase = b.entry(0x81), b.entry(0x82)
        signed = {
            'no signature': [(3, b'XXFAT')],
            'no mark at the end': [(510, b'\0\0')],
            'a FAT boot sector too': [(11, b'\0\2')],
            'sector size 2^0': [(108, b'\0')],
            'sector size 2^13': [(108, b'\x0d')],
            'cluster size 2^30': [(109, b'\x15')],
            'cluster size overflows': [(109, b'\xff')],
            'no FAT': [(110, b'\0')],
            'three FATs': [(110, b'\3')],
            'second FAT active': [(106, b'\1')],
            'revision 2': [(105, b'\2')],
            'larger than the partition': [(72, struct.pack('<Q', size // 512 + 1))],
            'length overflows': [(72, b'\xff' * 8)],
            'FAT in the boot region': [(80, struct.pack('<I', 3))],
            'FAT too short': [(84, struct.pack('<I', 1))],
            'FAT too long': [(84, b'\xff\xff\xff\xff')],
            'heap before the FAT': [(88, struct.pack('<I', 24))],
            'heap behind the end': [(88, b'\xff\xff\xff\x7f')],
            'too many clusters': [(92, b'\xff\xff\xff\xff')],
            'root cluster 0': [(96, bytes(4))],
            'root cluster behind the end': [(96, struct.pack('<I', b.clusters + 2))],
            'root in a circle': [(b.fat + 4 * b.root, struct.pack('<I', b.root)),
                                 (b.at(b.root), b'\x05\0' * 2048)],
            'no bitmap': [(bitmap, b'\x01')],
            'bitmap too short': [(bitmap + 24, struct.pack('<Q', b.clusters // 8 - 1))],
            'bitmap endless': [(bitmap + 24, b'\xff' * 8)],
            'bitmap elsewhere': [(bitmap + 20, struct.pack('<I', 0))],
            'bitmap twice': [(upcase, peek(self.image, bitmap, 32))],
            'no up-case table': [(upcase, b'\x02')],
            'up-case table endless': [(upcase + 24, b'\xff' * 8)],
        }
        unsigned = {'checksum': [(200, b'\1')], 'checksum sector': [(11 * b.sector, b'\1')]}
        region = peek(self.image, 0, 24 * b.sector)
        for name, patches in {**signed, **unsigned}.items():
            with self.subTest(name):
                self.believed()
                saved = [(at, peek(self.image, at, len(data))) for at, data in patches]
                for at, data in patches:
                    patch(self.image, at, data)
                if name in signed:
                    b.sign()
                ours = Map('exfat', self.image)
                self.assertTrue(ours.all_used)
                self.assertEqual(ours.runs, [(0, size)])
                self.assertNotEqual(ours.why, '-')
                for at, data in saved:
                    patch(self.image, at, data)
                patch(self.image, 0, region)


if __name__ == '__main__':
    unittest.main()
