"""gproxy.net.link; what its streams keep as every Stream does is in tests/conformance."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.defaults import LINK_OUTBOX, LINK_TURN
from gproxy.base.errors import Overloaded, ProtocolError, StreamClosed
from gproxy.base.iface import Happened, Multiplexer, Stream
from gproxy.net import link as room
from gproxy.net.headed import Headed
from gproxy.net.link import Link, LinkStream
from gproxy.rt.crew import dismiss, launch
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from gproxy.wire.http2.head import Response
from gproxy.wire.http2.link import Http2
from gproxy.wire.smux import FIN, HALVES, HEADER, NOP, PSH, SYN, Smux
from gproxy.wire.yamux import Yamux
from tests.conformance.streams import unix_pair
from tests.support.pipe import PipeEnd, pipe
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

BULK = random.Random(3).randbytes(3 << 20)
CORES: dict[str, Callable[..., Multiplexer]] = {"smux": Smux, "yamux": Yamux, "http2": Http2}
OURS = HEADER.pack(1, NOP, 0, HALVES)


class Late(Exception):
    """A deadline of a test."""


def echo(stream: LinkStream, head: Any) -> None:
    """What a server's streams do here."""
    stream.answer(Response(200))
    try:
        while data := stream.recv():
            stream.sendall(data)
        stream.close_write()
    except StreamClosed:
        return


class Ends:
    """A client's link and a server's, whose outcome is kept."""

    def __init__(self, group: Group, kind: str, serve: Any = echo, capacity: int = 1 << 16, **options: Any) -> None:
        self.near, self.far = pipe(capacity=capacity)
        self.client = Link(self.near, CORES[kind](client=True))
        self.server = Link(self.far, CORES[kind](client=False), serve, **options)
        self.outcome: Any = "runs"
        self.over = Event()
        self.running = group.spawn(self._run)
        self.client.start()

    def _run(self) -> None:
        try:
            self.server.run()
            self.outcome = "ended"
        except (StreamClosed, ProtocolError) as error:
            self.outcome = error.word
        finally:
            self.over.set()
            self.far.close()  # as the boundary does

    def end(self) -> Any:
        """Close the client's link; what the server's has come to."""
        self.client.close()
        assert self.over.wait(30)
        wait_until(lambda: self.near.closed, "the client's stream is open")
        return self.outcome


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


each = pytest.mark.parametrize("kind", CORES)


