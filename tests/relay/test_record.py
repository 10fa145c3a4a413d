"""Where records are opened and sealed on the way; what every relay keeps is in tests/conformance/test_relays.py."""

from __future__ import annotations

import fcntl
import socket as consts
import struct
import termios
from _socket import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gproxy.base.defaults import SCRATCH
from gproxy.base.iface import Buffer, Stream
from gproxy.net.framed import Framed
from gproxy.net.stream import SocketStream
from gproxy.relay import Outcome, record, relay
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.conformance.records import MOST, PlainOpener, PlainSealer, records
from tests.conformance.streams import framed, tcp_pair
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

Pair = tuple[SocketStream, SocketStream]


@dataclass
class Traffic:
    """An account."""

    up: int = 0
    down: int = 0


class Run:
    """A relay between two streams, in a greenlet of its own."""

    def __init__(self, left: Stream, right: Stream, account: Traffic | None = None) -> None:
        self.group = Group("test")
        self._over = Event()
        self._outcome: Outcome | None = None
        self.group.spawn(self._run, left, right, account)
        sleep(0)

    def _run(self, left: Stream, right: Stream, account: Traffic | None) -> None:
        self._outcome = relay(left, right, account=account)
        left.close()
        right.close()
        self._over.set()

    def end(self) -> Outcome:
        assert self._over.wait(30), "the relay does not end"
        assert self._outcome is not None
        return self._outcome

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.group.kill()


@pytest.fixture
def outer() -> Iterator[Pair]:
    """The client, and what is the relay's left."""
    pair = tcp_pair()
    yield pair
    for stream in pair:
        stream.close()


@pytest.fixture
def inner() -> Iterator[Pair]:
    """What is the relay's right, and the server."""
    pair = tcp_pair()
    yield pair
    for stream in pair:
        stream.close()


def read_exactly(stream: Stream, count: int) -> bytes:
    received = b""
    while len(received) < count:
        piece = stream.recv()
        assert piece, "the end came early"
        received += piece
    assert len(received) == count
    return received


def descriptor(stream: SocketStream) -> int:
    fd = stream.bare()
    assert fd is not None
    return fd


