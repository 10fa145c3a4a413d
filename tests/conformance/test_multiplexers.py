"""The promises of a Multiplexer (gproxy/base/iface.py): two cores, and the test carries what they say to each other."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import Overloaded, ProtocolError
from gproxy.base.iface import Multiplexer
from gproxy.wire.http2.head import Response
from gproxy.wire.http2.link import Http2
from gproxy.wire.smux import Smux
from gproxy.wire.yamux import Yamux

CORES: dict[str, Callable[..., Multiplexer]] = {"smux": Smux, "yamux": Yamux, "http2": Http2}
WINDOWED = ["yamux", "http2"]
BULK = random.Random(1).randbytes(1 << 20)
TRIES = settings(max_examples=100)

each = pytest.mark.parametrize("kind", CORES)
each_windowed = pytest.mark.parametrize("kind", WINDOWED)


class Side:
    """A core, and what has happened there."""

    def __init__(self, core: Multiplexer, *, takes: bool = True) -> None:
        self.core = core
        self.takes = takes  # as a reader that is always there
        self.opened: list[int] = []
        self.data: dict[int, bytes] = defaultdict(bytes)
        self.events: dict[int, list[str]] = defaultdict(list)

    def hear(self, data: bytes) -> None:
        for kind, stream, value in self.core.feed(data):
            if kind == "opened":
                self.opened.append(stream)
            elif kind == "data":
                assert value
                assert self.events[stream] == [], "data after the end"
                self.data[stream] += value
                if self.takes:
                    self.core.taken(stream, len(value))
            elif kind in ("ended", "reset"):
                self.events[stream].append(kind)


class Pair:
    def __init__(self, kind: str, *, takes: bool = True) -> None:
        self.client = Side(CORES[kind](client=True), takes=takes)
        self.server = Side(CORES[kind](client=False), takes=takes)

    def carry(self, chunk: int = 0) -> None:
        """Bring everything over, in pieces, until both have said all."""
        while self.client.core.due or self.server.core.due:
            for one, other in ((self.client, self.server), (self.server, self.client)):
                data = one.core.drain()
                assert not one.core.due
                step = chunk or max(len(data), 1)
                for at in range(0, len(data), step):
                    other.hear(data[at : at + step])

    def open(self) -> int:
        number = self.client.core.open()
        self.carry()
        assert self.server.opened[-1] == number
        self.server.core.answer(number, Response(200))
        self.carry()
        return number


def send(side: Side, stream: int, data: bytes) -> bytes:
    """Send what there is room for; what is left."""
    room = side.core.room(stream)
    side.core.send(stream, data[:room])
    return data[room:]


@each
@pytest.mark.parametrize("chunk", [0, 1, 7, 1000])
def test_bytes_of_all_streams_keep_their_order_however_they_arrive(kind: str, chunk: int) -> None:
    pair = Pair(kind)
    numbers = [pair.open() for _ in range(3)]
    assert len(set(numbers)) == 3
    whole = {number: BULK[number * 1000 :][: 3000 if chunk == 1 else 100_000] for number in numbers}
    for side in (pair.client, pair.server):
        for at in range(0, 100_000, 25_000):
            for number, data in whole.items():
                assert send(side, number, data[at : at + 25_000]) == b""
            pair.carry(chunk)
    assert dict(pair.client.data) == dict(pair.server.data) == whole


@each
def test_every_buffer_can_be_sent_and_is_not_kept(kind: str) -> None:
    pair = Pair(kind)
    number = pair.open()
    buffer = bytearray(BULK[:50_000])
    pair.client.core.send(number, buffer)
    with memoryview(buffer) as view:
        pair.client.core.send(number, view[:10])
    buffer[:] = bytes(50_000)
    buffer += b"it can be resized"
    pair.carry()
    assert pair.server.data[number] == BULK[:50_000] + BULK[:10]


@each
def test_each_side_ends_by_itself_and_once(kind: str) -> None:
    pair = Pair(kind)
    number = pair.open()
    for one, other in ((pair.client, pair.server), (pair.server, pair.client)):
        one.core.send(number, b"last words")
        one.core.end(number)
        one.core.end(number)
        pair.carry()
        assert other.data[number] == b"last words"
        assert other.events[number] == ["ended"]
    for side in (pair.client, pair.server):
        side.core.close(number)
        side.core.close(number)
    pair.carry()
    assert pair.client.events[number] == pair.server.events[number] == ["ended"]


@each
def test_what_was_sent_before_the_close_arrives_and_more_is_not_wanted(kind: str) -> None:
    pair = Pair(kind)
    number = pair.open()
    pair.client.core.send(number, b"last words")
    pair.client.core.close(number)
    pair.carry()
    assert pair.server.data[number] == b"last words"
    pair.server.core.send(number, b"who is there?")
    pair.carry()
    assert pair.server.events[number] == ["ended", "reset"]
    assert pair.client.data[number] == b""
    assert pair.client.events[number] == []


@each
def test_a_reset_ends_both_ways_here_at_once_and_there_soon(kind: str) -> None:
    pair = Pair(kind)
    number = pair.open()
    pair.server.core.send(number, b"on its way")
    pair.client.core.reset(number)
    pair.client.core.reset(number)
    pair.carry()
    assert pair.server.events[number][-1] == "reset"
    assert pair.client.events[number] == []
    assert pair.client.data[number] == b""


@each
def test_calls_for_a_stream_that_is_over_are_quiet(kind: str) -> None:
    pair = Pair(kind)
    number = pair.open()
    pair.client.core.reset(number)
    pair.carry()
    for side in (pair.client, pair.server):
        for stream in (number, number + 100):
            for call in (side.core.end, side.core.close, side.core.reset, side.core.room):
                call(stream)
            side.core.taken(stream, 10)
            side.core.answer(stream, Response(200))
    pair.carry()


@each
def test_a_thousand_streams_one_after_the_other_leave_nothing_behind(kind: str) -> None:
    pair = Pair(kind)
    for _ in range(1000):
        number = pair.open()
        pair.client.core.end(number)
        pair.server.core.end(number)
        pair.carry()
        pair.server.core.close(number)
        pair.client.core.close(number)
        pair.carry()
    for side in (pair.client, pair.server):
        assert not getattr(side.core, "_streams")  # noqa: B009 - it is nobody else's business


@each_windowed
def test_a_reader_that_takes_nothing_stops_its_stream_and_no_other(kind: str) -> None:
    pair = Pair(kind, takes=False)
    slow, quick = pair.open(), pair.open()
    left = send(pair.client, slow, BULK)
    pair.carry()
    while left and pair.client.core.room(slow):
        left = send(pair.client, slow, left)
        pair.carry()
    assert left
    assert len(pair.server.data[slow]) == len(BULK) - len(left)
    assert pair.client.core.room(quick) > 0
    pair.server.core.taken(slow, len(pair.server.data[slow]))
    pair.carry()
    assert pair.client.core.room(slow) > 0


@each_windowed
def test_room_happens_when_there_is_some_again(kind: str) -> None:
    pair = Pair(kind, takes=False)
    number = pair.open()
    while room := pair.client.core.room(number):
        pair.client.core.send(number, bytes(room))
        pair.carry()
    pair.server.core.taken(number, len(pair.server.data[number]))
    happened = pair.client.core.feed(pair.server.core.drain())
    assert ("room", number) in [(each.kind, each.stream) for each in happened]
    assert pair.client.core.room(number) > 0


@each
def test_more_than_the_numbers_last_for_is_refused(kind: str) -> None:
    core = CORES[kind](client=True)
    core.drain()
    core._next = 0xFFFFFFFF  # type: ignore[attr-defined]
    with pytest.raises(Overloaded):
        core.open()


@each
@pytest.mark.parametrize("client", [True, False])
@TRIES
@given(junk=st.binary(min_size=1, max_size=300), chunk=st.integers(1, 300))
def test_any_bytes_mean_something_or_are_wrong(kind: str, client: bool, junk: bytes, chunk: int) -> None:
    side = Side(CORES[kind](client=client))
    try:
        for at in range(0, len(junk), chunk):
            side.hear(junk[at : at + chunk])
    except ProtocolError:
        side.core.drain()


@each
@TRIES
@given(cuts=st.integers(0, 10_000), where=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_changed_bit_does_no_more_than_break_the_link(kind: str, cuts: int, where: int, bit: int) -> None:
    pair = Pair(kind)
    number = pair.client.core.open()
    pair.client.core.send(number, BULK[:500])
    pair.client.core.end(number)
    said = bytearray(pair.client.core.drain())
    said[where % len(said)] ^= 1 << bit
    try:
        pair.server.hear(bytes(said[: cuts % len(said)]))
        pair.server.hear(bytes(said[cuts % len(said) :]))
    except ProtocolError:
        pair.server.core.drain()


OPERATIONS = st.lists(st.tuples(st.booleans(), st.sampled_from(["send", "end", "close", "reset"]), st.integers(0, 3)))


@each
@TRIES
@given(operations=OPERATIONS, chunk=st.integers(1, 100))
def test_whatever_both_do_neither_breaks_the_link(kind: str, operations: Any, chunk: int) -> None:
    pair = Pair(kind)
    numbers = [pair.open() for _ in range(4)]
    over: set[tuple[bool, int]] = set()
    sent: dict[tuple[bool, int], bytes] = defaultdict(bytes)
    for by_client, what, which in operations:
        side = pair.client if by_client else pair.server
        number = numbers[which]
        if what == "send":
            if (by_client, number) in over or "reset" in side.events[number]:
                continue
            data = BULK[which : which + 50 * (which + 1)]
            assert send(side, number, data) == b""
            sent[by_client, number] += data
        else:
            over.add((by_client, number))
            getattr(side.core, what)(number)
        if what != "reset":
            pair.carry(chunk)
    pair.carry(chunk)
    for (by_client, number), data in sent.items():
        other = pair.server if by_client else pair.client
        assert data.startswith(other.data[number])


@each
def test_nobody_reads_what_a_peer_goes_on_asking_for(kind: str) -> None:
    pings = {
        "smux": b"\x01\x03\x00\x00" + bytes(4),
        "yamux": b"\x00\x02\x00\x01" + bytes(8),
        "http2": b"\x00\x00\x08\x06\x00" + bytes(4) + bytes(8),
    }
    pair = Pair(kind)
    pair.open()
    with pytest.raises(ProtocolError):
        for _ in range(100):
            pair.server.core.feed(pings[kind] * 100)
    assert len(pair.server.core.drain()) < 1 << 18
