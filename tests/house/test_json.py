# SPDX-License-Identifier: GPL-3.0-or-later
"""doc/json.md and what the program prints name the same keys, for every kind of document."""
import gzip
import json
import os
import re
import struct
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ISOMORPH = os.environ.get('ISOMORPH', os.path.join(ROOT, 'build', 'isomorph'))
MIB = 1 << 20


def documented():
    """{heading: keys of its table}, headings with what stands above them: "write, capture, restore, verify, erase, undo/plan"."""
    tables, chapter, heading = {}, '', ''
    with open(os.path.join(ROOT, 'doc', 'json.md'), encoding='utf-8') as f:
        for line in f:
            if line.startswith('## '):
                chapter = heading = line[3:].split(',')[0].strip()
            elif line.startswith('### '):
                heading = line[4:].strip()
            elif key := re.match(r'\| `(\w+)` \|', line):
                tables.setdefault(f'{chapter}/{heading}', set()).add(key[1])
    return tables


def mbr_disk():
    """2 MiB with a DOS table of one partition."""
    disk = bytearray(2 * MIB)
    disk[446:462] = struct.pack('<B3sB3sII', 0x80, b'\0\x20\x21', 0x83, b'\0\0\0', 2048, 2048)
    disk[510:512] = b'\x55\xaa'
    return bytes(disk)


def iso():
    """An ISO 9660 volume of 64 KiB with a label and nothing in it."""
    volume = bytearray(65536)
    volume[32768:32775] = b'\x01CD001\x01'
    volume[32808:32840] = b'LABEL'.ljust(32)
    volume[32768 + 80:32768 + 88] = struct.pack('<I', 32) + struct.pack('>I', 32)
    volume[32768 + 128:32768 + 132] = struct.pack('<H', 2048) + struct.pack('>H', 2048)
    volume[32768 + 156] = 34
    volume[34816:34823] = b'\xffCD001\x01'
    return bytes(volume)


