from __future__ import annotations

import socket

import pytest

from gproxy.net.outbox import Outbox
from tests.support.ports import LOOPBACK

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def pair():
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) for _ in range(2))
    with near, far:
        far.bind((LOOPBACK, 0))
        yield near, far


def heard(far: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(far.recv(65535))
        except BlockingIOError:
            return found


def test_what_is_sent_in_a_burst_leaves_at_its_end_in_order(pair):
    outbox, (near, far) = Outbox(), pair
    name = far.getsockname()

    def burst() -> None:
        assert outbox.open
        for data in (b"1", bytearray(b"2"), memoryview(b"3")):
            outbox.put(near, data, name)
        assert heard(far) == []

    outbox.gather(burst)
    assert heard(far) == [b"1", b"2", b"3"]
    assert not outbox.open
    outbox.gather(lambda: None)
    assert heard(far) == []


def test_a_buffer_is_not_kept(pair):
    outbox, (near, far) = Outbox(), pair
    buffer = bytearray(b"mine")

    def burst() -> None:
        outbox.put(near, buffer, far.getsockname())
        buffer[:] = b"else"

    outbox.gather(burst)
    assert heard(far) == [b"mine"]


def test_what_cannot_be_sent_is_lost_alone(pair):
    outbox, (near, far) = Outbox(), pair
    closed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    closed.close()

    def burst() -> None:
        outbox.put(near, bytes(70_000), far.getsockname())
        outbox.put(closed, b"x", far.getsockname())
        outbox.put(near, b"arrives", far.getsockname())

    outbox.gather(burst)
    assert heard(far) == [b"arrives"]


def test_a_burst_that_fails_leaves_it_closed(pair):
    outbox, (near, far) = Outbox(), pair

    def burst() -> None:
        outbox.put(near, b"before", far.getsockname())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outbox.gather(burst)
    assert not outbox.open
    assert heard(far) == [b"before"]
