# SPDX-License-Identifier: GPL-3.0-or-later
"""Allocation maps of ext2, ext3 and ext4 against libext2fs (dumpe2fs, e2fsck, debugfs) and the kernel."""
import os
import resource
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import maps  # noqa: E402
from ext_case import MIB, ExtCase, fill, make  # noqa: E402
from maps import run  # noqa: E402

VARIANTS = {  # name: (MiB, mke2fs options)
    'ext2, 1 KiB blocks': (40, '-t ext2 -b 1024'),
    'ext2, 4 KiB blocks': (200, '-t ext2 -b 4096'),
    'ext2, revision 0': (20, '-t ext2 -r 0 -b 1024'),
    'ext3': (140, '-t ext3 -b 4096'),
    'ext3, 1 KiB blocks, no sparse_super': (40, '-t ext3 -b 1024 -O ^sparse_super,^resize_inode'),
    'ext4': (300, '-t ext4 -b 4096'),
    'ext4, 1 KiB blocks': (64, '-t ext4 -b 1024'),
    'ext4, 2 KiB blocks': (64, '-t ext4 -b 2048'),
    'ext4, 64 KiB blocks': (160, '-t ext4 -b 65536 -g 2048'),
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
    'orphan_file, quota, csum_seed': (150, '-t ext4 -b 4096 -O orphan_file,quota,project,metadata_csum_seed'),
    'fast_commit': (150, '-t ext4 -b 4096 -O fast_commit'),
    'short last group': (73, '-t ext4 -b 1024'),
    'big inodes, inline data': (100, '-t ext4 -b 4096 -I 1024 -O inline_data,ea_inode,casefold,encrypt,verity'),
}
AGED = {
    'ext2': (24, '-t ext2 -b 1024'),
    'ext3': (40, '-t ext3 -b 1024 -J size=4'),
    'ext4': (60, '-t ext4 -b 4096'),
    'ext4, many groups': (30, '-t ext4 -b 1024 -g 1024 -J size=2'),
    'bigalloc': (60, '-t ext4 -b 1024 -O bigalloc -C 8192'),
    'uninit_bg': (40, '-t ext4 -b 1024 -O ^metadata_csum,uninit_bg'),
    'meta_bg': (40, '-t ext4 -b 1024 -O meta_bg,^resize_inode'),
}


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

    def test_aged_by_the_kernel(self):
        for name, (mib, options) in AGED.items():
            with self.subTest(name):
                make(self.image, mib, options)
                for _ in range(2):  # the second time over what the first has freed
                    with maps.mounted(self.image, 'ext4') as place:
                        maps.churn(place, self.rng, 250 * maps.N, sync=0.02)
                m = self.check_exact(name)
                self.assertGreater(len(m.runs), 5)
                before = self.check_copy(m)
                with maps.mounted(self.copy, 'ext4', 'ro') as place:
                    self.assertEqual(before, maps.tree(place))

    def test_terabytes_in_seconds(self):
        for tib, options in ((2, '-t ext4'), (15, '-t ext4 -O ^flex_bg -m 0'), (15, '-t ext4')):
            with self.subTest(tib):
                make(self.image, tib * MIB, options + ' -E lazy_itable_init=1,nodiscard')
                start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
                m = maps.fsmap('ext4', self.image)
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                self.assertFalse(m.all_used, m.why)
                self.assertLess(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 15)
                self.assertLess(time.monotonic() - start, 120)
                self.assertLess(maps.total(m.runs), 400 << 30)
                if tib == 2 or maps.N > 1:
                    self.assertEqual(self.check_superset(m, self.image)[0], [])


if __name__ == '__main__':
    unittest.main()
