# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the Windows file systems' maps share: what sleuthkit calls used, and small changes to images."""
import atexit
import os
import subprocess
import tempfile

import maps

os.environ['PATH'] += ':/usr/sbin:/sbin'


@atexit.register
def say_all():
    print('\n'.join(sayings))


sayings = []  # figures for the end: between the lines of the test runner they would hide its results


def say(text):
    sayings.append(text)


class Map(maps.Map):
    """The map of an image."""

    def __init__(self, kind, image, offset=None, size=None):
        read = maps.fsmap(kind, image, offset, size)
        super().__init__(read.runs, read.facts)
        self.size = size or os.path.getsize(image) - (offset or 0)
        self.used = maps.total(self.runs)

    def missing(self, runs):
        """What of (start, end) in any order our map calls unused."""
        return maps.both(maps.merge(runs), maps.invert(self.runs, self.size))


def blkls(kind, image, unit):
    """What sleuthkit calls allocated, as (start, end); unit is its address unit in bytes."""
    runs = []
    out = subprocess.Popen(['blkls', '-f', kind, '-l', '-a', image], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    for line in out.stdout:
        address, _, state = line.rstrip().partition(b'|')
        if state == b'a' and address.isdigit():
            at = int(address) * unit
            if runs and runs[-1][1] == at:
                runs[-1][1] = at + unit
            else:
                runs.append([at, at + unit])
    complaint = out.communicate()[1].decode(errors='replace')
    if out.returncode:
        raise AssertionError(f'blkls of {image} failed: {complaint}')
    return [tuple(r) for r in runs]


def scratch(test):
    """A folder, in memory if there is such a place, that goes away with the test."""
    memory = '/dev/shm' if os.access('/dev/shm', os.W_OK) else None
    folder = tempfile.TemporaryDirectory(prefix='isomorph-fs-', dir=memory)
    test.addCleanup(folder.cleanup)
    return folder.name


def make_sparse(path, size):
    with open(path, 'wb') as f:
        f.truncate(size)


def patch(path, at, data):
    with open(path, 'r+b') as f:
        f.seek(at)
        f.write(data)


def peek(path, at, length):
    with open(path, 'rb') as f:
        f.seek(at)
        return f.read(length)
