from __future__ import annotations

import socket

import pytest

from gproxy.proc.watching import HubWatch
from gproxy.rt.sync import sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_it_calls_back_until_it_is_told_not_to() -> None:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []
    watch = HubWatch()
    with ours, theirs:
        watch.register(ours, 1, lambda: heard.append(ours.recv(16)))
        theirs.send(b"one")
        wait_until(lambda: heard == [b"one"], lambda: str(heard))
        theirs.send(b"two")
        wait_until(lambda: heard == [b"one", b"two"], lambda: str(heard))
        watch.unregister(ours)
        theirs.send(b"three")
        for _ in range(5):
            sleep(0.001)
        assert heard == [b"one", b"two"]
        assert not watch._watched
