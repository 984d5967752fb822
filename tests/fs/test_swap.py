# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of swap areas made by mkswap: the header page, unless a hibernated system lies in them."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import maps  # noqa: E402
from maps import run  # noqa: E402

UUID = '01234567-89ab-cdef-0123-456789abcdef'


class Swap(unittest.TestCase):
    def setUp(self):
        folder = maps.workdir()
        self.image = os.path.join(folder.__enter__(), 'image')
        self.addCleanup(folder.__exit__, None, None, None)

    def make(self, page=4096, size=1 << 20):
        with open(self.image, 'wb') as f:
            f.truncate(size)
        run('mkswap', '-p', str(page), '-L', 'swaplabel', '-U', UUID, self.image)

    def sign(self, signature, page):
        with open(self.image, 'r+b') as f:
            f.seek(page - 10)
            f.write(signature)

    def test_page_sizes(self):
        for page in (4096, 8192, 16384, 32768, 65536):
            with self.subTest(page):
                self.make(page, (1 << 20) + 1000)
                m = maps.fsmap('swap', self.image)
                end = (1 << 20) // page * page
                self.assertEqual(m.runs, [(0, page), (end, (1 << 20) + 1000)])
                self.assertEqual((m.state, m.all_used, m.why), ('clean', False, '-'))
                self.assertEqual((m.facts['label'], m.facts['uuid']), ('swaplabel', UUID))

    def test_hibernated(self):
        for signature in (b'S1SUSPEND\0', b'S2SUSPEND\0', b'ULSUSPEND\0', b'LINHIB0001'):
            for page in (4096, 65536):
                with self.subTest(signature=signature, page=page):
                    self.make(page)
                    self.sign(signature, page)
                    m = maps.fsmap('swsuspend', self.image)
                    self.assertEqual(m.runs, [(0, 1 << 20)])
                    self.assertEqual((m.state, m.all_used), ('hibernated', True))
                    self.assertIn('hibernated', m.why)

    def test_what_is_no_swap(self):
        self.make()
        self.sign(b'SWAP-SPACE', 4096)
        self.assertTrue(maps.fsmap('swap', self.image).all_used)
        self.make()
        with open(self.image, 'r+b') as f:  # another version
            f.seek(1024)
            f.write(b'\2')
        m = maps.fsmap('swap', self.image)
        self.assertEqual((m.state, m.all_used), ('damaged', True))
        with open(self.image, 'wb') as f:
            f.truncate(100)
        self.assertTrue(maps.fsmap('swap', self.image).all_used)


if __name__ == '__main__':
    unittest.main()
