# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the ext maps share: making and filling file systems, libext2fs as the oracle, the checks."""
import os
import random
import re
import subprocess
import unittest

import maps
from maps import run

MIB = 1 << 20


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


def debugfs(path, commands, strict=False):
    """Commands to debugfs, which ends well whatever becomes of them: strict looks at what it says."""
    p = os.path.join(os.path.dirname(path), 'commands')
    with open(p, 'w') as f:
        f.write('\n'.join(commands) + '\n')
    p = subprocess.run(['debugfs', '-w', '-f', p, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True)
    if p.returncode or strict and len(p.stderr.splitlines()) != 1:
        raise AssertionError(f'debugfs: {p.stderr[-2000:]}')


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
