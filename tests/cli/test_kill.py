# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes that are killed or interrupted at random moments, in every phase: never exit 0 before all is done, never a
target that looks whole before it is, and the same command with --delta finishes. N= moments (default 40), SEED=."""
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

ISOMORPH = os.environ.get('ISOMORPH') or os.path.join(os.path.dirname(__file__), '../../build/isomorph')
MOMENTS = max(40, int(os.environ.get('N') or 40))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
AT_ONCE = 6
MIB = 1 << 20
SIZE, DISK = 4 * MIB + 777, 6 * MIB
SPEED = 8 * MIB
PHASES = {  # name: about how long it takes with the faults below, in seconds
    'opening': 0.03, 'checking': 0.05, 'wiping': 0.5, 'writing': 0.5, 'flushing': 0.3, 'verifying': 0.4,
    'first-mib': 0.5, 'last-block': 0.8,
}
HOW = [signal.SIGKILL, signal.SIGINT, signal.SIGTERM]


def noise(size, seed):
    return random.Random(seed).randbytes(size)


class Events(threading.Thread):
    """What --progress=json says: the phase it is in."""

    def __init__(self, stream):
        super().__init__()
        self.stream, self.text, self.phase = stream, [], 'opening'
        self.changed = threading.Condition()
        self.start()

    def run(self):
        for line in self.stream:
            self.text.append(line)
            if line.startswith('{"event":"progress"'):
                phase = json.loads(line)['targets'][0]['phase']
                with self.changed:
                    self.phase = phase
                    self.changed.notify_all()
        with self.changed:
            self.phase = self.phase if self.phase in ('done', 'failed') else self.phase + ' (ended)'
            self.changed.notify_all()

    def await_phase(self, phase):
        with self.changed:
            self.changed.wait_for(lambda: self.phase == phase or self.phase.endswith(')') or self.phase in ('done', 'failed'), 30)


class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest('loop devices need root')
        print(f'N={MOMENTS} SEED={SEED}', flush=True)
        cls.folder = tempfile.TemporaryDirectory(prefix='isomorph-kill-')
        cls.image = noise(SIZE, SEED)
        cls.path = os.path.join(cls.folder.name, 'image')
        with open(cls.path, 'wb') as f:
            f.write(cls.image)
        cls.sha256 = subprocess.run(['sha256sum', cls.path], capture_output=True, check=True, text=True).stdout[:64]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def moment(self, number):
        """One write, one signal; returns the phase in which it fell."""
        rng = random.Random(f'{SEED}-{number}')
        phase = list(PHASES)[number % len(PHASES)]
        how = HOW[number // len(PHASES) % len(HOW)]
        backing = os.path.join(self.folder.name, f'disk{number}')
        with open(backing, 'wb') as f:
            f.write(noise(DISK, f'{SEED}-{number}-old'))
        loop = rng.random() < 0.5
        target = backing
        if loop:
            target = subprocess.run(['losetup', '--find', '--show', backing], capture_output=True, check=True,
                                    text=True).stdout.strip()
        try:
            return self.one(phase, how, target, rng)
        finally:
            if loop:
                subprocess.run(['losetup', '-d', target], check=False)
            os.unlink(backing)

    def one(self, phase, how, target, rng):
        env = {**os.environ, 'ISOMORPH_FAULTY':
               f'{target}=write-bps={SPEED},read-bps={SPEED},flush-ms=250'}
        command = [ISOMORPH, 'write', '--yes', '--progress=json', '--sha256', self.sha256, self.path, target]
        with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as p:
            events = Events(p.stderr)
            if phase != 'opening':
                events.await_phase(phase)
            time.sleep(rng.random() * PHASES[phase])
            fell = events.phase
            p.send_signal(how)
            sent = time.monotonic()
            try:
                status = p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                raise
            took = time.monotonic() - sent
            events.join()
        said = ''.join(line for line in events.text if not line.startswith('{'))
        where = f'{how.name} in {fell} of {target}: exit {status} after {took:.1f} s\n{said}'
        with open(target, 'rb') as f:
            found = f.read(SIZE)
        whole = found == self.image
        if status == 0:
            self.assertTrue(whole, where)
        elif found[:MIB] == self.image[:MIB]:  # killed behind its very last write
            self.assertTrue(whole, where)
        if how != signal.SIGKILL and status != 0:
            self.assertIn(status, (130, -how) if fell == 'opening' else (130,), where)
            self.assertLess(took, 2, where)
            if status == 130:
                self.assertIn(f'{target} is un', said, where)
                if 'is unfinished' in said:
                    self.assertIn('--delta', said, where)
                if 'MiB is blank' in said:
                    self.assertEqual(found[:512], bytes(512), where)
        command.insert(2, '--delta')
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(again.returncode, 0, where + again.stderr)
        with open(target, 'rb') as f:
            self.assertEqual(f.read(SIZE), self.image, where)
        return fell, status

    def test_every_phase(self):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            fell = list(pool.map(self.moment, range(MOMENTS)))
        for phase in [*PHASES, 'done', 'failed']:
            ends = sorted(status for where, status in fell if where == phase)
            print(f'  {phase:10} {len(ends):3}  exit {ends}', flush=True)
        for phase in PHASES:
            self.assertIn(phase, {where for where, _ in fell}, f'SEED={SEED}: nothing fell into {phase}')


if __name__ == '__main__':
    unittest.main()
