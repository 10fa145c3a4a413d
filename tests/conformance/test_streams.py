"""The promises of a Stream (gproxy/base/iface.py)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Stream
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.conformance.streams import BOUND, PAIRS, RESETS, Pair

pytestmark = pytest.mark.usefixtures("no_leaks")

BULK = random.Random(1).randbytes(1 << 20)


@pytest.fixture(params=PAIRS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ends(kind: str) -> Iterator[Pair]:
    near, far = PAIRS[kind]()
    yield near, far
    near.close()
    far.close()


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


class Late(Exception):
    """A deadline of a test."""


def read_all(stream: Stream) -> bytes:
    pieces = []
    while piece := stream.recv():
        pieces.append(piece)
    return b"".join(pieces)


def read_to_the_cut(stream: Stream) -> bytes:
    """The same of a stream whose writer was interrupted: records tell that something is missing."""
    pieces = []
    try:
        while piece := stream.recv():
            pieces.append(piece)
    except StreamClosed as error:
        if error.reason != "truncated":
            raise
    return b"".join(pieces)


def outcome(call: Callable[..., Any], *args: Any) -> Any:
    """What the call returned, or the StreamClosed that it raised."""
    try:
        return call(*args)
    except StreamClosed as error:
        return error


class Attempt:
    """A call in a greenlet of its own, which is seen to wait."""

    def __init__(self, group: Group, call: Callable[..., Any], *args: Any) -> None:
        self.result: Any = None
        self.over = Event()
        self.greenlet = group.spawn(self._run, call, *args)
        sleep(0)
        sleep(0)

    def _run(self, call: Callable[..., Any], *args: Any) -> None:
        try:
            self.result = outcome(call, *args)
        finally:
            self.over.set()

    def wait(self) -> Any:
        assert self.over.wait(30), "the call does not return"
        return self.result


def test_bytes_keep_their_order_both_ways_at_once(ends: Pair, group: Group) -> None:
    near, far = ends
    there = Attempt(group, read_all, far)
    back = Attempt(group, read_all, near)
    for stream in ends:
        group.spawn(lambda stream=stream: (stream.sendall(BULK), stream.sendall(b"the end"), stream.close_write()))
    digest = hashlib.sha256(BULK + b"the end").hexdigest()
    assert hashlib.sha256(there.wait()).hexdigest() == digest
    assert hashlib.sha256(back.wait()).hexdigest() == digest


def test_what_is_received_is_bytes_of_the_callers_own(ends: Pair) -> None:
    near, far = ends
    near.sendall(b"first")
    first = far.recv()
    near.sendall(b"other")
    assert far.recv() == b"other"
    assert first == b"first"
    assert type(first) is bytes


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_every_buffer_can_be_sent(ends: Pair, group: Group, make: Callable[[bytes], Any]) -> None:
    near, far = ends
    received = Attempt(group, read_all, far)
    near.sendall(make(BULK))
    near.close_write()
    assert received.wait() == BULK


def test_nothing_is_sent_of_nothing(ends: Pair) -> None:
    near, far = ends
    near.sendall(b"")
    near.sendall(b"x")
    assert far.recv() == b"x"


def test_the_callers_buffer_is_not_kept(ends: Pair, group: Group) -> None:
    near, far = ends
    buffer = bytearray(BULK)
    received = Attempt(group, read_all, far)
    near.sendall(buffer)
    buffer[:] = bytes(len(buffer))
    buffer += b"resizing works too"
    near.close_write()
    assert received.wait() == BULK


def test_the_end_is_sticky(ends: Pair) -> None:
    near, far = ends
    near.sendall(b"all")
    near.close_write()
    assert far.recv() == b"all"
    assert [far.recv(), far.recv(), far.recv()] == [b"", b"", b""]
    near.close()
    assert far.recv() == b""


def test_a_half_close_leaves_the_other_way_open(ends: Pair, group: Group) -> None:
    near, far = ends
    near.close_write()
    assert far.recv() == b""
    received = Attempt(group, read_all, near)
    far.sendall(BULK)
    far.close_write()
    assert received.wait() == BULK


def test_a_half_close_does_not_disturb_a_reader(ends: Pair, group: Group) -> None:
    near, far = ends
    reading = Attempt(group, near.recv)
    near.close_write()
    assert not reading.over.is_set()
    far.sendall(b"late")
    assert reading.wait() == b"late"


def test_after_a_half_close_nothing_can_be_sent(ends: Pair) -> None:
    near, _ = ends
    near.close_write()
    with pytest.raises(StreamClosed):
        near.sendall(b"x")


@pytest.mark.parametrize("end", ["close", "abort"])
def test_after_the_close_nothing_works(ends: Pair, end: str) -> None:
    near, _ = ends
    getattr(near, end)()
    with pytest.raises(StreamClosed):
        near.recv()
    with pytest.raises(StreamClosed):
        near.sendall(b"x")
    assert near.bare() is None
    assert near.take() == b""


def test_the_ends_are_idempotent_and_quiet_in_any_order(kind: str) -> None:
    names = ("close_write", "close", "abort")
    for order in [(a, b, c) for a in names for b in names for c in names]:
        near, far = PAIRS[kind]()
        for name in order:
            getattr(near, name)()
        for name in reversed(order):
            getattr(far, name)()
        near.close()
        far.close()


@pytest.mark.parametrize("end", ["close", "abort"])
def test_closing_wakes_our_own_reader_and_writer(ends: Pair, group: Group, end: str) -> None:
    near, _ = ends
    reading, writing = Attempt(group, near.recv), Attempt(group, near.sendall, BULK)
    assert not reading.over.is_set()
    assert not writing.over.is_set()
    getattr(near, end)()
    assert isinstance(reading.wait(), StreamClosed)
    assert isinstance(writing.wait(), StreamClosed)


def test_the_peers_close_wakes_a_reader_with_the_end(ends: Pair, group: Group) -> None:
    near, far = ends
    near.sendall(b"x")
    assert far.recv() == b"x"  # what the peer has not read would make its close a reset
    reading = Attempt(group, near.recv)
    far.close()
    assert reading.wait() == b""


def test_the_peers_close_wakes_a_writer(ends: Pair, group: Group) -> None:
    near, far = ends
    writing = Attempt(group, near.sendall, BULK)
    assert not writing.over.is_set()
    far.close()
    assert isinstance(writing.wait(), StreamClosed)


def test_what_was_sent_before_the_close_arrives(ends: Pair) -> None:
    near, far = ends
    near.sendall(b"last words")
    near.close()
    assert far.recv() == b"last words"
    assert far.recv() == b""


def test_an_abort_is_no_orderly_end_where_the_transport_can_say_so(ends: Pair, kind: str, group: Group) -> None:
    near, far = ends
    reading = Attempt(group, far.recv)
    near.abort()
    result = reading.wait()
    if kind in RESETS:
        assert isinstance(result, StreamClosed)
        assert result.reason == "reset"
    else:
        assert result == b""


def test_reader_and_writer_of_one_end_wait_side_by_side(ends: Pair, group: Group) -> None:
    near, far = ends
    reading, writing = Attempt(group, near.recv), Attempt(group, near.sendall, BULK)
    far.sendall(b"up")
    assert reading.wait() == b"up"
    assert not writing.over.is_set()
    received = b""
    while len(received) < len(BULK):
        received += far.recv()
    writing.wait()
    assert received == BULK


def test_a_deadline_in_recv_leaves_the_stream_whole(ends: Pair, group: Group) -> None:
    near, far = ends
    for _ in range(3):
        with pytest.raises(Late), deadline(0.001, Late()):
            near.recv()
    far.sendall(b"after all")
    assert near.recv() == b"after all"
    near.sendall(b"and back")
    assert far.recv() == b"and back"


def test_a_deadline_in_sendall_leaves_a_prefix_and_a_stream_that_closes(ends: Pair) -> None:
    near, far = ends
    with pytest.raises(Late), deadline(0.005, Late()):
        near.sendall(BULK)
    far.sendall(b"the other way still works")
    assert near.recv() == b"the other way still works"
    near.close_write()
    near.close()
    received = read_to_the_cut(far)
    assert 0 < len(received) < len(BULK)
    assert BULK.startswith(received)


@pytest.mark.parametrize("how", ["kill", "throw"])
def test_a_reader_that_dies_loses_nothing(ends: Pair, group: Group, how: str) -> None:
    near, far = ends
    reading = Attempt(group, near.recv)
    die(reading, how)
    far.sendall(b"for the next one")
    assert near.recv() == b"for the next one"


@pytest.mark.parametrize("how", ["kill", "throw"])
@pytest.mark.parametrize("pieces", [0, 1, 2, 5])
def test_a_writer_that_dies_while_it_waits_has_sent_a_prefix(ends: Pair, group: Group, how: str, pieces: int) -> None:
    near, far = ends
    writing = Attempt(group, near.sendall, BULK)
    received = b"".join(far.recv() for _ in range(pieces))
    sleep(0)
    assert not writing.over.is_set()
    die(writing, how)
    near.close()
    received += read_to_the_cut(far)
    assert BULK.startswith(received)
    assert len(received) < len(BULK)


def test_killed_and_closed_at_the_same_turn(ends: Pair, group: Group) -> None:
    near, _ = ends
    reading, writing = Attempt(group, near.recv), Attempt(group, near.sendall, BULK)
    near.close()
    reading.greenlet.kill(block=False)
    writing.greenlet.kill(block=False)
    group.join(30)
    assert reading.over.is_set()
    assert writing.over.is_set()


def test_ready_and_closed_at_the_same_turn(ends: Pair, group: Group) -> None:
    near, far = ends
    reading = Attempt(group, near.recv)
    far.sendall(b"just in time")
    near.close()
    assert isinstance(reading.wait(), (bytes, StreamClosed))
    with pytest.raises(StreamClosed):
        near.recv()


def test_take_never_waits(ends: Pair) -> None:
    near, far = ends
    assert near.take() == b""
    far.sendall(b"x")
    assert near.take() + near.recv() == b"x"


def test_bare_and_bound_tell_what_they_are(ends: Pair, kind: str) -> None:
    near, _ = ends
    fd, bound = near.bare(), near.bound()
    assert fd is None or (isinstance(fd, int) and fd > 2)
    assert bound is None or (isinstance(bound, Address) and not bound.is_domain)
    assert (bound is not None) == (kind in BOUND)


def die(attempt: Attempt, how: str) -> None:
    """End the greenlet where it waits, by a kill or by an exception from outside."""
    if how == "kill":
        attempt.greenlet.kill()
    else:
        attempt.greenlet.kill(StreamClosed("ended here", reason="killed"))
        assert isinstance(attempt.result, StreamClosed)
    assert attempt.over.is_set()
