"""A network of one's own: a namespace that has nothing but a loopback, where every port is free and nobody can get out.

A test takes the fixture `own_network`; the whole test run starts as `python -m tests.support.netns COMMAND ...`, which
gives an ordinary user the right to make namespaces, if the kernel lets it (a user namespace).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_INSIDE = "--inside"
_libc = ctypes.CDLL(None, use_errno=True)


class NoNamespace(Exception):
    """This user may not make network namespaces here."""


@contextmanager
def new_network() -> Iterator[None]:
    """Put the calling thread into a network of its own, and back; threads and processes started inside stay inside.

    Raises NoNamespace.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWNET) != 0:
            raise NoNamespace(os.strerror(ctypes.get_errno()))
        try:
            loopback_up()
            yield
        finally:
            if _libc.setns(before, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "can't go back to the first network namespace")
    finally:
        os.close(before)


def loopback_up() -> None:
    """Bring `lo` up, without the `ip` program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))


@pytest.fixture
def own_network() -> Iterator[None]:
    """A network of its own for one test. On a desk without the right to make one, it shares the machine's loopback."""
    yield from _network()


@pytest.fixture(scope="module")
def module_network() -> Iterator[None]:
    """The same for all tests of a module, which imports this as `own_network`: what it starts may outlive a test."""
    yield from _network()


def _network() -> Iterator[None]:
    try:
        with new_network():
            yield
            return
    except NoNamespace as refused:
        if os.environ.get("CI"):
            pytest.fail(f"no network namespace: {refused}")
    yield


def main(command: list[str]) -> None:
    """Become `command`, with the right to make network namespaces where an ordinary user can have it."""
    if os.geteuid() != 0 and _may_map_root():
        command = [
            "unshare",
            "--map-root-user",
            "--net",
            sys.executable,
            "-m",
            "tests.support.netns",
            _INSIDE,
            *command,
        ]
    if command[0] == _INSIDE:
        loopback_up()
        command = command[1:]
    os.execvp(command[0], command)


def _may_map_root() -> bool:
    """Whether an unprivileged user namespace can be made."""
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "--map-root-user", "--net", "true"]
    return subprocess.run(probe, check=False, capture_output=True, timeout=10).returncode == 0


if __name__ == "__main__":
    main(sys.argv[1:])
