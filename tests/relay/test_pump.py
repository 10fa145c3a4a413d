"""What only the callback pump does; the promises of every relay are in tests/conformance/test_relays.py."""

from __future__ import annotations

import random
import socket as consts
from _socket import socket
from collections.abc import Iterator

import pytest

from gproxy.base.defaults import SCRATCH, SPLICE_FROM
from gproxy.net.stream import SocketStream
from gproxy.relay import Outcome, relay
from gproxy.relay.splice import Pipe
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.streams import unix_pair
from tests.support.leaks import descriptors

CONTENT = random.Random(4).randbytes(8 * SCRATCH)


class Counted:
    """How often pipes were lent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refuse: bool = False) -> None:
        self.lent = 0
        real = Pipe.lend

        def lend() -> Pipe | None:
            self.lent += 1
            return None if refuse else real()

        monkeypatch.setattr(Pipe, "lend", lend)


@pytest.fixture(autouse=True)
def no_spares(no_leaks: None) -> Iterator[None]:
    """Pipes that are kept for the next relay would look like a leak."""
    _drop()
    yield
    _drop()


def _drop() -> None:
    while Pipe._spare:
        Pipe._spare.pop().destroy()


def _pipes() -> set[tuple[int, str]]:
    return {(fd, what) for fd, what in descriptors() if what.startswith("pipe:")}


def wide_pair() -> tuple[SocketStream, SocketStream]:
    """Buffers wide enough for reads that count as bulk."""
    pair = unix_pair()
    for stream in pair:
        fd = stream.bare()
        assert fd is not None
        sock = socket(fileno=fd)
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_SNDBUF, 4 * SCRATCH)
        sock.setsockopt(consts.SOL_SOCKET, consts.SO_RCVBUF, 4 * SCRATCH)
        sock.detach()
    return pair


def carry(pieces: list[bytes]) -> tuple[bytes, Outcome]:
    """Send these pieces up through a relay, each when the one before it has arrived."""
    (client, left), (right, server) = wide_pair(), wide_pair()
    outcomes: list[Outcome] = []
    received = bytearray()
    with Group("test") as group:
        group.spawn(lambda: outcomes.append(relay(left, right)))
        sleep(0)
        for piece in pieces:
            group.spawn(client.sendall, piece)
            goal = len(received) + len(piece)
            while len(received) < goal:
                received += server.recv()
        client.close_write()
        server.close_write()
        assert group.join(30)
    for stream in (client, left, right, server):
        stream.close()
    return bytes(received), outcomes[0]


def test_small_reads_take_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    received, outcome = carry([CONTENT[:1000]] * 20)
    assert (received, outcome.up) == (CONTENT[:1000] * 20, 20_000)
    assert counted.lent == 0


def test_bulk_goes_by_splice_and_what_is_small_again_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    received, outcome = carry([CONTENT])
    assert received == CONTENT
    assert outcome.up == len(CONTENT)
    assert counted.lent > 0
    counted.lent = 0
    received, _ = carry([CONTENT, *[b"small"] * 20])
    assert received == CONTENT + b"small" * 20
    assert 0 < counted.lent < 2 * len(CONTENT) // SPLICE_FROM + 20


def test_without_descriptors_for_pipes_it_goes_on_by_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, refuse=True)
    received, outcome = carry([CONTENT, CONTENT])
    assert received == CONTENT + CONTENT
    assert outcome.up == 2 * len(CONTENT)
    assert counted.lent > 0


def test_an_idle_relay_holds_no_pipe() -> None:
    (client, left), (right, server) = wide_pair(), wide_pair()
    before = _pipes()
    with Group("test") as group:
        group.spawn(relay, left, right)
        group.spawn(client.sendall, CONTENT)
        received = 0
        while received < len(CONTENT):
            received += len(server.recv())
        sleep(0.001)
        assert Pipe._spare
        _drop()
        assert _pipes() == before
        client.sendall(b"more")
        assert server.recv() == b"more"
    for stream in (client, left, right, server):
        stream.close()
