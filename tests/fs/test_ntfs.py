# SPDX-License-Identifier: GPL-3.0-or-later
"""NTFS maps against mkntfs, ntfs-3g, ntfsclone and sleuthkit: whatever another program calls used is used here; a
copy of nothing else is whole; dirty, unclean, hibernated and damaged volumes are all used, with their reason."""
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
from ntfs_edit import DATA, INFORMATION, Volume, pack_runs  # noqa: E402
from oracles import Map, blkls, make_sparse, patch, peek, say, scratch  # noqa: E402

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

# size, options of mkntfs
VARIANTS = [
    (1 * MIB + 512, ''),
    (1 * MIB + 512 * 7, '-c 512'),
    (24 * MIB, '-c 512'),
    (24 * MIB + 512 * 5, '-c 1024'),
    (32 * MIB, '-c 2048 -s 1024'),
    (32 * MIB + 4096 * 3, '-c 4096 -s 4096'),
    (40 * MIB, ''),
    (40 * MIB + 3 * 512, '-c 8192 -I'),
    (48 * MIB, '-c 16384 -s 2048'),
    (48 * MIB, '-c 32768 -C'),
    (64 * MIB + 60 * KIB, '-c 65536'),
    (80 * MIB, '-c 131072'),
    (96 * MIB, '-c 524288'),
    (120 * MIB, '-c 1048576'),
    (160 * MIB + 512, '-c 2097152'),
]
LARGE = [(8 * TIB, '-c 65536'), (16 * TIB + 512 * 99, '-c 2097152'), (400 * GIB, '-c 4096')]
LOG_OK = (100, True, False)