def unread(fd: int) -> int:
    """Bytes that wait in the kernel to be read."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])


def widen(stream: SocketStream) -> None:
    """Room in the kernel for a full scratch."""
    sock = socket(fileno=descriptor(stream))
    sock.setsockopt(consts.SOL_SOCKET, consts.SO_SNDBUF, 4 * SCRATCH)
    sock.setsockopt(consts.SOL_SOCKET, consts.SO_RCVBUF, 4 * SCRATCH)
    sock.detach()


def test_all_records_of_one_read_leave_in_one_write(outer: Pair, inner: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    real = record.write
    monkeypatch.setattr(record, "write", lambda fd, data: writes.append(len(data)) or real(fd, data))
    client, left = outer
    right, server = inner
    with Run(framed(left), framed(right)):
        client.sendall(records(*[b"ten bytes."] * 50))
        assert read_exactly(framed(server), 500) == b"ten bytes." * 50
    assert writes == [len(records(b"ten bytes." * 50))]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_record_that_comes_byte_by_byte(outer: Pair, inner: Pair, sealed: bool) -> None:
    client, left = outer
    right, server = inner
    source = descriptor(left)
    with Run(framed(left), framed(right) if sealed else right) as run:
        for byte in records(b"split", b"over many reads"):
            client.sendall(bytes((byte,)))
            wait_until(lambda: not unread(source), "the relay does not read")
        client.close_write()
        target: Stream = framed(server) if sealed else server
        assert read_exactly(target, 20) == b"splitover many reads"
        assert target.recv() == b""
        server.close_write()
        outcome = run.end()
    assert (outcome.up, outcome.ended) == (20, "ok")


def test_a_record_of_which_a_part_was_read_before_the_relay_began(outer: Pair, inner: Pair) -> None:
    client, left = outer
    sealer = PlainSealer()
    first, second = records(b"first", sealer=sealer), records(b"second", sealer=sealer)
    stream = framed(left)
    client.sendall(first + second[:8])
    assert stream.recv() == b"first"
    with Run(stream, inner[0]):
        client.sendall(second[8:])
        assert read_exactly(inner[1], 6) == b"second"


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_corrupt_record_ends_both_directions(outer: Pair, inner: Pair, side: str, sealed: bool) -> None:
    liar, near = outer if side == "left" else inner[::-1]
    other, far = inner if side == "left" else outer[::-1]
    mine, its = framed(near), framed(other) if sealed else other
    sealer = PlainSealer()
    with Run(*((mine, its) if side == "left" else (its, mine))) as run:
        liar.sendall(records(b"genuine", sealer=sealer))
        target: Stream = framed(far) if sealed else far
        assert read_exactly(target, 7) == b"genuine"
        liar.sendall(records(b"forged", sealer=sealer)[:-1] + b"!")
        outcome = run.end()
        assert target.recv() == b""
    assert (outcome.ended, outcome.culprit) == ("corrupt", side)
    assert (outcome.up, outcome.down) == ((7, 0) if side == "left" else (0, 7))


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_end_inside_a_record_is_no_orderly_end(outer: Pair, inner: Pair, side: str) -> None:
    broken, near = outer if side == "left" else inner[::-1]
    other, far = inner if side == "left" else outer[::-1]
    with Run(*((framed(near), other) if side == "left" else (other, framed(near)))) as run:
        broken.sendall(records(b"whole", b"half")[:-1])
        assert read_exactly(far, 5) == b"whole"
        broken.close_write()
        outcome = run.end()
    assert (outcome.ended, outcome.culprit) == ("truncated", side)
    assert (outcome.up, outcome.down) == ((5, 0) if side == "left" else (0, 5))


@pytest.mark.parametrize("kind", ["sealed to bare", "bare to sealed", "sealed"])
def test_payload_is_what_is_accounted(outer: Pair, inner: Pair, kind: str) -> None:
    client, left, right, server = *outer, *inner
    account = Traffic()
    left_end, right_end, mine, its = (
        (framed(left) if kind != "bare to sealed" else left),
        (framed(right) if kind != "sealed to bare" else right),
        (framed(client) if kind != "bare to sealed" else client),
        (framed(server) if kind != "sealed to bare" else server),
    )
    with Run(left_end, right_end, account) as run:
        mine.sendall(b"u" * 100_000)
        assert read_exactly(its, 100_000) == b"u" * 100_000
        its.sendall(b"d" * 3)
        assert read_exactly(mine, 3) == b"ddd"
        mine.close_write()
        its.close_write()
        outcome = run.end()
    assert (account.up, account.down) == (outcome.up, outcome.down) == (100_000, 3)


def test_what_was_read_ahead_is_accounted_too(outer: Pair, inner: Pair) -> None:
    account = Traffic()
    left = Framed(outer[1], PlainOpener(), PlainSealer(), records(b"ahead"))
    with Run(left, framed(inner[0]), account) as run:
        assert read_exactly(framed(inner[1]), 5) == b"ahead"
        outer[0].close_write()
        inner[1].close_write()
        run.end()
    assert (account.up, account.down) == (5, 0)


@pytest.mark.parametrize("sealed", [False, True])
def test_what_a_slow_reader_has_not_taken_is_not_overwritten(outer: Pair, inner: Pair, sealed: bool) -> None:
    """It is kept apart from the buffers that all relays use."""
    client, left = outer
    right, server = inner
    content = b"".join(b"%07d," % number for number in range(100_000))
    other_outer, other_inner = tcp_pair(), tcp_pair()
    for stream in (*other_outer, *other_inner):
        widen(stream)
    talker, listener = framed(other_outer[0]), framed(other_inner[1])
    reader: Stream = framed(server) if sealed else server
    received = b""
    with Run(framed(left), framed(right) if sealed else right) as run:
        with Run(framed(other_outer[1]), framed(other_inner[0])):
            run.group.spawn(framed(client).sendall, content)
            while len(received) < len(content):
                talker.sendall(b"\xff" * 200_000)
                assert read_exactly(listener, 200_000) == b"\xff" * 200_000
                received += reader.recv()
    for stream in (*other_outer, *other_inner):
        stream.close()
    assert received == content


def test_the_writer_is_stopped_while_the_reader_is_slow(outer: Pair, inner: Pair) -> None:
    client, left = outer
    with Run(framed(left), framed(inner[0])) as run:
        sent = 0

        def push() -> None:
            nonlocal sent
            sender = framed(client)
            while True:
                sender.sendall(b"x" * MOST)
                sent += MOST

        run.group.spawn(push)
        last = -1
        while last != sent:
            last = sent
            for _ in range(20):
                sleep(0.0005)
        assert 0 < sent < 1 << 20


class Wasteful:
    """Makes of everything as much as a sealer may."""

    def room(self, size: int, /) -> int:
        return 2 * size + 4096

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        size = self.room(len(source))
        target[:size] = bytes(size)
        return size


def test_a_full_read_has_room_when_it_is_sealed(outer: Pair, inner: Pair) -> None:
    """A read that fills the scratch, and a sealer that makes the most of it."""
    client, left = outer
    right, server = inner
    for stream in (client, left, right, server):
        widen(stream)
    source = descriptor(left)
    with Group("test") as group:
        group.spawn(client.sendall, bytes(SCRATCH))
        wait_until(lambda: unread(source) == SCRATCH, "the kernel does not take so much")
        with Run(left, Framed(right, PlainOpener(), Wasteful())):
            assert len(read_exactly(server, 2 * SCRATCH + 4096)) == 2 * SCRATCH + 4096


def test_the_head_and_the_first_payload_leave_as_one(outer: Pair, inner: Pair) -> None:
    client, left = outer
    right, server = inner
    with Run(left, framed(right, b"head ")):
        client.sendall(b"payload")
        assert server.recv() == records(b"head payload")
        server.sendall(records(b"answer"))
        assert read_exactly(client, 6) == b"answer"
        client.sendall(b"more")
        sealer = PlainSealer()
        records(b"head payload", sealer=sealer)
        assert server.recv() == records(b"more", sealer=sealer)


def test_a_silent_client_gets_its_head_sent_soon(outer: Pair, inner: Pair) -> None:
    """Its target may be one that speaks first."""
    client, left = outer
    right, server = inner
    with Run(left, framed(right, b"head")):
        assert server.recv() == records(b"head")
        server.sendall(records(b"hello"))
        assert read_exactly(client, 5) == b"hello"


def test_a_client_that_ends_at_once_gets_its_head_sent(outer: Pair, inner: Pair) -> None:
    client, left = outer
    right, server = inner
    client.close_write()
    with Run(left, framed(right, b"head")) as run:
        assert server.recv() == records(b"head")
        assert server.recv() == b""
        server.sendall(records(b"answer"))
        server.close_write()
        assert read_exactly(client, 6) == b"answer"
        outcome = run.end()
    assert (outcome.up, outcome.down, outcome.ended) == (0, 6, "ok")
