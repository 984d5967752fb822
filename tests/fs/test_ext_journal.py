# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of ext file systems whose journals are written by debugfs: the steps from one state of a file system to later
ones, in random transactions. What is used before and after, e2fsck and dumpe2fs say; the map is just that."""
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import maps  # noqa: E402
from ext_case import ExtCase, debugfs, make, oracle  # noqa: E402
from maps import run  # noqa: E402

JOURNALS = {  # name: (mke2fs options, debugfs journal_open options)
    'no checksums, 32 bit': ('-t ext3 -b 1024 -J size=8', ''),
    'no checksums, 64 bit': ('-t ext4 -b 1024 -O ^metadata_csum -J size=8', ''),
    'csum v2, 32 bit': ('-t ext4 -b 1024 -O ^64bit -J size=8', '-c -v 2'),
    'csum v2, 64 bit': ('-t ext4 -b 2048 -J size=8', '-c -v 2'),
    'csum v3, 64 bit': ('-t ext4 -b 4096 -J size=8', '-c -v 3'),
    'csum v3, 32 bit': ('-t ext4 -b 1024 -O ^64bit,^metadata_csum,uninit_bg -J size=8', '-c -v 3'),
    'bigalloc': ('-t ext4 -b 1024 -O bigalloc -C 4096 -J size=8', '-c'),
    'indirect, blocks in groups': ('-t ext3 -b 1024 -g 1024 -J size=8 -O ^resize_inode', ''),
}


def blocks_of(path, size):
    with open(path, 'rb') as f:
        data = f.read()
    return [data[i:i + size] for i in range(0, len(data), size)]


class Journals(ExtCase):
    def step(self, path, number):
        """The next state: some files more, some less."""
        source = os.path.join(self.dir, 'source')
        with open(source, 'wb') as f:
            f.write(self.rng.randbytes(self.rng.choice((3000, 60000, 200000))))
        old = [f'rm s{number - 1}-{i}' for i in range(6) if number and self.rng.random() < 0.7]
        debugfs(path, old + [f'write {source} s{number}-{i}' for i in range(6)])

    def write_journal(self, states, size, options):
        """Every block that changes from state to state, as transactions over the first state."""
        commands, now = [f'journal_open {options}'], blocks_of(states[0], size)
        for number, path in enumerate(states[1:]):
            then = blocks_of(path, size)
            changed = [i for i, (a, b) in enumerate(zip(now, then)) if a != b]
            self.rng.shuffle(changed)
            revoked = [i for i in changed if then[i] == bytes(size)]
            while changed:
                n = self.rng.randrange(1, 80)
                part, changed = sorted(changed[:n]), changed[n:]
                data = os.path.join(self.dir, f'data{number}-{len(changed)}')
                with open(data, 'wb') as f:
                    f.write(b''.join(then[i] for i in part))
                commands.append(f'journal_write -b {",".join(map(str, part))} {data}')
            # A revoked block keeps what the first state had: only one that the next transaction writes again.
            if revoked and number + 2 < len(states):
                commands.append(f'journal_write -r {",".join(map(str, revoked[:20]))}')
                for i in revoked[:20]:
                    then[i] = b''
            now = then
        debugfs(self.image, commands + ['journal_close'], strict=True)

    def make_states(self, options):
        make(self.image, 30, options)
        run('tune2fs', '-c', '0', self.image)
        work, states = os.path.join(self.dir, 'work'), []
        shutil.copyfile(self.image, work)
        for number in range(4):
            self.step(work, number)
            states.append(os.path.join(self.dir, f'state{number}'))
            shutil.copyfile(work, states[-1])
        shutil.copyfile(states[0], self.image)
        return states

    def check_union(self, states):
        """The map is what is used before, after, and the journal."""
        replayed = os.path.join(self.dir, 'replayed')
        shutil.copyfile(self.image, replayed)
        run('e2fsck', '-y', '-E', 'journal_only', replayed, ok=(0, 1))
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        self.assertEqual(m.state, 'dirty')
        self.check_superset(m, replayed)
        (free, end, _), (free_before, _, _) = oracle(replayed), oracle(states[0])
        self.assertNotEqual(free, free_before)
        self.assertEqual(oracle(states[-1])[0], free)
        self.assertEqual(maps.both(m.runs, maps.both(free, free_before)), [])

    def test_states(self):
        for _ in range(maps.N):
            for name, (options, journal) in JOURNALS.items():
                with self.subTest(name):
                    states = self.make_states(options)
                    size = int(oracle(self.image)[2]['Block size'])
                    self.write_journal(states, size, journal)
                    self.check_union(states)

    def test_an_escaped_bitmap(self):
        make(self.image, 24, '-t ext4 -b 1024 -g 1024 -O ^metadata_csum,^uninit_bg,^resize_inode,flex_bg -J size=8')
        text = run('dumpe2fs', self.image)
        group = 5
        bitmap = int(text.split(f'Group {group}:')[1].split('Block bitmap at ')[1].split()[0])
        magic = bytes.fromhex('c03b3998')
        before = blocks_of(self.image, 1024)[bitmap]
        bits = magic + before[4:]
        free = 1024 - sum(bin(b).count('1') for b in bits[:128])
        first = shutil.copyfile(self.image, os.path.join(self.dir, 'first'))
        debugfs(self.image, [f'set_block_group {group} free_blocks_count {free}'])
        data = os.path.join(self.dir, 'data')
        with open(data, 'wb') as f:
            f.write(bits)
        debugfs(self.image, ['journal_open', f'journal_write -b {bitmap} {data}', 'journal_close'], strict=True)
        self.assertIn(b'\0\0\0\0' + bits[4:], blocks_of(self.image, 1024))
        with_first = maps.fsmap('ext4', first)
        m = maps.fsmap('ext4', self.image)
        self.assertFalse(m.all_used, m.why)
        start = (1 + group * 1024) * 1024
        here = maps.both(m.runs, [(start, start + 32 * 1024)])
        expected = [(start + i * 1024, start + (i + 1) * 1024) for i in range(32) if magic[i // 8] >> (i % 8) & 1]
        old = maps.both(with_first.runs, [(start, start + 32 * 1024)])
        self.assertEqual(here, maps.merge(expected + old))
        self.assertEqual(m.state, 'dirty', m.why)


if __name__ == '__main__':
    unittest.main()