class Ntfs(unittest.TestCase):
    def setUp(self):
        self.folder = scratch(self)
        self.image = os.path.join(self.folder, 'image')
        self.random = random.Random(SEED)

    def make(self, size=24 * MIB, options='-c 4096', files=0):
        make_sparse(self.image, size)
        run('mkntfs', '-Q', '-F', '-q', '-L', 'isomorph', *options.split(), self.image)
        if files:
            with self.mounted(self.image) as place:
                self.fill(place, files, 30000)
        return Volume(self.image)

    @contextlib.contextmanager
    def mounted(self, image, options='big_writes'):
        place = os.path.join(self.folder, 'mnt')
        os.makedirs(place, exist_ok=True)
        if os.geteuid() or not os.path.exists('/dev/fuse'):
            self.skipTest('needs root and /dev/fuse')
        server = subprocess.Popen(['ntfs-3g', '-o', f'no_detach,{options}', image, place], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            while not os.path.ismount(place):
                self.assertIsNone(server.poll(), 'ntfs-3g does not mount it')
                time.sleep(0.01)
            yield place
        finally:
            if os.path.ismount(place):
                run('umount', place)
            server.communicate(timeout=60)

    def fill(self, place, n, most):
        """Files of any size until there are n or the volume is full. Return: how many."""
        for i in range(n):
            folder = os.path.join(place, f'folder {i % 5}')
            try:
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, f'{self.random.random()} ä.bin'), 'wb') as f:
                    f.write(self.random.randbytes(self.random.randrange(most)))
            except OSError as e:
                self.assertEqual(e.errno, errno.ENOSPC)
                return i
        return n

    def age(self, place, room):
        """Half of the files deleted, longer ones into the holes, one with holes of its own, one compressed."""
        self.fill(place, 60, max(2000, int(room / 60)))
        for base, _, names in os.walk(place):
            for name in names[::2]:
                os.unlink(os.path.join(base, name))
        self.fill(place, 8, max(4000, int(room / 12)))
        with contextlib.suppress(OSError):
            with open(os.path.join(place, 'sparse'), 'wb') as f:
                f.seek(min(room, 8 * MIB))
                f.write(b'end')

    def cloned(self):
        """What ntfsclone copies, as (start, end): the data of the sparse file that it writes."""
        clone = self.image + '.clone'
        run('ntfsclone', '-q', '--overwrite', clone, self.image)
        runs, at = [], 0
        fd = os.open(clone, os.O_RDONLY)
        try:
            while True:
                try:
                    at = os.lseek(fd, at, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(fd, at, os.SEEK_HOLE)
                runs.append((at, min(end, os.path.getsize(self.image))))
                at = end
        finally:
            os.close(fd)
            os.unlink(clone)
        return runs

    def check_oracle(self, what):
        v, ours = Volume(self.image), Map('ntfs', self.image)
        self.assertFalse(ours.all_used, f'{what}: {ours.why}')
        self.assertEqual((ours.state, ours.why), ('clean', '-'), what)
        theirs = blkls('ntfs', self.image, v.cluster) if v.cluster <= 64 * KIB else None
        behind = [(v.clusters * v.cluster, ours.size)]
        if theirs is not None:
            self.assertEqual(ours.missing(theirs), [], what)
            kept = (ours.used - total(merge(theirs + behind))) // v.cluster
            say(f'{what}: {ours.used} used, {kept} clusters kept that sleuthkit calls free')
            self.assertEqual(kept, 0, what)
        # ntfsclone writes nothing where a used cluster is zero, and whole pages where it writes.
        if v.cluster >= 4096:
            self.assertEqual(ours.missing([r for r in self.cloned() if r[0] < v.clusters * v.cluster]), [], what)
        self.assertEqual(ours.missing(behind), [], what)
        return ours

    def check_copy(self, ours, what):
        target = self.image + '.copy'
        copy_used(self.image, ours.runs, target)
        run('ntfsfix', '-n', target)
        end = Volume(self.image).total
        self.assertEqual(peek(target, end, 512), peek(self.image, end, 512), 'backup boot sector')
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
                    self.age(place, size // 3)
                self.check_copy(self.check_oracle(f'{options} {size} aged'), options)

    def test_nearly_full(self):
        for size, options in ((8 * MIB, '-c 512'), (16 * MIB, '-c 4096')):
            with self.subTest(options=options):
                self.setUp()
                self.make(size, options)
                with self.mounted(self.image) as place:
                    self.fill(place, 2000, size // 60)
                ours = self.check_oracle(f'{options} full')
                self.check_copy(ours, options)
                self.assertGreater(ours.used, size * 0.9)

    def test_large(self):
        for size, options in LARGE:
            with self.subTest(options=options):
                self.setUp()
                v = self.make(size, options)
                start = time.monotonic()
                ours = Map('ntfs', self.image)
                seconds = time.monotonic() - start
                say(f'{options} {size}: {v.clusters} clusters in {seconds:.2f} s, {ours.used} used')
                self.assertFalse(ours.all_used, ours.why)
                self.assertLess(ours.used, 256 * MIB)
                self.assertEqual(ours.missing([(v.total, ours.size), (0, v.cluster)]), [])
                self.assertLess(seconds, 2 + v.clusters * 1e-8)

    def test_facts(self):
        v = self.make()
        facts = Map('ntfs', self.image).facts
        self.assertEqual((facts['type'], facts['label'], facts['block_size']), ('ntfs', 'isomorph', '4096'))
        self.assertEqual(facts['uuid'], run('blkid', '-p', '-s', 'UUID', '-o', 'value', self.image).strip())
        self.assertEqual(int(facts['size']), v.total)

    def refused(self, state, *words, image=None):
        ours = Map('ntfs', image or self.image)
        self.assertTrue(ours.all_used)
        self.assertEqual(ours.runs, [(0, ours.size)])
        self.assertEqual(ours.state, state, ours.why)
        for word in words:
            self.assertIn(word, ours.why)

    def believed(self):
        ours = Map('ntfs', self.image)
        self.assertEqual((ours.all_used, ours.state, ours.why), (False, 'clean', '-'))
        return ours

    def test_dirty_flag(self):
        v = self.make(files=20)
        for flags, dirty in ((0, False), (1, True), (0x8001, True), (2, True), (0x4000, True), (0x8000, False)):
            v.set_flags(flags)
            if dirty:
                self.refused('dirty', 'marked dirty', 'chkdsk')
            else:
                self.believed()

    def test_unknown_version(self):
        v = self.make()
        v.turn(3, INFORMATION, 24 + 8, b'\4\0')
        self.refused('damaged', 'version')

    def test_log(self):
        v = self.make(files=20)
        before = self.believed().runs
        for first, second, clean in (
                (LOG_OK, (90, True, False), True),
                ((100, False, True), (90, False, True), True),
                ((100, False, False), (90, True, False), False),
                ((100, True, False), (110, False, False), False),
                ((100, False, False), (110, True, False), True),
                ((100, True, False), (100, False, False), False),
                ((100, False, False), (100, False, False), False),
                (None, (110, True, True), False),
                ((110, True, True), None, False),
                (None, None, False)):
            with self.subTest(first=first, second=second):
                v.set_log(first, second)
                if clean:
                    self.assertEqual(self.believed().runs, before)
                else:
                    self.refused('dirty', 'log', 'shutdown /s /f /t 0', 'fast startup')
        v.set_log(LOG_OK, LOG_OK)
        patch(self.image, v.offset(2) + 510, b'\0\0')  # torn
        self.refused('dirty', 'log')

    def test_hibernated(self):
        for name, crowd in (('hiberfil.sys', 0), ('HiberFil.Sys', 0), ('hiberfil.sys', 700)):
            self.setUp()
            self.make()
            mark = self.random.randbytes(16)
            with self.mounted(self.image) as place:
                for i in range(crowd):
                    with open(os.path.join(place, f'{"az"[i % 2]} file {i}'), 'wb'):
                        pass
                with open(os.path.join(place, name), 'wb') as f:
                    f.write(mark + b'\0' * 100000)
            at = peek(self.image, 0, 24 * MIB).index(mark)
            for head, asleep in ((b'hibr', True), (b'HIBR', True), (b'RSTR', True), (b'\0\0\0\1', True),
                                 (b'wake', False), (b'WAKE', False), (b'\0', False)):
                with self.subTest(name=name, head=head, crowd=crowd):
                    patch(self.image, at, head + bytes(16 - len(head)))
                    if asleep:
                        self.refused('hibernated', 'hibernated', 'shutdown /s /f /t 0', 'fast startup')
                    else:
                        self.believed()

    def test_other_names_are_no_hibernation(self):
        self.make()
        with self.mounted(self.image) as place:
            for name in ('hiberfil.sy', 'hiberfil.sys2', 'xhiberfil.sys'):
                with open(os.path.join(place, name), 'wb') as f:
                    f.write(b'hibr' * 5000)
            os.mkdir(os.path.join(place, 'sub'))
            with open(os.path.join(place, 'sub', 'hiberfil.sys'), 'wb') as f:
                f.write(b'hibr' * 5000)
        self.believed()

    def test_short_hibernation_file(self):
        self.make()
        with self.mounted(self.image) as place:
            with open(os.path.join(place, 'hiberfil.sys'), 'wb') as f:
                f.write(b'\0' * 100)
        self.refused('hibernated')

    def test_attribute_lists(self):
        """$Bitmap and $MFT in pieces that other file records hold; ntfs-3g reads the same."""
        for number, keep in ((6, 11), (0, 50)):
            with self.subTest(number=number):
                self.setUp()
                v = self.make(24 * MIB, '-c 512')
                before = self.believed().runs
                v.split(number, keep, 24)
                self.assertEqual(self.believed().runs, before)
                self.assertIn(f'Volume Size in Clusters: {v.clusters}', run('ntfsinfo', '-m', self.image))
                self.assertGreater(total(self.cloned()), MIB)
                with self.mounted(self.image, 'ro') as place:
                    self.assertEqual(os.listdir(place), [])
                # A piece that is missing, or that belongs to another file.
                e = v.load(24)
                good = bytes(e)
                for at, data in ((22, b'\0\0'), (32, b'\x09'), (16, b'\x08'), (struct.unpack_from('<H', e, 20)[0] + 16, b'\1')):
                    e = bytearray(good)
                    e[at:at + len(data)] = data
                    v.store(24, e)
                    self.refused('damaged')
                v.store(24, good)
                self.believed()

    def test_bitmap_in_fragments(self):
        """The second half of $Bitmap elsewhere, as on a volume that has grown."""
        v = self.make(24 * MIB, '-c 512')
        before = self.believed()
        (lcn, n), = v.runs(6)
        new = v.clusters - 100
        half = n // 2
        patch(self.image, new * 512, peek(self.image, (lcn + half) * 512, (n - half) * 512))
        patch(self.image, (lcn + half) * 512, self.random.randbytes((n - half) * 512))
        pairs = pack_runs([(lcn, half), (new, n - half)])
        r = v.load(6)
        at, length = v.attribute(r, DATA)
        tail = bytes(r[at + length:struct.unpack_from('<I', r, 24)[0]])
        piece = bytes(r[at:at + 64]) + pairs + bytes(-len(pairs) % 8)
        r[at:at + len(piece) + len(tail)] = piece + tail
        struct.pack_into('<I', r, at + 4, len(piece))
        struct.pack_into('<H', r, at + 32, 64)
        struct.pack_into('<I', r, 24, at + len(piece) + len(tail))
        v.store(6, r)
        # The place that it moved to is not marked yet: then the bitmap lies.
        self.refused('damaged', 'own files free')
        for c in range(new, new + n - half):
            byte = new * 512 + c // 8 - half * 512
            patch(self.image, byte, bytes([peek(self.image, byte, 1)[0] | 1 << c % 8]))
        ours = self.believed()
        self.assertEqual(ours.runs, merge(before.runs + [(new * 512, (new + n - half) * 512)]))
        self.assertEqual(ours.missing(blkls('ntfs', self.image, 512)), [])

    def test_bits_beyond_the_last_cluster(self):
        v = self.make(24 * MIB + 4096 * 3)
        before = self.believed().runs
        at = v.offset(6) + v.clusters // 8
        mask = 0xff << v.clusters % 8 & 0xff
        byte = peek(self.image, at, 1)[0]
        for value in (byte | mask, byte & ~mask):
            patch(self.image, at, bytes([value]) + b'\xff' * 3)
            self.assertEqual(self.believed().runs, before)

    def test_tail_of_the_partition(self):
        self.make()
        size = os.path.getsize(self.image)
        with open(self.image, 'ab') as f:
            f.write(b'x' * 50000)
        self.assertEqual(self.believed().missing([(size - 4096, size + 50000)]), [])

    def test_bitmap_that_cannot_be_trusted(self):
        v = self.make(files=10)
        good = v.load(6)
        at = v.attribute(good, DATA)[0]
        size = struct.unpack_from('<Q', good, at + 48)[0]
        cases = {
            'compressed': (12, struct.pack('<H', 1)),
            'sparse': (12, struct.pack('<H', 0x8000)),
            'encrypted': (12, struct.pack('<H', 0x4000)),
            'one cluster short': (48, struct.pack('<Q', (v.clusters + 7) // 8 - 1)),
            'empty': (48, struct.pack('<Q', 0)),
            'written in part': (56, struct.pack('<Q', size // 2)),
            'longer than its clusters': (24, struct.pack('<Q', 5)),
            'outside the volume': (64, b'\x14\x01\xff\xff\xff\x7f\0'),
            'a hole': (64, b'\x01\x01\0'),
            'backwards': (64, b'\x11\x01\xff\0'),
            'runs without end': (64, b'\x88' * 8),
            'resident': (8, b'\0'),
            'another type': (0, b'\x81'),
            'length 0': (4, b'\0\0\0\0'),
            'length beyond all': (4, b'\xf8\xff\xff\xff'),
        }
        for name, (offset, data) in cases.items():
            with self.subTest(name):
                r = bytearray(good)
                r[at + offset:at + offset + len(data)] = data
                v.store(6, r)
                self.refused('damaged')
        v.store(6, good)
        self.believed()
        # What is in use for certain, called free.
        for name, lcn in (('boot sector', 0), ('$MFT', v.mft // v.cluster), ('mirror', v.mirror // v.cluster),
                          ('$Bitmap', v.runs(6)[0][0]), ('log', v.runs(2)[0][0])):
            with self.subTest(name):
                byte = v.offset(6) + lcn // 8
                old = peek(self.image, byte, 1)
                patch(self.image, byte, bytes([old[0] & ~(1 << lcn % 8)]))
                self.refused('damaged', 'own files free')
                patch(self.image, byte, old)

    def test_what_cannot_be_trusted_is_all_used(self):
        v = self.make()
        size = os.path.getsize(self.image)
        cases = {
            'no signature': [(3, b'NTFX')],
            'no mark at the end': [(510, b'\0\0')],
            'sector size 0': [(11, b'\0\0')],
            'cluster size 0': [(13, b'\0')],
            'cluster size 3': [(13, b'\3')],
            'cluster size 2^127': [(13, b'\x81')],
            'larger than the partition': [(40, struct.pack('<Q', size // 512 + 1))],
            'sectors overflow': [(40, b'\xff' * 8)],
            'no sectors': [(40, bytes(8))],
            'no file table': [(48, b'\xff' * 8)],
            'file table elsewhere': [(48, struct.pack('<Q', 1000))],
            'no mirror': [(56, struct.pack('<Q', 100))],
            'record size 0': [(64, b'\0')],
            'record size 2^31': [(64, b'\xe1')],
            'first record torn': [(v.mft + 510, b'\xee\xee')],
            'no FILE': [(v.mft, b'BAAD')],
            'mirror differs': [(v.mirror + 3 * v.record + 100, b'\x99')],
            'root directory gone': [(v.mft + 5 * v.record, b'XXXX')],
            'volume record gone': [(v.mft + 3 * v.record, b'XXXX')],
            'log record gone': [(v.mft + 2 * v.record, b'XXXX')],
            'bitmap record gone': [(v.mft + 6 * v.record, b'XXXX')],
            'bitmap not in use': [(v.mft + 6 * v.record + 22, b'\0')],
        }
        for name, patches in cases.items():
            with self.subTest(name):
                self.believed()
                saved = [(at, peek(self.image, at, len(data))) for at, data in patches]
                for at, data in patches:
                    patch(self.image, at, data)
                ours = Map('ntfs', self.image)
                self.assertTrue(ours.all_used)
                self.assertEqual(ours.runs, [(0, size)])
                self.assertNotEqual(ours.why, '-')
                for at, data in saved:
                    patch(self.image, at, data)


if __name__ == '__main__':
    unittest.main()
