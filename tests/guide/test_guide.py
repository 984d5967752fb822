# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of doc/guide/*.md, run from the pages' own text: what they print must be what the page shows.

In a ```console block a line that begins with "# " or "$ " is a command, the lines behind it are all that it prints.
A line of "…" stands for any number of lines, <words> and "…" within a line for any text. An answer behind "[y/N]" is
typed when the question is there. Commands run on a terminal, in a folder of the page's own; /dev/sdX is a loop device
of 64 MiB, /dev/sdY one of 96 MiB, memtest.iso a copy of Debian's. <!-- setup: … --> is run unseen and must succeed.
"""
import glob
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GUIDE = os.path.join(ROOT, 'doc', 'guide')
ISOMORPH = os.environ.get('ISOMORPH', os.path.join(ROOT, 'build', 'isomorph'))
BUILD = os.environ.get('ISOMORPH_BUILD', os.path.dirname(ISOMORPH))
LIMIT = 60  # seconds a command may take


class Step:
    """One command of a page, the lines that it must print, the answers that are typed."""

    def __init__(self, command, line, shown):
        self.command, self.line, self.shown = command, line, shown
        self.expected, self.answers = [], []


def parse(text):
    """The steps of a page in order."""
    steps, indent = [], None
    for number, line in enumerate(text.splitlines(), 1):
        setup = re.fullmatch(r'\s*<!-- setup: (.*) -->', line)
        fence = re.fullmatch(r'( *)```(\w*)', line)
        if setup and indent is None:
            steps.append(Step(setup[1], number, False))
        elif fence:
            indent = None if indent is not None else len(fence[1]) if fence[2] == 'console' else -1
        elif indent is not None and indent >= 0:
            line = line[indent:]
            answer = re.fullmatch(r'(.*\[y/N\]) (\w+)', line)
            if re.match(r'[#$] ', line):
                steps.append(Step(line[2:], number, True))
                continue
            steps[-1].expected.append(line)
            if answer:
                steps[-1].answers.append(answer[2])
    return steps


def pattern(expected):
    """A regular expression for the lines that a step expects."""
    out = ''
    for line in expected:
        if line.strip() == '…':
            out += r'(?:.*\n)*?'
            continue
        parts = re.split(r'(<[^<>]+>|…)', line)
        out += ''.join('.+' if i % 2 else re.escape(p) for i, p in enumerate(parts)) + r'\n'
    return re.compile(out)


def screen(data):
    """What a terminal shows at the end: the program goes up and clears lines to draw its progress anew."""
    rows, row, col = [''], 0, 0
    for token in re.findall(r'\033\[\d*[A-Za-z]|.', data, re.S):
        if token == '\n':
            row += 1
            if row == len(rows):
                rows.append('')
        elif token == '\r':
            col = 0
        elif token == '\033[1A':
            row = max(row - 1, 0)
        elif token == '\033[2K':
            rows[row] = ''
        elif not token.startswith('\033'):
            rows[row] = rows[row][:col].ljust(col) + token + rows[row][col + 1:]
            col += 1
    while rows and not rows[-1]:
        rows.pop()
    return ''.join(r + '\n' for r in rows)


