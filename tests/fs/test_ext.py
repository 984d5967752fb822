# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation maps of ext2, ext3 and ext4 against libext2fs (dumpe2fs, e2fsck, debugfs) and the kernel."""
import os
import random
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import maps  # noqa: E402
from maps import run  # noqa: E402

MIB = 1 << 20
VARIANTS = {  # name: (MiB, mke2fs options)
    'ext2, 1 KiB blocks': (40, '-t ext2 -b 1024'),
    'ext2, 4 KiB blocks': (200, '-t ext2 -b 4096'),
    'ext2, revision 0': (20, '-t ext2 -r 0 -b 1024'),
    'ext3': (140, '-t ext3 -b 4096'),
    'ext3, 1 KiB blocks, no sparse_super': (40, '-t ext3 -b 1024 -O ^sparse_super,^resize_inode'),
    'ext4': (300, '-t ext4 -b 4096'),
    'ext4, 1 KiB blocks': (64, '-t ext4 -b 1024'),
    'ext4, 2 KiB blocks': (64, '-t ext4 -b 2048'),
    'ext4, 64 KiB blocks': (600, '-t ext4 -b 65536'),
    'tiny': (1, '-t ext4 -b 1024 -O ^has_journal'),
    'bigalloc': (300, '-t ext4 -b 4096 -O bigalloc -C 65536'),
    'bigalloc, 1 KiB blocks': (100, '-t ext4 -b 1024 -O bigalloc -C 16384'),
    'bigalloc, meta_bg, no resize_inode': (200, '-t ext4 -b 1024 -C 4096 -O bigalloc,meta_bg,^resize_inode'),
    'meta_bg, 1 KiB blocks': (200, '-t ext4 -b 1024 -O meta_bg,^resize_inode'),
    'meta_bg, ext2-like': (300, '-t ext2 -b 1024 -O meta_bg,^resize_inode,^sparse_super'),
    'no resize_inode': (150, '-t ext4 -b 4096 -O ^resize_inode'),
    'sparse_super2': (200, '-t ext4 -b 1024 -O sparse_super2,^sparse_super,^resize_inode'),
    'no 64bit': (150, '-t ext4 -b 4096 -O ^64bit'),
    'no metadata_csum, uninit_bg': (150, '-t ext4 -b 1024 -O ^metadata_csum,uninit_bg'),
    'uninit_bg, 64bit': (150, '-t ext4 -b 1024 -O ^metadata_csum,uninit_bg,64bit'),
    'no checksums at all': (150, '-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg'),
    'no flex_bg': (150, '-t ext4 -b 1024 -O ^flex_bg'),
    'packed_meta_blocks': (200, '-t ext4 -b 1024 -E packed_meta_blocks=1'),
    'big flex groups, few blocks a group': (64, '-t ext4 -b 1024 -g 1024 -G 64'),
    'eager tables': (100, '-t ext4 -b 1024 -E lazy_itable_init=0,lazy_journal_init=0'),
    'orphan_file, mmp, quota, csum_seed': (150, '-t ext4 -b 4096 -O orphan_file,mmp,quota,project,metadata_csum_seed'),
    'fast_commit': (150, '-t ext4 -b 4096 -O fast_commit'),
    'short last group': (73, '-t ext4 -b 1024'),
    'big inodes, inline data': (100, '-t ext4 -b 4096 -I 1024 -O inline_data,ea_inode,casefold,encrypt,verity'),
}


def make(path, mib, options, extra=0):
    with open(path, 'wb') as f:
        f.truncate(mib * MIB + extra)
    run('mke2fs', '-q', '-F', *options.split(), path, str(mib * 1024) + 'k')


def oracle(path):
    """(runs that libext2fs calls free, bytes of the file system, header) by dumpe2fs."""
    text = run('dumpe2fs', path)
    head = dict(re.findall(r'^([^:\n]+): +(.*)$', text.split('\n\nGroup 0:')[0], re.M))
    size = int(head['Block size'])
    ratio = int(head.get('Cluster size', size)) // size
    end = int(head['Block count']) * size
    free = []
    for line in re.findall(r'^  Free blocks: (.*)$', text, re.M):
        for item in line.split(', ') if line.strip() else []:
            first, _, last = item.partition('-')
            free.append((int(first) * size, min(end, (int(last or first) + ratio) * size)))
    return maps.merge(free), end, head


