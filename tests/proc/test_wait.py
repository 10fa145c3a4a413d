from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable

import pytest

from gproxy.proc import wait
from gproxy.proc.post import PostClosed


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "PATIENCE", 0.02)
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(PostClosed):
            wait.wait_readable(one.fileno())
        wait.wait_writable(one.fileno())
        other.send(b"x")
        wait.wait_readable(one.fileno())
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                one.send(b"." * 65536)
        with pytest.raises(PostClosed):
            wait.wait_writable(one.fileno())


@pytest.mark.parametrize("waits", [wait.wait_readable, wait.wait_writable])
def test_descriptors_above_1023(waits: Callable[[int], None]) -> None:
    """A range of ports on some workers makes so many that `select` would not know the next ones."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        high = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, 1024)
        try:
            waits(high)
        finally:
            os.close(high)