def on_terminal(command, folder, env, answers):
    """Exit status and screen of a command on a terminal of its own."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve('/bin/bash', ['bash', '-c', command], env)
    data, until = '', time.monotonic() + LIMIT
    while time.monotonic() < until:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            more = os.read(fd, 65536)
        except OSError:  # the last one who had the terminal open has ended
            break
        data += more.decode(errors='replace')
        if answers and data.endswith('[y/N] '):
            os.write(fd, (answers.pop(0) + '\n').encode())
    else:
        os.kill(pid, signal.SIGKILL)
        data += f'\n(no end after {LIMIT} seconds)'
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen(data)


class Sandbox:
    """A folder with memtest.iso and a stick, and what the last command left behind: its exit status."""

    def __init__(self, iso):
        self.folder = tempfile.mkdtemp(prefix='isomorph-guide-')
        shutil.copy(iso, os.path.join(self.folder, 'memtest.iso'))
        for name, mib in (('.sdX', 64), ('.sdY', 96)):
            with open(os.path.join(self.folder, name), 'wb') as f:
                f.truncate(mib << 20)
        os.mkdir(os.path.join(self.folder, '.bin'))
        os.symlink(ISOMORPH, os.path.join(self.folder, '.bin', 'isomorph'))
        self.env = {**os.environ, 'PATH': os.path.join(self.folder, '.bin') + ':' + os.environ['PATH'], 'TERM': 'dumb'}
        self.disks, self.status = {}, 0  # /dev/sdX: its loop device

    def attach(self):
        """None, or why there are no disks."""
        for name in ('sdX', 'sdY'):
            p = subprocess.run(['losetup', '--find', '--show', os.path.join(self.folder, '.' + name)],
                               capture_output=True, text=True)
            if p.returncode:
                return p.stderr.strip()
            self.disks['/dev/' + name] = p.stdout.strip()
        return None

    def run(self, step):
        """What the step printed, in the words of the page."""
        command = step.command
        for name, loop in self.disks.items():
            command = command.replace(name, loop)
        assignment = re.fullmatch(r'export (\w+)=(.*)', command)
        if assignment:
            self.env[assignment[1]] = assignment[2]
            return ''
        if command.startswith('unset '):
            del self.env[command.split()[1]]
            return ''
        status, out = on_terminal(f'(exit {self.status}); {command}', self.folder, self.env, list(step.answers))
        if step.shown:
            self.status = status
        elif status:
            raise AssertionError(f'line {step.line}: the setup "{command}" ended with {status}:\n{out}')
        for name, loop in self.disks.items():
            out = re.sub(re.escape(loop) + r'(?![0-9])', name, out)
        return out

    def close(self):
        subprocess.run(['umount', '-q', os.path.join(self.folder, 'media')], capture_output=True)
        for loop in self.disks.values():
            subprocess.run(['losetup', '--detach', loop], check=True)
        shutil.rmtree(self.folder)


def memtest_iso():
    """Debian's, as tests/lab/fetch unpacks it."""
    packages = os.path.join(BUILD, 'lab', 'packages')
    subprocess.run([os.path.join(ROOT, 'tests', 'lab', 'fetch'), packages, 'memtest86+'], check=True)
    return os.path.join(packages, 'memtest86+', 'usr', 'lib', 'memtest86+', 'memtest86+x64.iso')


class Guide(unittest.TestCase):
    maxDiff = None

    def page(self, path):
        if os.geteuid() != 0:
            self.skipTest('loop devices need root')
        with open(path, encoding='utf-8') as f:
            steps = parse(f.read())
        self.assertTrue(any(s.shown for s in steps), 'the page has no command')
        sandbox = Sandbox(memtest_iso())
        self.addCleanup(sandbox.close)
        why = sandbox.attach()
        if why:
            self.skipTest(f'no loop device: {why}')
        for step in steps:
            out = sandbox.run(step)
            if step.shown and not pattern(step.expected).fullmatch(out):
                self.fail(f'{os.path.basename(path)}, line {step.line}: {step.command}\n'
                          f'--- the page says\n' + '\n'.join(step.expected) + f'\n--- the program says\n{out}')

    def test_index_names_every_page(self):
        with open(os.path.join(GUIDE, 'README.md'), encoding='utf-8') as f:
            named = re.findall(r'\(([\w-]+\.md)\)', f.read())
        pages = {os.path.basename(p) for p in glob.glob(os.path.join(GUIDE, '*.md'))} - {'README.md'}
        self.assertEqual(sorted(named), sorted(pages))

    def test_runner_sees_a_difference(self):
        expected = ['a <word> c', '…', 'end']
        self.assertTrue(pattern(expected).fullmatch('a b c\nmore\nend\n'))
        self.assertTrue(pattern(expected).fullmatch('a b c\nend\n'))
        self.assertFalse(pattern(expected).fullmatch('a c\nend\n'))
        self.assertFalse(pattern(expected).fullmatch('a b c\nend\nmore\n'))
        self.assertFalse(pattern([]).fullmatch('anything\n'))


for _path in sorted(glob.glob(os.path.join(GUIDE, '*.md'))):
    _name = os.path.basename(_path).removesuffix('.md')
    if _name != 'README':
        setattr(Guide, 'test_' + _name.replace('-', '_'), lambda self, path=_path: self.page(path))

if __name__ == '__main__':
    unittest.main()
