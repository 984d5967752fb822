# SPDX-License-Identifier: GPL-3.0-or-later
# What the tests of the allocation maps share: our map of an image, comparing it with an oracle's, a copy of the used
# bytes alone onto random ones, mounting, and the hashes of a tree of files.
import contextlib
import hashlib
import os
import random
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FSMAP = os.path.join(os.environ.get('ISOMORPH_BUILD') or os.path.join(ROOT, 'build'), 'tests', 'fs', 'fsmap')
N = max(1, int(os.environ.get('N') or 1))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
MIB = 1 << 20
PATH = os.environ.get('PATH', '') + ':/usr/sbin:/sbin'
os.environ['PATH'] = PATH

print('N=%d SEED=%d' % (N, SEED), flush=True)
faults = []  # of the test that runs
remarks = []  # printed when all tests of a file have run


def run(*argv, check=True, **kw):
    kw.setdefault('stdout', subprocess.PIPE)
    kw.setdefault('stderr', subprocess.STDOUT)
    r = subprocess.run([str(a) for a in argv], text=True, errors='replace', **kw)
    if check and r.returncode:
        raise RuntimeError('%s: exit %d\n%s' % (' '.join(map(str, argv)), r.returncode, r.stdout))
    return r


class Map:
    """Our map: used runs as (start, end), and the facts."""

    def __init__(self, fstype, path, *where):
        r = subprocess.run([FSMAP, fstype, path, *map(str, where)], capture_output=True, text=True, timeout=120)
        if r.returncode:
            raise RuntimeError('fsmap %s %s: exit %d\n%s' % (fstype, path, r.returncode, r.stderr))
        self.facts = dict(line.split(' ', 1) for line in r.stderr.splitlines())
        self.runs = [(a, a + n) for a, n in (map(int, line.split()) for line in r.stdout.splitlines())]
        self.all = self.facts['all_used'] == '1'
        self.why = self.facts['why']
        self.state = self.facts['state']
        self.used = sum(b - a for a, b in self.runs)


def merged(runs):
    out = []
    for a, b in sorted(runs):
        if out and a <= out[-1][1]:
            out[-1][1] = max(out[-1][1], b)
        else:
            out.append([a, b])
    return [tuple(x) for x in out]


def gaps(runs, size):
    out, at = [], 0
    for a, b in merged(runs):
        if a > at:
            out.append((at, a))
        at = max(at, b)
    if at < size:
        out.append((at, size))
    return out


def common(x, y):
    """Bytes in both, as runs; both sorted and merged."""
    out, i, j = [], 0, 0
    while i < len(x) and j < len(y):
        a, b = max(x[i][0], y[j][0]), min(x[i][1], y[j][1])
        if a < b:
            out.append((a, b))
        if x[i][1] < y[j][1]:
            i += 1
        else:
            j += 1
    return out


def total(runs):
    return sum(b - a for a, b in runs)


def check(ok, what):
    """A test goes on after a fault, and fails at its end."""
    if not ok:
        faults.append(what)
    return ok


def check_covers(name, m, oracle_used, size):
    """No byte that the oracle calls used is missing from our map."""
    missing = common(gaps(m.runs, size), merged(oracle_used))
    check(not missing, '%s: used, and not in the map: %s' % (name, missing[:3]))
    kept = common(m.runs, gaps(oracle_used, size))
    return total(kept)


def check_all_used(name, m, size, word=''):
    ok = m.all and m.runs == [(0, size)] and m.why != '-' and word in m.why
    return check(ok, '%s: all should be used (%s): %s %s' % (name, word, m.runs[:3], m.why))


def random_copy(m, source, target):
    """The used bytes of the source, and noise everywhere else."""
    noise = random.Random(SEED).randbytes(MIB)
    size = os.path.getsize(source)
    with open(source, 'rb') as s, open(target, 'wb') as t:
        t.truncate(size)
        for a, b in m.runs:
            s.seek(a)
            t.seek(a)
            while a < b:
                n = min(b - a, MIB)
                t.write(s.read(n))
                a += n
        for a, b in gaps(m.runs, size):
            t.seek(a)
            while a < b:
                n = min(b - a, MIB)
                t.write(noise[:n])
                a += n


