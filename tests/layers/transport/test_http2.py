"""What the transports over HTTP/2 have in common: links, their sessions, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from h2.events import RequestReceived, SettingsAcknowledged

from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.transport.http2 import Answered, Http2Client, Http2Server, Site, decode_mark
from gproxy.layers.transport.upgrade import NotHere, UpgradeServer
from gproxy.net.buffered import Buffered
from gproxy.net.link import LinkStream
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1.head import RequestHead
from gproxy.wire.http2.frame import PREFACE
from gproxy.wire.http2.head import Request, Response
from tests.layers.transport.visitor import House, Peer, Visit
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")


class Server(Http2Server):
    """Knows two paths, and can't read a third."""

    def _open(self, stream: LinkStream, request: Request) -> Stream:
        if request.path == b"/unreadable":
            raise ProtocolError("what is that")
        if request.path not in (b"/here", b"/there"):
            raise NotHere("elsewhere", reason="path")
        stream.answer(Response(200, [(b"x", b"y")]))
        return stream


class Plain(UpgradeServer):
    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        client.sendall(b"as you like")
        return client


class Client(Http2Client):
    def _request(self) -> Request:
        return Request(b"POST", b"a.test", b"/here")

    def _around(self, stream: LinkStream) -> Stream:
        return Answered(stream)


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


@pytest.fixture
def house() -> House:
    return House()


def site(house: House, idle_timeout: float = 0) -> Site:
    return Site(Plain("", "/", {}), Server(house.branch, idle_timeout))


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


# -- servers ----------------------------------------------------------------------------------------------------------


def test_each_request_is_served_by_itself(house: House, group: Group) -> None:
    visit = Visit(site(house), echo, group)
    for number in (1, 3, 5):
        visit.ask(number, "/here")
    for number in (5, 1, 3):
        visit.say(number, b"hello %d" % number, ends=True)
    for number in (1, 3, 5):
        fields, payload, trailers = visit.answer(number)
        assert (fields[":status"], fields["x"], payload, trailers) == ("200", "y", b"hello %d" % number, {})
    visit.leave()
    assert visit.error is None
    assert house.failed == []
    assert len(house.sessions) == 3
    assert house.sessions[0].carries  # the boundary makes another one of it


def test_who_asks_for_something_else_hears_it_and_may_stay(house: House, group: Group) -> None:
    visit = Visit(site(house), echo, group)
    visit.ask(1, "/elsewhere")
    visit.ask(3, "/unreadable")
    visit.ask(5, "/there", ends=True)
    fields, payload, _ = visit.answer(1)
    assert (fields[":status"], fields["content-length"], payload) == ("404", "0", b"")
    assert fields["date"].endswith("GMT")
    assert visit.answer(3)[0][":status"] == "400"
    assert visit.answer(5)[0][":status"] == "200"
    visit.leave()
    assert house.failed == ["protocol-path", "protocol"]


def test_a_failure_of_one_is_not_the_others(house: House, group: Group) -> None:
    def then(stream: Stream, session: Session) -> None:
        data = stream.recv()
        if data == b"fail":
            raise ProtocolError("as asked", reason="asked")
        stream.sendall(data)
        stream.close_write()

    visit = Visit(site(house), then, group)
    visit.ask(1, "/here")
    visit.ask(3, "/here")
    visit.say(1, b"fail")
    visit.answer(1)
    visit.say(3, b"fine")
    assert visit.answer(3)[1] == b"fine"
    visit.leave()
    assert house.failed == ["protocol-asked"]


def test_requests_by_the_older_version(house: House, group: Group) -> None:
    near, far = pipe()
    serving = group.spawn(site(house).accepting(echo), far, new_session())
    near.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert near.recv() == b"as you like"
    near.close()
    serving.join()


@pytest.mark.parametrize(
    ("begin", "is_link"), [(PREFACE, True), (b"PRI", True), (b"PUT ", False), (b"G", False), (b"POST", False)]
)
def test_which_version(begin: bytes, is_link: bool) -> None:
    cursor = Cursor(begin)
    assert decode_mark(cursor) is is_link
    assert cursor.at == 0