def read(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv()
        assert piece, "the end came early"
        data += piece
    return data


def reason_of(call: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(StreamClosed) as caught:
        call(*args)
    return caught.value.reason


# -- many streams ------------------------------------------------------------------------------------------------------


@each
def test_two_hundred_streams_at_once_each_with_its_own_bytes(group: Group, kind: str) -> None:
    ends = Ends(group, kind)
    first = ends.client.open()  # until HTTP/2's server has said how many it takes, a client takes less
    first.sendall(b"x")
    assert first.recv() == b"x"
    done = []

    def one(number: int) -> None:
        stream = ends.client.open()
        data = BULK[number * 100 : number * 100 + 20_000]
        group.spawn(stream.sendall, data)
        assert read(stream, len(data)) == data
        stream.close_write()
        assert stream.recv() == b""
        stream.close()
        done.append(number)

    for number in range(200):
        group.spawn(one, number)
    wait_until(lambda: len(done) == 200, lambda: f"only {len(done)} are done", 20)
    assert len(ends.client) == 1
    assert ends.end() == "ended"


@pytest.mark.parametrize("kind", ["yamux", "http2"])
def test_a_slow_reader_stops_nobody_else(group: Group, kind: str) -> None:
    def serve(stream: LinkStream, head: Any) -> None:
        stream.answer(Response(200))
        try:
            stream.sendall(BULK * 3)
        except StreamClosed:
            return

    ends = Ends(group, kind, serve)
    slow, quick = ends.client.open(), ends.client.open()
    assert slow.recv()
    assert read(quick, len(BULK) * 3) == BULK * 3
    assert slow.recv()
    slow.close()
    quick.close()
    assert ends.end() == "ended"


def test_without_windows_a_slow_reader_stops_the_link_and_what_it_holds_is_bounded(group: Group) -> None:
    near, far = pipe(capacity=1 << 14)
    link = Link(near, Smux(client=True), inbox=1 << 16)
    link.start()
    stream = link.open()
    assert read(far, 16)
    writing = group.spawn(
        far.sendall, b"".join(HEADER.pack(1, PSH, 1000, stream.number) + bytes(1000) for _ in range(500))
    )
    wait_until(lambda: len(far._outgoing.data) == 1 << 14, "the link goes on reading")
    assert 1 << 16 <= stream.unread < (1 << 16) + room.LINK_TURN
    assert read(stream, 500_000) == bytes(500_000)
    writing.get(timeout=30)
    stream.close()
    link.close()
    far.close()


def test_what_is_given_out_at_once_is_bounded(group: Group) -> None:
    near, far = pipe(capacity=4 << 20)
    link = Link(near, Smux(client=True))
    link.start()
    stream = link.open()
    far.sendall(
        b"".join(HEADER.pack(1, PSH, 1000, stream.number) + BULK[at : at + 1000] for at in range(0, 10**6, 1000))
    )
    wait_until(lambda: stream.unread == 10**6, "not all has come")
    pieces = [stream.recv() for _ in range(4)]
    assert stream.unread == 0
    assert b"".join(pieces) == BULK[: 10**6]
    assert max(map(len, pieces)) < 300_000
    assert link._unread == 0
    stream.close()
    link.close()
    far.close()


def test_many_small_pieces_take_no_more_than_they_hold(group: Group) -> None:
    near, far = pipe()
    link = Link(near, Smux(client=True))
    link.start()
    stream = link.open()
    for _ in range(50):
        far.sendall((HEADER.pack(1, PSH, 2, stream.number) + b"ab") * 1000)
    wait_until(lambda: stream.unread == 100_000, "not all has come")
    assert len(stream._inbox) < 1000
    assert stream.recv() == b"ab" * 50_000
    stream.close()
    link.close()
    far.close()


def test_those_who_send_take_turns(group: Group) -> None:
    near, far = pipe(capacity=1 << 16)
    link = Link(near, Smux(client=True))
    link.start()
    streams = [link.open() for _ in range(8)]
    for stream in streams:
        group.spawn(stream.sendall, BULK)
    heard = far.recv()
    while len(heard) < 2 << 20:
        heard += far.recv()
    shares = dict.fromkeys([stream.number for stream in streams], 0)
    core = Smux(client=False)
    for kind, number, value in core.feed(heard):
        if kind == "data":
            shares[number] += len(value)
    assert max(shares.values()) - min(shares.values()) <= LINK_OUTBOX + 2 * LINK_TURN
    link.close()
    far.close()


def test_who_gives_up_its_turn_holds_up_nobody(group: Group) -> None:
    near, far = pipe(capacity=1 << 12)
    link = Link(near, Smux(client=True))
    link.start()
    streams = [link.open() for _ in range(20)]
    writers = [group.spawn(stream.sendall, BULK[:200_000]) for stream in streams]
    sleep(0)
    given_up = {0, 3, 4, 5, 7, 11, 12, 13, 18}
    for number in given_up - {12, 13}:
        writers[number].kill()
    for stream in streams[12:14]:
        stream.close()
    core, heard = Smux(client=False), dict.fromkeys([stream.number for stream in streams], b"")
    others = [stream.number for number, stream in enumerate(streams) if number not in given_up]
    with deadline(10, Late()):
        while any(len(heard[number]) < 200_000 for number in others):
            for kind, number, value in core.feed(far.recv()):
                if kind == "data":
                    heard[number] += value
    assert all(heard[number] == BULK[:200_000] for number in others)
    link.close()
    far.close()


def test_a_deadline_in_a_sendall_cuts_no_frame(group: Group) -> None:
    near, far = pipe(capacity=1000)
    link = Link(near, Smux(client=True))
    link.start()
    hasty, patient = link.open(), link.open()
    with pytest.raises(Late), deadline(0.005, Late()):
        hasty.sendall(BULK)
    sent = group.spawn(patient.sendall, b"whole" * 1000)
    core, heard = Smux(client=False), {hasty.number: b"", patient.number: b""}
    while len(heard[patient.number]) < 5000:
        for kind, number, value in core.feed(far.recv()):
            if kind == "data":
                heard[number] += value
    assert heard[patient.number] == b"whole" * 1000
    assert BULK.startswith(heard[hasty.number])
    sent.get(timeout=30)
    link.close()
    far.close()


def test_what_many_send_leaves_in_one_piece() -> None:
    writes: list[int] = []

    class Writes(PipeEnd):
        def sendall(self, data: Any, /) -> None:
            writes.append(len(data))
            super().sendall(data)

    near, far = pipe()
    counted = Writes(near._incoming, near._outgoing, None)
    link = Link(counted, Smux(client=True))
    link.start()
    for _ in range(10):
        link.open().sendall(bytes(100))
    sleep(0)
    sleep(0)
    assert writes == [8 + 10 * (8 + 8 + 100)]
    link.close()
    far.close()


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_head_that_is_held_leaves_with_the_first_frames() -> None:
    near, far = pipe()
    link = Link(Headed(near, b"head"), Smux(client=True))
    link.start()
    stream = link.open()
    stream.sendall(b"payload")
    first = far.recv()
    assert first == b"head" + OURS + HEADER.pack(1, SYN, 0, 3) + HEADER.pack(1, PSH, 7, 3) + b"payload"
    far.sendall(HEADER.pack(1, PSH, 2, 3) + b"ok")
    assert stream.recv() == b"ok"
    stream.close()
    link.close()
    far.close()


def test_the_head_of_an_answer_can_be_waited_for_or_not(group: Group) -> None:
    go_on = Event()

    def serve(stream: LinkStream, head: Any) -> None:
        assert head.method == b"CONNECT"
        assert stream.recv() == b"early"
        go_on.wait()
        stream.answer(Response(299))
        stream.sendall(b"late")

    ends = Ends(group, "http2", serve)
    stream = ends.client.open()
    stream.sendall(b"early")
    with pytest.raises(Late), deadline(0.01, Late()):
        stream.head()
    go_on.set()
    assert stream.head().status == 299
    assert stream.head().status == 299
    assert stream.recv() == b"late"
    assert stream.recv() == b""
    stream.close()
    assert ends.end() == "ended"


def test_a_stream_that_ends_without_an_answer_has_no_head(group: Group) -> None:
    ends = Ends(group, "yamux", lambda stream, head: None)
    stream = ends.client.open()
    assert reason_of(stream.head) == "truncated"
    stream.close()
    assert reason_of(stream.head) == "local"
    ends.end()


def test_more_streams_than_are_served_at_once_are_reset(group: Group) -> None:
    go_on = Event()
    ends = Ends(group, "yamux", lambda stream, head: go_on.wait(), most=2)
    first, second, third = (ends.client.open() for _ in range(3))
    assert reason_of(third.recv) == "reset"
    go_on.set()
    assert (first.recv(), second.recv()) == (b"", b"")
    fourth = ends.client.open()
    assert fourth.recv() == b""
    ends.end()


def test_a_peer_opens_no_streams_where_nobody_serves_them() -> None:
    near, far = pipe()
    link = Link(near, Yamux(client=True))
    link.start()
    link.open()
    server = Yamux(client=False)
    server.feed(far.recv())
    number = server.open()
    far.sendall(server.drain())
    [event] = server.feed(far.recv())[-1:]
    assert (event.kind, event.stream) == ("reset", number)
    link.close()
    far.close()


# -- ends --------------------------------------------------------------------------------------------------------------


@each
def test_the_end_of_the_stream_beneath_breaks_all_streams(group: Group, kind: str) -> None:
    ends = Ends(group, kind)
    streams = [ends.client.open() for _ in range(3)]
    for stream in streams:
        stream.sendall(b"x")
        assert stream.recv() == b"x"
    found: list[str] = []
    for stream in streams:
        group.spawn(lambda stream=stream: found.append(reason_of(stream.recv)))
    sleep(0)
    ends.far.close()
    wait_until(lambda: found == ["reset"] * 3, lambda: found)
    assert [reason_of(stream.sendall, b"x") for stream in streams] == ["reset"] * 3
    assert ends.client.over
    assert reason_of(ends.client.open) == "reset"
    for stream in streams:
        stream.close()
    assert ends.end() == "closed-local"


def test_what_had_come_before_the_break_is_read(group: Group) -> None:
    near, far = pipe()
    link = Link(near, Smux(client=True))
    link.start()
    whole, broken = link.open(), link.open()
    far.sendall(HEADER.pack(1, PSH, 3, 3) + b"all" + HEADER.pack(1, FIN, 0, 3) + HEADER.pack(1, PSH, 4, 5) + b"some")
    far.close_write()
    wait_until(lambda: link.over, "the link lives")
    assert (whole.recv(), whole.recv()) == (b"all", b"")
    assert broken.recv() == b"some"
    assert reason_of(broken.recv) == "reset"
    far.close()


@pytest.mark.parametrize("how", ["kill", "throw"])
def test_a_server_that_is_ended_takes_its_streams_along(group: Group, how: str) -> None:
    ended = []

    def serve(stream: LinkStream, head: Any) -> None:
        ended.append(reason_of(stream.recv))

    ends = Ends(group, "yamux", serve)
    stream = ends.client.open()
    wait_until(lambda: len(ends.server) == 1, "nothing is served")
    sleep(0)
    if how == "kill":
        ends.running.kill()
    else:
        ends.running.kill(StreamClosed("ended here", reason="killed"))
        assert ends.outcome == "closed-killed"
    wait_until(lambda: ended == ["killed"], lambda: ended)
    assert reason_of(stream.recv) == "reset"
    ends.client.close()


def test_a_peer_that_breaks_the_protocol_hears_it_and_the_link_ends(group: Group) -> None:
    near, far = pipe()
    outcome = group.spawn(Link(far, Yamux(client=False), echo).run)
    near.sendall(b"\x09" + bytes(11))
    assert near.recv()[:2] == b"\x00\x03"
    assert near.recv() == b""
    outcome.join(30)
    assert far.closed
    near.close()


def test_the_protocols_mistake_is_what_run_raises(group: Group) -> None:
    ends = Ends(group, "smux")
    ends.near.sendall(b"\x02" + bytes(7))
    assert ends.end() == "protocol"


class Ticking:
    """A core that asks for the time and for nothing else."""

    due = False

    def __init__(self, answers: Sequence[float | Exception]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def tick(self, at: float, /) -> float | None:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return None if answer is None else at + answer

    def feed(self, data: bytes, /) -> Sequence[Happened]:
        return []

    def drain(self) -> bytes:
        return b""

    def goodbye(self) -> None:
        return


def test_a_core_is_asked_the_time_when_it_wants_and_a_silent_peer_ends_the_link() -> None:
    near, far = pipe()
    core = Ticking([0.001, 0.001, ProtocolError("silent", reason="timeout")])
    link = Link(near, core)  # type: ignore[arg-type]  # as much of one as is needed
    link.start()
    wait_until(lambda: link.over, "the link lives")
    assert core.asked == 3
    assert near.closed
    far.close()


def test_a_core_that_wants_nothing_is_asked_once() -> None:
    near, far = pipe()
    core = Ticking([])
    link = Link(near, core)  # type: ignore[arg-type]  # as above
    link.start()
    sleep(0.01)
    assert core.asked == 1
    link.close()
    wait_until(lambda: near.closed, "it is open")
    far.close()


def test_a_close_lets_out_what_was_queued(group: Group) -> None:
    near, far = pipe(capacity=100)
    link = Link(near, Smux(client=True))
    link.start()
    link.open().sendall(bytes(10_000))
    link.close()
    heard = b""
    while piece := far.recv():
        heard += piece
    assert len(heard) == 8 + 8 + 8 + 10_000
    wait_until(lambda: near.closed, "it is open")
    far.close()


def test_a_close_does_not_wait_for_ever(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LINGER", 0.02)
    near, far = pipe(capacity=100)
    link = Link(near, Smux(client=True))
    link.start()
    link.open().sendall(bytes(10_000))
    sleep(0)
    link.close()
    link.close()
    assert not near.closed
    wait_until(lambda: near.closed, "it is open")
    far.close()


def test_a_retired_link_ends_with_its_last_stream(group: Group) -> None:
    ends = Ends(group, "yamux")
    stream = ends.client.open()
    ends.client.retire()
    assert not ends.client.open_for_more
    with pytest.raises(Overloaded):
        ends.client.open()
    stream.sendall(b"still here")
    assert stream.recv() == b"still here"
    stream.close()
    assert ends.over.wait(30)
    assert ends.outcome == "ended"
    ends.client.retire()


def test_a_peers_goodbye_ends_the_link_with_its_last_stream() -> None:
    near, far = pipe()
    link = Link(near, Yamux(client=True))
    link.start()
    stream = link.open()
    server = Yamux(client=False)
    server.feed(far.recv())
    server.goodbye()
    far.sendall(server.drain())
    wait_until(lambda: not link.open_for_more, "the goodbye was not heard")
    assert not link.over
    stream.close()
    assert link.over
    far.close()


def test_a_link_that_never_began_can_be_closed() -> None:
    near, far = pipe()
    Link(near, Smux(client=True)).close()
    assert near.closed
    far.close()


def used() -> None:
    """A link, over sockets, that has carried something and is over."""
    near, far = unix_pair()
    client, server = Link(near, Yamux(client=True)), Link(far, Yamux(client=False), echo)
    over = Event()

    def run() -> None:
        server.run()
        over.set()

    launch(run)
    client.start()
    stream = client.open()
    stream.sendall(b"x")
    assert stream.recv() == b"x"
    stream.close()
    wait_until(lambda: not len(server), "it is served")
    client.close()
    assert over.wait(30)
    sleep(0.01)
    far.close()


def test_nothing_of_a_link_waits_for_the_garbage_collector() -> None:
    used()
    dismiss()
    gc.collect()
    gc.disable()
    try:
        used()
        dismiss()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, (Link, LinkStream, Yamux))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []


def test_the_address_is_the_links_until_the_stream_is_closed() -> None:
    near, far = pipe(bound=Address.parse("192.0.2.1:443"))
    link = Link(near, Smux(client=True))
    link.start()
    stream = link.open()
    assert stream.bound() == Address.parse("192.0.2.1:443")
    stream.close()
    assert stream.bound() is None
    link.close()
    far.close()
