#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed streams as their own tools make them, read through a file and through a pipe: BGZF, windows at and above
the limit, and streams that stand for far more bytes than they are, in bounded memory."""
import hashlib
import os
import struct
import subprocess
import sys
import tempfile
import zlib

SOURCE_CAT = os.path.abspath(sys.argv[1])
BOMB_MIB = int(os.environ.get("N") or "400")
MEMORY_MIB = 96


def sh(command, **kwargs):
    return subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, **kwargs)


def read(path, pipe=False, threads=2):
    """(exit status, SHA-256 of the output, its length, standard error, peak memory in MiB)"""
    with open(path, "rb") as f:
        p = subprocess.Popen([SOURCE_CAT, "-t", str(threads), "-" if pipe else path], stdin=f if pipe else None,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        digest, n = hashlib.sha256(), 0
        while block := p.stdout.read(1 << 20):
            digest.update(block)
            n += len(block)
        err = p.stderr.read().decode()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    return p.returncode, digest.hexdigest(), n, err, usage.ru_maxrss / 1024


def expect(path, data, memory=MEMORY_MIB):
    for pipe in (False, True):
        status, digest, n, err, peak = read(path, pipe)
        assert status == 0, f"{path}: {err}"
        assert (n, digest) == (len(data), hashlib.sha256(data).hexdigest()), f"{path}: other bytes"
        assert peak < memory, f"{path}: {peak:.0f} MiB"


def refuse(path, *words):
    for pipe in (False, True):
        status, _, _, err, peak = read(path, pipe)
        assert status == 1 and all(w in err for w in words), f"{path}: {err}"
        assert peak < MEMORY_MIB, f"{path}: {peak:.0f} MiB"


def bgzf(data):
    out = b""
    for i in list(range(0, len(data), 65280)) + [len(data)]:
        block = data[i:i + 65280]
        c = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = c.compress(block) + c.flush()
        out += b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25) + body
        out += struct.pack("<II", zlib.crc32(block), len(block))
    return out


def test_bgzf(data):
    with open("bgzf.gz", "wb") as f:
        f.write(bgzf(data))
    expect("bgzf.gz", data)


def test_windows(data):
    sh("cat data | zstd -q -1 --long=27 -c > w27.zst; cat data | zstd -q -1 --long=31 -c > w31.zst")
    sh("xz -T1 -c -0 --lzma2=preset=0,dict=64MiB data > d64.xz; xz -T1 -c -0 --lzma2=preset=0,dict=512MiB data > d512.xz")
    expect("w27.zst", data, MEMORY_MIB + 128)
    expect("d64.xz", data, MEMORY_MIB + 128)
    refuse("w31.zst", "2048 MiB", "error -95")
    refuse("d512.xz", "512 MiB", "error -95")


def test_bombs():
    zeros = hashlib.sha256()
    for _ in range(BOMB_MIB):
        zeros.update(bytes(1 << 20))
    for name, command in {"z.gz": "pigz -1", "z.xz": "xz -T2 -0 --block-size=64MiB", "z.bz2": "bzip2 -9",
                          "z.zst": "zstd -q -1", "z.pz.zst": "pzstd -q -1 -c", "z.lz4": "lz4 -q -1"}.items():
        sh(f"head -c {BOMB_MIB}M /dev/zero | {command} > {name}")
        status, digest, n, err, peak = read(name)
        assert (status, digest, n) == (0, zeros.hexdigest(), BOMB_MIB << 20), f"{name}: {err}"
        assert peak < MEMORY_MIB, f"{name}: {peak:.0f} MiB"


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with open("/usr/bin/git", "rb") as f:
            data = bytes(1 << 20) + f.read(3 << 20) + os.urandom(1 << 20)
        with open("data", "wb") as f:
            f.write(data)
        test_bgzf(data)
        test_windows(data)
        test_bombs()
        os.chdir("/")


main()