@contextlib.contextmanager
def scratch():
    """A folder of our own; what is still mounted in it is unmounted, whatever happened."""
    here = os.environ.get('TMPDIR', '/var/tmp')
    if 'TMPDIR' not in os.environ and os.path.isdir('/dev/shm') and shutil.disk_usage('/dev/shm').free > 4 << 30:
        here = '/dev/shm'  # much flushing, little data
    d = tempfile.mkdtemp(prefix='fsmap-', dir=here)
    try:
        yield d
    finally:
        shutil.rmtree(d, ignore_errors=True)


@contextlib.contextmanager
def mounted(fstype, image, where, options='rw'):
    os.makedirs(where, exist_ok=True)
    run('mount', '-t', fstype, '-o', 'loop,' + options, image, where)
    try:
        yield where
    finally:
        r = run('umount', where, check=False)
        if r.returncode:
            run('umount', '-l', where)


_mounts = {}


def can_mount(fstype, image, where, key=''):
    """Asked of the kernel once a kind of image."""
    if (fstype, key) not in _mounts:
        os.makedirs(where, exist_ok=True)
        ok = os.geteuid() == 0 and run('mount', '-t', fstype, '-o', 'loop', image, where, check=False).returncode == 0
        if ok:
            run('umount', where)
        _mounts[fstype, key] = ok
    return _mounts[fstype, key]


def tree(top):
    """Every name below top with what it holds."""
    out = {}
    for d, dirs, files in os.walk(top):
        for name in dirs + files:
            p = os.path.join(d, name)
            key = os.path.relpath(p, top)
            if os.path.islink(p):
                out[key] = os.readlink(p)
            elif os.path.isdir(p):
                out[key] = 'dir'
            else:
                with open(p, 'rb') as f:
                    out[key] = hashlib.file_digest(f, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') \
                        else hashlib.sha256(f.read()).hexdigest()
    return out


def write_file(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def age(top, rng, budget, rounds=3):
    """Many writes and deletes: files of all sizes, holes, appends, renames, folders, links."""
    names, number = [], 0
    for _ in range(rounds):
        spent = 0
        while spent < budget:
            d = os.path.join(top, 'd%d' % rng.randrange(12))
            os.makedirs(d, exist_ok=True)
            size = int(2 ** rng.uniform(0, 18.5))
            p = os.path.join(d, 'f%d' % number)
            number += 1
            try:
                write_file(p, rng.randbytes(size))
            except OSError:
                if os.path.exists(p):
                    os.unlink(p)
                break
            names.append(p)
            spent += size + 4096
        rng.shuffle(names)
        for p in names[:len(names) // 2]:
            os.unlink(p)
        names = names[len(names) // 2:]
        for p in names[:len(names) // 4]:
            try:
                with open(p, 'r+b') as f:
                    f.seek(rng.randrange(0, 300000))
                    f.write(rng.randbytes(rng.randrange(1, 9000)))
            except OSError:
                pass
        for p in names[:10]:
            run('fallocate', '-p', '-o', 4096, '-l', 8192, p, check=False)
        os.symlink('d1/f%d' % number, os.path.join(top, 's%d' % number))
        os.sync()


def fill(top, rng, piece=MIB):
    """Until nothing more fits; then a little is freed, so that the next one can still be made."""
    number = 0
    while piece >= 4096:
        try:
            write_file(os.path.join(top, 'fill%d' % number), rng.randbytes(piece))
        except OSError:
            piece //= 4
        number += 1
        if number > 4000:
            break


class Case(unittest.TestCase):
    """A test with a folder and a source of random bytes of its own."""
    tools = ()

    @classmethod
    def setUpClass(cls):
        gone = [t for t in cls.tools if not shutil.which(t)]
        if gone:
            raise unittest.SkipTest('not here: ' + ', '.join(gone))

    @classmethod
    def tearDownClass(cls):
        print('\n'.join(['', *remarks]), flush=True)
        remarks.clear()

    def setUp(self):
        faults.clear()
        self.rng = random.Random('%d %s' % (SEED, self.id()))
        self.d = self.enterContext(scratch())
        self.image, self.where = self.d + '/image', self.d + '/mnt'

    def tearDown(self):
        self.assertEqual(faults, [])


def each(cls, variants, function):
    """One test for each variant of a file system."""
    for name, *rest in variants:
        def test(self, name=name, rest=rest):
            for _ in range(N):
                function(self, name, *rest)
        setattr(cls, 'test_variant_' + re.sub(r'\W', '_', name), test)
