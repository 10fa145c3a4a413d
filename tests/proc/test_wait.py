from __future__ import annotations

import socket

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
