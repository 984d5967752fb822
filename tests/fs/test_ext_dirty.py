# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of ext file systems that were not unmounted, or are damaged: the journal is replayed as the kernel would, and
what cannot be trusted counts as used."""
import os
import re
import shutil
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import maps  # noqa: E402
from ext_case import ExtCase, debugfs, fill, make, oracle  # noqa: E402
from maps import run  # noqa: E402

CRASHES = {  # name: (MiB, mke2fs options, mount options)
    'ext4, ordered': (64, '-t ext4 -b 4096', 'data=ordered'),
    'ext4, journal': (64, '-t ext4 -b 4096', 'data=journal'),
    'ext4, small ring': (48, '-t ext4 -b 1024 -J size=1', 'data=journal,commit=1'),
    'ext4, no 64bit': (48, '-t ext4 -b 1024 -O ^64bit,^flex_bg -J size=2', 'data=ordered'),
    'ext3': (48, '-t ext3 -b 1024 -J size=2', 'data=ordered'),
    'ext3, journal': (48, '-t ext3 -b 2048 -J size=4', 'data=journal'),
    'commit checksums': (48, '-t ext4 -b 1024 -O ^metadata_csum,uninit_bg -J size=2', 'journal_checksum'),
    'asynchronous commits': (48, '-t ext4 -b 1024 -O ^metadata_csum', 'journal_async_commit,data=writeback'),
    'asynchronous commits, csum v3': (48, '-t ext4 -b 4096', 'journal_async_commit,data=writeback'),
    'bigalloc': (64, '-t ext4 -b 1024 -O bigalloc -C 8192', 'data=ordered'),
    'orphan_file, meta_bg': (64, '-t ext4 -b 1024 -O orphan_file,meta_bg,^resize_inode', 'data=ordered'),
}


def poke(path, offset, data=None):
    """Write bytes, or flip one bit."""
    with open(path, 'r+b') as f:
        f.seek(offset)
        old = f.read(1)
        f.seek(offset)
        f.write(data if data is not None else bytes([old[0] ^ 0x10]))


def journal_blocks(path):
    """Blocks of the journal in their order, by debugfs."""
    return [int(b) for b in run('debugfs', '-R', 'blocks <8>', path).split()]


def header(path):
    return dict(re.findall(r'^([^:\n]+): +(.*)$', run('dumpe2fs', '-h', path), re.M))


class Dirty(ExtCase):
    def crash(self, mib, options, mount_options, steps=150):
        """An image as a power cut leaves it, in the midst of work that goes on."""
        make(self.image, mib, options)
        with maps.mounted(self.image, 'ext4', mount_options) as place:
            maps.churn(place, self.rng, steps, sync=0.02)
        with maps.mounted(self.image, 'ext4', mount_options) as place:
            maps.churn(place, self.rng, steps, sync=0.15)
            timer = threading.Timer(self.rng.uniform(0, 0.15), maps.crash, [place])
            timer.start()
            maps.churn(place, self.rng, 100000, sync=0.05)
            timer.join()
            # at once: the kernel would write to their places what the journal still holds
            run('cp', '--sparse=always', self.image, self.copy)
        os.replace(self.copy, self.image)
        self.assertIn('needs_recovery', header(self.image)['Filesystem features'])

    def check_recovery(self):
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        self.assertEqual(m.state, 'dirty')
        self.assertIn('journal', m.why)
        maps.copy_used(self.image, m.runs, self.copy)
        replayed = self.image + '.replayed'
        shutil.copyfile(self.image, replayed)
        run('e2fsck', '-y', '-E', 'journal_only', replayed, ok=(0, 1))
        self.check_superset(m, replayed)
        trees = []
        for path in (self.image, self.copy):
            with maps.mounted(path, 'ext4') as place:
                trees.append(maps.tree(place))
            run('e2fsck', '-fn', path)
        self.assertGreater(len(trees[0]), 5)
        self.assertEqual(trees[0], trees[1])

    def test_crashes(self):
        for _ in range(maps.N):
            for name, how in CRASHES.items():
                with self.subTest(name):
                    self.crash(*how)
                    self.check_recovery()

    def test_without_a_journal_all_is_used(self):
        make(self.image, 16, '-t ext2')
        with maps.mounted(self.image, 'ext4') as place:
            maps.churn(place, self.rng, 30)
            maps.crash(place)
        self.check_all_used('dirty', 'e2fsck')

    def check_all_used(self, state, word):
        m = maps.fsmap('ext4', self.image)
        self.assertTrue(m.all_used, 'not all used')
        self.assertEqual(m.runs, [(0, os.path.getsize(self.image))])
        self.assertEqual(m.state, state)
        self.assertRegex(m.why, word)

    def test_fast_commits(self):
        make(self.image, 64, '-t ext4 -b 4096 -O fast_commit')
        with maps.mounted(self.image, 'ext4') as place:
            path = os.path.join(place, 'file')
            for i in range(50):
                with open(path, 'ab') as f:
                    f.write(b'x' * 5000)
                    os.fsync(f.fileno())
            maps.crash(place)
        self.check_all_used('dirty', 'fast commits')

    def test_a_damaged_journal(self):
        self.crash(48, '-t ext4 -b 4096', 'data=ordered')
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        blocks = journal_blocks(self.image)
        first = int(header(self.image)['Journal start'])
        for what, block, offset in (('superblock', 0, 20), ('descriptor', first, 14), ('copy', first + 1, 900)):
            with self.subTest(what):
                place = blocks[block] * 4096 + offset
                poke(self.image, place)
                self.check_all_used('dirty', 'journal is damaged')
                poke(self.image, place)
        with self.subTest('a commit block lost'):  # what comes after it shows that it was there
            with open(self.image, 'rb') as f:
                image = f.read()
            commits = [b for b in blocks[first:] if image[b * 4096:b * 4096 + 8] == b'\xc0\x3b\x39\x98\0\0\0\x02']
            self.assertGreater(len(commits), 2)
            poke(self.image, commits[0] * 4096, bytes(4))
            self.check_all_used('dirty', 'journal is damaged')
            poke(self.image, commits[0] * 4096, b'\xc0\x3b\x39\x98')
        self.assertEqual(maps.fsmap('ext4', self.image).runs, m.runs)

    def test_commit_checksums(self):
        for how in (CRASHES['commit checksums'], CRASHES['asynchronous commits']):
            self.crash(*how)
            head = header(self.image)
            self.assertIn('journal_checksum', head['Journal features'])
            m = maps.fsmap('ext4', self.image)
            self.assertFalse(m.all_used, m.why)
            place = journal_blocks(self.image)[int(head['Journal start']) + 1] * 1024 + 700
            poke(self.image, place)
            self.check_all_used('dirty', 'journal is damaged')
            poke(self.image, place)
            self.assertEqual(maps.fsmap('ext4', self.image).runs, m.runs)

    def test_the_flag_alone_is_no_proof(self):
        self.crash(48, '-t ext4 -b 1024 -O ^metadata_csum', 'data=ordered')
        with open(self.image, 'rb') as f:
            incompat = int.from_bytes(f.read(2048)[1024 + 0x60:1024 + 0x64], 'little')
        poke(self.image, 1024 + 0x60, (incompat & ~4).to_bytes(4, 'little'))
        self.check_all_used('damaged', 'journal is not empty')
        poke(self.image, 1024 + 0x60, incompat.to_bytes(4, 'little'))
        poke(self.image, 1024 + 0xe0, bytes(4))
        self.check_all_used('dirty', 'another device')
        poke(self.image, 1024 + 0x5c, bytes(1))
        self.check_all_used('dirty', 'does not have')


class Damage(ExtCase):
    check_all_used = Dirty.check_all_used

    def whole_groups(self, word):
        """The groups that the map calls wholly used and libext2fs does not; nothing used is missing."""
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        self.assertEqual(m.state, 'damaged')
        self.assertRegex(m.why, word)
        free, end, head = oracle(self.copy)
        self.assertFalse(maps.both(maps.invert(m.runs, end), maps.invert(free, end)))
        size, count = int(head['Block size']), int(head['Blocks per group'])
        first = int(head['First block'])
        groups = range((end // size - first + count - 1) // count)
        spans = {g: ((first + g * count) * size, min(end, (first + (g + 1) * count) * size)) for g in groups}
        return {g for g, span in spans.items() if maps.both(m.runs, [span]) == [span] and maps.both(free, [span])}

    def prepare(self, options):
        """An image with a full copy beside it that stays as it is; its groups as dumpe2fs knows them."""
        make(self.image, 64, options)
        fill(self.image, self.dir, self.rng, 0.2)
        shutil.copyfile(self.image, self.copy)
        text = run('dumpe2fs', self.image)
        bitmaps = [int(b) for b in re.findall(r'Block bitmap at (\d+)', text)]
        uninit = [int(g) for g in re.findall(r'^Group (\d+): .*BLOCK_UNINIT', text, re.M)]
        return bitmaps, set(uninit)

    def test_checksums_of_groups(self):
        for options in ('-t ext4 -b 1024 -g 2048', '-t ext4 -b 1024 -g 2048 -O ^metadata_csum,uninit_bg'):
            with self.subTest(options):
                bitmaps, uninit = self.prepare(options)
                self.assertTrue(uninit)
                size = 64 if 'uninit_bg' not in options or '64bit' in header(self.image)['Filesystem features'] else 32
                poke(self.image, 2048 + 3 * size + 0x12)  # group 3's flags
                whole = self.whole_groups('damaged descriptors: 1')
                self.assertLessEqual(uninit, whole)
                self.assertLessEqual(whole, uninit | {3})

    def test_checksums_of_bitmaps(self):
        bitmaps, uninit = self.prepare('-t ext4 -b 1024 -g 2048')
        group = max(set(range(32)) - uninit)
        poke(self.image, bitmaps[group] * 1024 + 200)
        self.assertEqual(self.whole_groups('damaged bitmaps: 1'), {group})

    def test_a_bitmap_of_zeros_without_checksums(self):
        bitmaps, _ = self.prepare('-t ext3 -b 1024')
        poke(self.image, bitmaps[2] * 1024, bytes(1024))
        self.assertIn(2, self.whole_groups('wrong free counts: 1'))

    def test_words_of_the_superblock(self):
        cases = {
            'errors': (0x3a, b'\x03', 'damaged', 'errors are recorded'),
            'not unmounted': (0x3a, b'\x00', 'dirty', 'not unmounted'),
            'unknown incompatible feature': (0x63, b'\x80', 'clean', 'not known here'),
            'unknown read-only feature': (0x67, b'\x40', 'clean', 'not known here'),
            'no magic': (0x38, b'\x00', 'clean', 'no ext superblock'),
            'block size': (0x18, b'\x09', 'clean', 'damaged'),
            'blocks per group': (0x20, bytes(4), 'clean', 'damaged'),
            'larger than its place': (0x06, b'\x10', 'damaged', 'larger than'),
        }
        for name, (offset, data, state, word) in cases.items():
            with self.subTest(name):
                make(self.image, 16, '-t ext3 -b 1024')
                poke(self.image, 1024 + offset, data)
                self.check_all_used(state, word)
        make(self.image, 16, '-t ext4 -b 1024')
        poke(self.image, 1024 + 0x400 - 20)
        self.check_all_used('clean', 'checksum')

    def test_mount_protection(self):
        make(self.image, 16, '-t ext4 -b 1024 -O mmp')
        self.check_exact('mmp')
        block = int(header(self.image)['MMP block number'])
        poke(self.image, block * 1024 + 4, b'\x50\x4d\x4d\x12')
        self.check_all_used('dirty', 'in use')

    def test_a_partition_with_room_behind_it(self):
        make(self.image, 16, '-t ext4 -b 1024', extra=77777)
        with open(self.copy, 'wb') as f, open(self.image, 'rb') as image:
            f.write(self.rng.randbytes(12345))
            f.write(image.read())
        self.assertEqual(maps.fsmap('ext4', self.copy, 12345).runs, maps.fsmap('ext4', self.image).runs)

    def test_the_source_is_only_read(self):
        make(self.image, 16, '-t ext4 -b 1024')
        before = subprocess.run(['sha256sum', self.image], stdout=subprocess.PIPE, check=True).stdout
        os.chmod(self.image, 0o400)
        maps.fsmap('ext4', self.image)
        self.assertEqual(before, subprocess.run(['sha256sum', self.image], stdout=subprocess.PIPE, check=True).stdout)


if __name__ == '__main__':
    unittest.main()
