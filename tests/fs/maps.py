# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of all allocation maps share: calling fsmap, arithmetic on runs, copies that hold nothing but what
a map calls used, loop mounts that always end, trees of hashes."""
import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import stat
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('ISOMORPH_BUILD') or os.path.join(ROOT, 'build')
N = max(1, int(os.environ.get('N') or 1))
SEED = int(os.environ.get('SEED') or random.SystemRandom().randrange(1 << 32))
CHUNK = 1 << 20
FS_IOC_SHUTDOWN = 0x8004587d
SHUTDOWN_NO_LOG_FLUSH = 2

print(f'N={N} SEED={SEED}', flush=True)


class Map:
    """A map: runs [(start, end)] in bytes, and the facts as text."""

    def __init__(self, runs, facts):
        self.runs, self.facts = runs, facts
        self.all_used = facts['all_used'] == '1'
        self.why = facts['why']
        self.state = facts['state']


def run(*argv, ok=(0,), **kwargs):
    """Standard output of a command that has to end well."""
    p = subprocess.run(argv, stdin=kwargs.pop('stdin', subprocess.DEVNULL), stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, errors='replace', **kwargs)
    if p.returncode not in ok:
        raise AssertionError(f'{" ".join(argv)}: status {p.returncode}\n{p.stdout[-2000:]}{p.stderr[-2000:]}')
    return p.stdout


def fsmap(kind, path, offset=None, size=None):
    argv = [os.path.join(BUILD, 'tests', 'fs', 'fsmap'), kind, path]
    argv += [str(v) for v in (offset, size) if v is not None]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        raise AssertionError(f'{" ".join(argv)}: status {p.returncode}\n{p.stderr[-3000:]}')
    runs = [(int(a), int(a) + int(n)) for a, n in (line.split() for line in p.stdout.splitlines())]
    facts = dict(line.split(' ', 1) for line in p.stderr.splitlines())
    for (_, end), (start, _) in zip(runs, runs[1:]):
        assert end < start, f'runs touch, overlap or are out of order at {start}'
    return Map(runs, facts)


def merge(runs):
    """Sorted, without overlaps or neighbours."""
    out = []
    for start, end in sorted(r for r in runs if r[0] < r[1]):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def invert(runs, size):
    """What merged runs leave of [0, size)."""
    out, at = [], 0
    for start, end in runs:
        if at < start:
            out.append((at, min(start, size)))
        at = max(at, end)
    return merge(out + [(at, size)])


def both(a, b):
    """What is in both of two merged lists."""
    out, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        start, end = max(a[i][0], b[j][0]), min(a[i][1], b[j][1])
        if start < end:
            out.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return out


def total(runs):
    return sum(end - start for start, end in runs)


def copy_used(source, runs, target, seed=SEED):
    """A file of the source's size, random where the map says unused: what is missing will be missed. Above 1 GiB
    the rest is a hole instead."""
    size = os.path.getsize(source)
    noise = random.Random(seed).randbytes(CHUNK)
    with open(source, 'rb') as src, open(target, 'wb') as dst:
        dst.truncate(size)
        if size <= 1 << 30:
            for start, end in invert(runs, size):
                dst.seek(start)
                while start < end:
                    n = min(CHUNK, end - start)
                    dst.write(noise[:n])
                    start += n
        for start, end in runs:
            src.seek(start)
            dst.seek(start)
            while start < end:
                piece = src.read(min(CHUNK, end - start))
                assert piece, f'{source} ends at {start}'
                dst.write(piece)
                start += len(piece)


@contextlib.contextmanager
def workdir():
    """A folder in memory if there is such a place."""
    place = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix='isomorph-fs-', dir=place) as path:
        yield path


@contextlib.contextmanager
def mounted(path, kind, options=''):
    """A file system in a file, mounted through a loop device of its own; both are gone afterwards."""
    place = tempfile.mkdtemp(prefix='isomorph-mnt-')
    loop = ''
    try:
        read_only = ['-r'] if 'ro' in options.split(',') else []
        loop = run('losetup', '--find', '--show', *read_only, path).strip()
        run('mount', '-t', kind, *(['-o', options] if options else []), loop, place)
        try:
            yield place
        finally:
            run('umount', place)
    finally:
        if loop:
            run('losetup', '-d', loop)
        os.rmdir(place)


def crash(place):
    """The file system stops where it is, as by a power cut: nothing more reaches its device."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, ctypes.c_uint32(SHUTDOWN_NO_LOG_FLUSH))
    finally:
        os.close(fd)


def sync_fs(place):
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        ctypes.CDLL(None).syncfs(fd)
    finally:
        os.close(fd)


def tree(place):
    """path: what it is, for everything under a folder."""
    out = {}
    for folder, dirs, files in os.walk(place):
        for name in dirs + files:
            path = os.path.join(folder, name)
            s = os.lstat(path)
            what = (stat.S_IFMT(s.st_mode), s.st_mode & 0o7777)
            if stat.S_ISLNK(s.st_mode):
                what += (os.readlink(path),)
            elif stat.S_ISREG(s.st_mode):
                with open(path, 'rb') as f:
                    what += (s.st_size, hashlib.sha256(f.read()).hexdigest())
            out[os.path.relpath(path, place)] = what
    return out


def churn(place, rng, steps, sync=0.0):
    """Writes, appends, cuts, renames and deletes under a folder until `steps` are done or the file system stops;
    after a share `sync` of them all is synced."""
    for step in range(steps):
        names = sorted(os.listdir(place))
        names = [n for n in names if n.startswith('f')]
        what = rng.random()
        try:
            if what < 0.5 or len(names) < 8:
                folder = os.path.join(place, f'f{rng.randrange(40)}')
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, f'{step}-{rng.randrange(1 << 30)}'), 'wb') as f:
                    f.write(rng.randbytes(rng.choice((0, 60, 900, 5000, 40000, 300000))))
            else:
                folder = os.path.join(place, rng.choice(names))
                inside = sorted(os.listdir(folder))
                if not inside or what > 0.97:
                    for name in inside:
                        os.unlink(os.path.join(folder, name))
                    os.rmdir(folder)
                    continue
                path = os.path.join(folder, rng.choice(inside))
                if what < 0.65:
                    with open(path, 'ab') as f:
                        f.write(rng.randbytes(rng.randrange(30000)))
                elif what < 0.72:
                    os.truncate(path, rng.randrange(os.path.getsize(path) + 1))
                elif what < 0.78:
                    os.rename(path, os.path.join(place, rng.choice(names), f'r{step}'))
                else:
                    os.unlink(path)
            if rng.random() < sync:
                sync_fs(place)
        except OSError as e:
            if e.errno == 28:  # full: make room
                for folder in names[::2]:
                    for name in os.listdir(os.path.join(place, folder)):
                        os.unlink(os.path.join(place, folder, name))
                continue
            if e.errno in (5, 30, 108):
                return
            raise
