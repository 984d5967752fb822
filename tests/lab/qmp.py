# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's machine protocol (docs/interop/qmp-spec): commands over a Unix socket, one JSON object a line."""
import json
import socket
import time


class QmpError(Exception):
    """QEMU refused a command."""


def connect(path, timeout):
    """A connected socket; QEMU makes the name a moment before it listens."""
    end = time.monotonic() + timeout
    while True:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        try:
            s.connect(path)
            return s
        except ConnectionRefusedError:
            s.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


class Qmp:
    """One connection; events are passed over."""

    def __init__(self, path, timeout=30):
        self.socket = connect(path, timeout)
        self.file = self.socket.makefile('rw')
        self.file.readline()
        self.command('qmp_capabilities')

    def command(self, name, **arguments):
        self.file.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise QmpError('QEMU ended')
            answer = json.loads(line)
            if 'return' in answer:
                return answer['return']
            if 'error' in answer:
                raise QmpError(answer['error']['desc'])