@pytest.mark.parametrize("begin", [b"", b"P", b"PR"])
def test_which_version_is_not_clear_yet(begin: bytes) -> None:
    with pytest.raises(Incomplete):
        decode_mark(Cursor(begin))


def frame(kind: int, flags: int = 0, number: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBL", kind, flags, number) + payload


@pytest.mark.parametrize(
    ("said", "words", "code"),
    [
        (frame(6, payload=bytes(8)) * 3000, "protocol-flood", 11),
        (frame(4) * 3000, "protocol-flood", 11),
        (frame(1, 0, 1) + frame(9, 0, 1) * 100, "limit-http2", 11),
        (frame(1, 4, 1, bytes(20_000)), "limit-http2", 11),
        (frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"), "protocol-http2", 9),
        (frame(0, 0, 9, b"x"), "protocol-http2", 1),
        (frame(8, payload=b"\x7f\xff\xff\xff"), "protocol-http2", 3),
    ],
)
def test_what_breaks_the_rules_ends_the_link_with_a_word(
    said: bytes, words: str, code: int, house: House, group: Group
) -> None:
    visit = Visit(site(house), echo, group)
    visit.ask(1, "/here")
    visit.ask(3, "/here")
    visit.stream.sendall(said)
    assert visit.farewell() == code
    visit.over()
    assert visit.error is not None
    assert visit.error.word == words
    assert set(house.failed) <= {"closed-corrupt"}
    visit.stream.close()


def test_a_link_without_a_request(house: House, group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gproxy.layers.transport.http2.HANDSHAKE_TIMEOUT", 0.05)
    visit = Visit(site(house), echo, group)
    visit.over()
    assert visit.error is not None
    assert visit.error.word == "protocol-timeout"
    visit.stream.close()


def test_a_link_that_has_served_its_time(house: House, group: Group) -> None:
    visit = Visit(site(house, idle_timeout=0.05), echo, group)
    visit.ask(1, "/here", ends=True)
    visit.answer(1)
    assert visit.farewell() == 0
    visit.over()
    assert visit.error is None
    visit.stream.close()


def test_a_client_that_opens_no_window_holds_nothing_but_its_own_stream(house: House, group: Group) -> None:
    sent = []

    def then(stream: Stream, session: Session) -> None:
        if stream.recv() == b"much":
            for _ in range(64):
                stream.sendall(bytes(65536))
                sent.append(65536)
        else:
            stream.sendall(b"answer")
            stream.close_write()

    visit = Visit(site(house), then, group)
    visit.h2.acknowledge_received_data = lambda size, number: None  # type: ignore[method-assign]
    visit.ask(1, "/here")
    visit.say(1, b"much", ends=True)
    visit.until(lambda: len(visit.data(1)) == 65535)
    visit.h2.increment_flow_control_window(1000)
    visit.ask(3, "/here")
    visit.say(3, b"little", ends=True)
    assert visit.answer(3)[1] == b"answer"
    assert len(visit.data(1)) == 65535
    assert sent == []
    visit.leave()
    assert house.failed == ["closed-reset"]


def test_a_slow_reader_is_not_waited_for(house: House, group: Group) -> None:
    """Between gproxies: what fits into the windows of one, others don't wait for."""
    size = 1 << 20

    def then(stream: Stream, session: Session) -> None:
        stream.sendall(bytes(2 * size))
        stream.close_write()

    world, client = World(), Client()
    connect = client.connecting(world.connect)
    slow, quick = connect(new_session()), connect(new_session())
    group.spawn(site(house).accepting(then), world.arrived[0], new_session())
    for stream in (quick, slow):
        got = 0
        while data := stream.recv():
            got += len(data)
        assert got == 2 * size
        stream.close()
    client.close()


# -- clients ----------------------------------------------------------------------------------------------------------


class World:
    """Where a client's links arrive."""

    def __init__(self) -> None:
        self.arrived: list[PipeEnd] = []
        self.failure: DialError | None = None
        self.ready: Event | None = None
        self.dials = 0

    def connect(self, session: Session) -> Stream:
        self.dials += 1
        if self.ready is not None:
            self.ready.wait()
        if self.failure is not None:
            raise self.failure
        near, far = pipe()
        self.arrived.append(far)
        return near


class Host(Peer):
    """A server that h2 plays."""

    def __init__(self, stream: PipeEnd) -> None:
        super().__init__(stream, client=False, header_encoding="utf-8")

    def asked(self, number: int) -> dict[str, str]:
        [request] = self.until(lambda: self.of(RequestReceived, number))
        return dict(request.headers)

    def answer_to(self, number: int, status: str = "200", *more: tuple[str, str], ends: bool = False) -> None:
        self.h2.send_headers(number, [(":status", status), *more], end_stream=ends)
        self.flush()


@pytest.fixture
def world() -> World:
    return World()


def test_streams_share_a_link(world: World) -> None:
    client = Client()
    connect = client.connecting(world.connect)
    one, two = connect(new_session()), connect(new_session())
    one.sendall(b"first")
    two.sendall(b"second")
    [arrived] = world.arrived
    host = Host(arrived)
    assert host.asked(1)[":path"] == "/here"
    host.asked(3)
    host.until(lambda: host.data(3) == b"second" and host.data(1) == b"first")
    host.answer_to(3)
    host.h2.send_data(3, b"answer")
    host.flush()
    assert two.recv() == b"answer"
    one.close()
    two.close()
    client.close()
    arrived.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((("404"),), "status 404"),
        (("200", ("grpc-status", "12")), "gRPC status 12"),
    ],
)
def test_a_server_that_does_not_agree_is_heard_when_reading(answer: Any, words: str, world: World) -> None:
    client = Client()
    stream = client.connecting(world.connect)(new_session())
    stream.sendall(b"x")
    host = Host(world.arrived[0])
    host.asked(1)
    host.answer_to(1, *answer, ends=True)
    assert stream.take() == b""
    with pytest.raises(StreamClosed, match=words):
        stream.recv()
    with pytest.raises(StreamClosed):
        stream.sendall(b"y")
    client.close()
    world.arrived[0].close()


def test_a_link_that_is_full_gets_another_one_beside_it(world: World) -> None:
    client = Client()
    connect = client.connecting(world.connect)
    streams = [connect(new_session()) for _ in range(101)]  # of a server that has not said what it takes
    assert world.dials == 2
    host = Host(world.arrived[0])
    host.until(lambda: host.of(SettingsAcknowledged))
    streams += [connect(new_session()) for _ in range(2)]
    assert world.dials == 2
    for stream in streams:
        stream.close()
    client.close()
    for arrived in world.arrived:
        arrived.close()


def test_a_link_that_is_gone_is_replaced(world: World) -> None:
    client = Client()
    connect = client.connecting(world.connect)
    first = connect(new_session())
    world.arrived[0].abort()
    with pytest.raises(StreamClosed):
        first.recv()
    connect(new_session()).close()
    assert world.dials == 2
    world.arrived[1].sendall(frame(4) + frame(7, payload=b"\0\0\0\1" + bytes(4)))
    while b"\0\0\0\4\1" not in world.arrived[1].recv():  # its settings are acknowledged, so it has been heard
        pass
    connect(new_session()).close()
    assert world.dials == 3
    first.close()
    client.close()
    for arrived in world.arrived:
        arrived.close()


def test_who_comes_together_shares_a_dial(world: World, group: Group) -> None:
    client = Client()
    connect = client.connecting(world.connect)
    world.ready = Event()
    comers = [group.spawn(connect, new_session()) for _ in range(9)]
    while not world.dials:
        group.join(0.01)
    world.ready.set()
    for comer in comers:
        comer.join()
    assert world.dials == 1
    client.close()
    world.arrived[0].close()


def test_who_comes_together_shares_a_failure(world: World, group: Group) -> None:
    connect = Client().connecting(world.connect)
    world.ready = Event()
    world.failure = DialError("no way", reason="refused")
    failed: list[str] = []

    def come() -> None:
        try:
            connect(new_session())
        except DialError as error:
            failed.append(f"{error.word}: {error}")

    comers = [group.spawn(come) for _ in range(9)]
    while not world.dials:
        group.join(0.01)
    world.ready.set()
    for comer in comers:
        comer.join()
    assert failed == ["dial-refused: no way"] * 9
    assert world.dials == 1
    come()
    assert world.dials == 2