class Json(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.tables = documented()

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def file(self, name, content):
        path = os.path.join(self.dir.name, name)
        with open(path, 'wb') as f:
            f.write(content)
        return path

    def run_json(self, *args, status=0, env=None):
        p = subprocess.run([ISOMORPH, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           env={**os.environ, **(env or {})}, check=False)
        self.assertEqual(p.returncode, status, p.stderr)
        doc = json.loads(p.stdout)
        self.assertEqual(doc['exit'], status)
        self.assertEqual(doc['version'], 1)
        self.assertEqual(doc['verb'], args[0])
        self.stderr = p.stderr
        return doc

    def same(self, name, value):
        self.assertEqual(set(value), self.tables[name], name)

    def job(self, name, value):
        self.same('write/' + name, value)

    def test_report(self):
        image, target = self.file('image', os.urandom(3 * MIB)), self.file('target', bytes(4 * MIB))
        native, undo = (os.path.join(self.dir.name, name) for name in ('native', 'undo'))
        other = self.file('other', bytes(4 * MIB))
        for args in (('capture', image, native), ('restore', native, other), ('clone', image, other),
                     ('write', '--undo', undo, image, target), ('verify', image, target), ('undo', undo, target), ('erase', target)):
            doc = self.run_json(args[0], '--json', *([] if args[0] in ('verify', 'capture') else ['--yes']), *args[1:])
            self.job('report', doc)
            self.job('plan', doc['plan'])
            self.job('plan target', doc['plan']['targets'][0])
            self.job('target', doc['targets'][0])
            self.assertTrue(doc['targets'][0]['verified'])

    def test_mismatch_and_error(self):
        image = self.file('image', os.urandom(3 * MIB))
        target = self.file('target', bytes(3 * MIB))
        doc = self.run_json('verify', '--json', image, target, status=3)
        self.job('mismatch', doc['targets'][0]['mismatch'])
        doc = self.run_json('write', '--json', '--yes', image, target, status=1,
                            env={'ISOMORPH_FAULTY': f'{os.path.realpath(target)}=write-error@2M'})
        self.job('error', doc['error'])
        self.assertEqual(doc['error'], doc['targets'][0]['error'])
        self.assertEqual(doc['error']['offset'], 2 * MIB)

    def test_dry_run_and_no_plan(self):
        image, small = self.file('image', os.urandom(3 * MIB)), self.file('small', bytes(MIB))
        doc = self.run_json('write', '--json', '--dry-run', image, os.path.join(self.dir.name, 'new'))
        self.assertEqual(set(doc), {'version', 'verb', 'plan', 'exit'})
        self.assertTrue(doc['plan']['targets'][0]['new'])
        doc = self.run_json('write', '--json', '--yes', image, small, status=5)
        self.assertEqual(set(doc), {'version', 'verb', 'error', 'exit'})
        self.job('error', doc['error'])

    def test_capture_destroys_no_image(self):
        image, old = self.file('image', os.urandom(MIB)), self.file('old', b'an older image')
        doc = self.run_json('capture', '--json', image, old, status=5)
        self.job('error', doc['error'])
        with open(old, 'rb') as f:
            self.assertEqual(f.read(), b'an older image')

    def test_progress(self):
        image, target = self.file('image', os.urandom(4 * MIB)), self.file('target', bytes(4 * MIB))
        self.run_json('write', '--json', '--yes', '--progress=json', image, target,
                      env={'ISOMORPH_FAULTY': f'{os.path.realpath(target)}=write-bps=2M'})
        events = [json.loads(line) for line in self.stderr.splitlines() if line.startswith('{')]
        self.assertGreater(len(events), 2)
        keys = set()
        for event in events:
            self.assertEqual(set(event), {'event', 'elapsed_ms', 'targets'})
            keys |= set(event['targets'][0])
        self.job('progress lines', keys)
        self.assertEqual(events[-1]['targets'][0]['phase'], 'done')
        self.assertEqual(events[-1]['targets'][0]['percent'], 100)
        with open(os.path.join(ROOT, 'doc', 'json.md'), encoding='utf-8') as f:
            row = next(line for line in f if line.startswith('| `phase` |'))
        for event in events:
            self.assertIn('`' + event['targets'][0]['phase'] + '`', row)

    def test_notice(self):
        image, target = self.file('image', os.urandom(4 * MIB)), self.file('target', bytes(4 * MIB))
        self.run_json('write', '--json', '--yes', '--progress=json', image, target, status=1,
                      env={'ISOMORPH_FAULTY': f'{os.path.realpath(target)}=write-error@2M'})
        notices = [json.loads(line) for line in self.stderr.splitlines() if line.startswith('{"event":"notice"')]
        self.assertEqual(set(notices[0]), {'event', 'path', 'text'})

    def test_devices(self):
        doc = self.run_json('devices', '--json')
        self.assertEqual(set(doc), {'version', 'verb', 'devices', 'exit'})
        if not doc['devices']:
            self.skipTest('no disk')
        for device in doc['devices']:
            self.same('devices/device', device)
            for partition in device['partitions']:
                self.same('devices/partition', partition)

    def inspect(self, path, *options):
        doc = self.run_json('inspect', '--json', *options, path)
        bare = {'file_system', 'file_system_known'}
        self.assertEqual(set(doc) | bare, self.tables['inspect/document'])
        self.assertEqual(bare <= set(doc), doc['table']['type'] == 'none')
        self.same('inspect/media', doc['media'])
        self.same('inspect/advice', doc['advice'])
        self.same('inspect/table', doc['table'])
        return doc

    def test_inspect_disk(self):
        doc = self.inspect(self.file('disk', mbr_disk()), '--sha256')
        self.assertEqual(doc['media']['kind'], 'disk')
        self.same('inspect/table entry', doc['table']['partitions'][0])
        self.inspect(self.file('disk.gz', gzip.compress(mbr_disk())))

    def test_inspect_iso_and_file_system(self):
        doc = self.inspect(self.file('x.iso', iso()))
        self.assertEqual(doc['media']['kind'], 'iso')
        self.same('inspect/iso', doc['media']['iso'])
        self.same('inspect/file system', doc['file_system'])

    def test_inspect_failed(self):
        doc = self.run_json('inspect', '--json', os.path.join(self.dir.name, 'none'), status=2)
        self.assertEqual(set(doc), {'version', 'verb', 'error', 'exit'})

    def test_help(self):
        self.assertEqual(set(self.run_json('help', '--json')), {'version', 'verb', 'pages', 'exit'})
        self.assertEqual(set(self.run_json('help', '--json', 'usb')['pages'][0]), {'name', 'title', 'text'})


if __name__ == '__main__':
    unittest.main()