def debugfs(path, commands):
    p = os.path.join(os.path.dirname(path), 'commands')
    with open(p, 'w') as f:
        f.write('\n'.join(commands) + '\n')
    run('debugfs', '-w', '-f', p, path)


def fill(path, folder, rng, share):
    """Write files, delete some, write more, with libext2fs: works for what the kernel here cannot mount."""
    free = int(oracle(path)[2]['Free blocks']) * int(oracle(path)[2]['Block size'])
    sizes = [0, 100, 3000, 20000, 150000, max(200000, int(free * share / 12))]
    sources = []
    for i, size in enumerate(sizes):
        sources.append(os.path.join(folder, f'source{i}'))
        with open(sources[-1], 'wb') as f:
            f.write(rng.randbytes(size))
    for round_ in range(3):
        names = [(f'd{i % 3}/r{round_}-{i}', rng.choice(sources)) for i in range(20)]
        debugfs(path, [f'mkdir d{i}' for i in range(3) if round_ == 0] +
                [f'write {source} {name}' for name, source in names] +
                [f'rm {name}' for name, _ in names if rng.random() < 0.4])
    run('e2fsck', '-fy', path, ok=(0, 1))


def files_of(path, folder):
    """Every file by libext2fs's own reading."""
    place = os.path.join(folder, 'dump')
    os.mkdir(place)
    run('debugfs', '-R', f'rdump / {place}', path)
    tree = maps.tree(place)
    run('rm', '-rf', place)
    return tree


class ExtCase(unittest.TestCase):
    def setUp(self):
        folder = maps.workdir()
        self.dir = folder.__enter__()
        self.addCleanup(folder.__exit__, None, None, None)
        self.rng = random.Random(f'{maps.SEED} {self.id()}')
        self.image = os.path.join(self.dir, 'image')
        self.copy = os.path.join(self.dir, 'copy')

    def check_superset(self, m, path):
        """Nothing that libext2fs calls used is missing; what is there besides, in bytes."""
        free, end, head = oracle(path)
        used = maps.invert(free, end)
        missing = maps.both(maps.invert(m.runs, end), used)
        self.assertFalse(missing, f'used, and not in the map: {maps.total(missing)} bytes, first {missing[:3]}')
        size = os.path.getsize(path)
        self.assertFalse(maps.both(maps.invert(m.runs, size), [(end, size)] if end < size else []), 'the tail')
        besides = maps.both(m.runs, free)
        return besides, head

    def check_copy(self, m):
        """A copy of nothing but the map is the same file system."""
        maps.copy_used(self.image, m.runs, self.copy)
        run('e2fsck', '-fn', self.copy)
        before = files_of(self.image, self.dir)
        self.assertEqual(before, files_of(self.copy, self.dir))
        return before

    def check_exact(self, name):
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        self.assertEqual((m.state, m.why), ('clean', '-'))
        besides, head = self.check_superset(m, self.image)
        self.assertEqual(besides, [], f'{name}: in the map, though libext2fs calls it free')
        self.assertEqual(m.facts['uuid'], head['Filesystem UUID'])
        return m


class Variants(ExtCase):
    def test_every_variant_is_exact_empty_and_filled(self):
        for name, (mib, options) in VARIANTS.items():
            with self.subTest(name):
                make(self.image, mib, options, extra=self.rng.choice((0, 512, 300000)))
                self.check_exact(name)
                fill(self.image, self.dir, self.rng, self.rng.choice((0.1, 0.5, 1.4)))
                m = self.check_exact(name)
                self.assertGreater(len(self.check_copy(m)), 10)

    def test_label_and_type(self):
        for options, kind in (('-t ext2', 'ext2'), ('-t ext3', 'ext3'), ('-t ext4', 'ext4'),
                              ('-t ext4 -O ^has_journal', 'ext4')):
            make(self.image, 16, options + ' -L sixteenletterslo')
            facts = maps.fsmap('ext4', self.image).facts
            self.assertEqual((facts['type'], facts['label']), (kind, 'sixteenletterslo'))
            self.assertEqual(run('blkid', '-p', '-o', 'value', '-s', 'TYPE', self.image).strip(), kind)


if __name__ == '__main__':
    unittest.main()
