# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's machine protocol (docs/interop/qmp-spec): commands over a Unix socket, one JSON object a line."""
import json
import socket


class QmpError(Exception):
    """QEMU refused a command."""


class Qmp:
    """One connection; events are passed over."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
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
