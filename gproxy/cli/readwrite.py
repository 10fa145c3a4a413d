"""Files that a command reads and writes: whole or not at all, or standard input and output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gproxy.base.errors import GproxyError

STDIN = ("stdin", "-")
STDOUT = ("stdout", "-")
"""What stands for standard input and output where a path is expected."""


def read_whole(path: str) -> bytes:
    """The bytes of a file, or of standard input. Raises GproxyError."""
    if path in STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _failed(path, error) from error


def write_out(path: str, data: bytes) -> None:
    """Write to a file, which anybody may read if it is a new one, or to standard output. Raises GproxyError."""
    if path in STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    write_whole(Path(path), data, 0o666 & ~_umask())


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write the file whole or not at all. It keeps its mode; `mode` is that of a new one. Raises GproxyError."""
    fresh = path.with_name(path.name + ".new")
    try:
        if path.exists():
            mode = path.stat().st_mode & 0o777
        fresh.touch(mode=0o600)
        fresh.write_bytes(data)
        fresh.chmod(mode)
        fresh.replace(path.resolve())
    except OSError as error:
        raise _failed(str(path), error) from error


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _failed(path: str, error: OSError) -> GproxyError:
    return GproxyError(f"{path}: {(error.strerror or str(error)).lower()}")
