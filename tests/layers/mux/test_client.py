"""gproxy.layers.mux.client: links that lead to a server of ours, or to a peer that the test plays."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.session import DialOptions
from gproxy.layers.mux import client as room
from gproxy.layers.mux.client import MuxOutbound
from gproxy.layers.mux.server import MuxServer
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from gproxy.schema.multiplex import Brutal, InboundMultiplex, OutboundMultiplex
from gproxy.wire import mux
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

A = Address(IPv4Address("192.0.2.1"), 443)


class Inner:
    """The outbound around which the links are: each dial leads to a server of ours, unless there is to be an error."""

    networks = frozenset({"tcp", "udp"})

    def __init__(self, group, then, options):
        self.group = group
        self.then = then
        self.server = MuxServer(then, self.branch, options)
        self.asked = []
        self.fars = []
        self.error = None
        self.gate = None
        self.closed = False

    def dial(self, target, session):
        self.asked.append((target, session))
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        near, far = pipe()
        self.fars.append(far)
        self.group.spawn(self.serve, far)
        return near

    def serve(self, far):
        session = new_session()
        session.target = mux.TARGET
        try:
            self.server.stream(session, far, Yes())
        finally:
            far.close()

    def branch(self, accept, stream, session):
        try:
            accept(stream, dataclasses.replace(session))
        except (ProtocolError, StreamClosed):
            pass
        finally:
            stream.close()

    def close(self):
        self.closed = True


class Yes:
    def accept(self, bound=None):
        pass


@contextmanager
def world(protocol="yamux", *, then=None, server=None, **options):
    """An outbound, and what it is around."""
    with Group("test") as group:
        inner = Inner(group, then or RecordingDispatcher(), server or InboundMultiplex(enabled=True))
        settings = OutboundMultiplex(enabled=True, protocol=protocol, **options)
        outbound = MuxOutbound(inner, settings, logging.getLogger("test"))
        try:
            yield outbound, inner
        finally:
            for far in inner.fars:
                far.close()
            group.join(30)
            wait_until(lambda: all(link.over for link in outbound._links), "a link lives")


def echoed(stream, data=b"hello"):
    stream.sendall(data)
    assert hear(stream, len(data)) == data


def hear(stream, size):
    heard = b""
    while len(heard) < size:
        piece = stream.recv()
        assert piece
        heard += piece
    return heard


@pytest.mark.parametrize("padding", [False, True])
@pytest.mark.parametrize("protocol", ["smux", "yamux", "h2mux"])
def test_streams_share_a_link(protocol, padding):
    with world(protocol, padding=padding) as (outbound, inner):
        streams = [outbound.dial(A, new_session()) for _ in range(5)]
        for number, stream in enumerate(streams):
            echoed(stream, b"hello %d" % number)
        for stream in streams:
            stream.close_write()
            assert stream.recv() == b""
            stream.close()
        [(target, session)] = inner.asked
        assert target == mux.TARGET
        assert session.network == "tcp"
        assert [each.target for each in inner.then.sessions] == [A] * 5


def test_the_request_leaves_with_the_first_payload():
    with world("smux") as (outbound, inner):
        inner.serve = lambda far: None
        stream = outbound.dial(A, new_session())
        assert stream.held()
        stream.sendall(b"payload")
        sleep(0)
        wire = inner.fars[0].recv()
        assert wire.startswith(mux.encode_request(mux.Request(mux.Kind.SMUX, False)))
        assert wire.endswith(mux.encode_stream_request(mux.StreamRequest(A)) + b"payload")
        stream.close()


def test_a_target_that_speaks_first_is_heard():
    class First(RecordingDispatcher):
        def stream(self, session, stream, reply):
            reply.accept()
            stream.sendall(b"welcome")

    with world(then=First()) as (outbound, _):
        stream = outbound.dial(A, new_session())
        assert hear(stream, 7) == b"welcome"
        assert stream.recv() == b""
        stream.close()


def test_a_failure_of_the_servers_is_told():
    with world(then=RecordingDispatcher(error=DialError("nobody there"))) as (outbound, _):
        stream = outbound.dial(A, new_session())
        with pytest.raises(StreamClosed, match="nobody there") as caught:
            stream.recv()
        assert caught.value.reason == "reset"
        stream.close()


def test_a_server_that_gives_no_answer():
    class Silent(RecordingDispatcher):
        def stream(self, session, stream, reply):
            stream.close_write()

    with world(then=Silent()) as (outbound, _):
        stream = outbound.dial(A, new_session())
        with pytest.raises(StreamClosed, match="without an answer"):
            stream.recv()
        stream.close()


class Canned:
    """A link's stream on which this comes."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def sendall(self, data):
        pass

    def recv(self):
        return self.pieces.pop(0) if self.pieces else b""

    take = recv


@pytest.mark.parametrize("pieces", [(b"\x00", b"x"), (b"\x00x",), (b"\x00", b"", b"x")])
def test_take_gives_nothing_of_the_answer(pieces):
    stream = room.MuxStream(Canned(*pieces), b"")
    taken = b"".join(stream.take() for _ in pieces)
    assert taken == b"x"


@pytest.mark.parametrize(("wire", "reason"), [(b"\x01\xff\xff\x7f", "corrupt"), (b"\x01\x02no", "reset")])
def test_an_answer_that_is_none(wire, reason):
    for call in ("recv", "take"):
        with pytest.raises(StreamClosed) as caught:
            getattr(room.MuxStream(Canned(wire), b"head"), call)()
        assert caught.value.reason == reason


@pytest.mark.parametrize("connect", [False, True])
def test_datagrams(connect):
    with world() as (outbound, inner):
        session = new_session()
        session.dial = DialOptions(udp_connect=connect)
        conn = outbound.dial_packet(A, session)
        conn.send_to(b"ping", A)
        assert conn.recv_from() == (b"ping", A)
        other = Address(IPv4Address("192.0.2.2"), 53)
        if connect:
            with pytest.raises(DialError):
                conn.send_to(b"x", other)
        else:
            conn.send_to(b"pong", other)
            assert conn.recv_from() == (b"pong", other)
        conn.close()
        assert inner.then.session.target == A


# -- which link --------------------------------------------------------------------------------------------------------


def links_for(streams, **options):
    """How many streams each link has when so many are open."""
    with world(**options) as (outbound, _):
        opened = [outbound.dial(A, new_session()) for _ in range(streams)]
        found = [len(link) for link in outbound._links]
        for stream in opened:
            stream.close()
        return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [8, 2]),
        ({"min_streams": 3}, [3, 3, 3, 1]),
        ({"max_streams": 4}, [4, 4, 2]),
        ({"max_connections": 1}, [10]),
        ({"max_connections": 3}, [4, 3, 3]),
        ({"max_connections": 2, "min_streams": 7}, [7, 3]),
        ({"max_connections": 2, "min_streams": 4}, [5, 5]),
    ],
)
def test_which_link_has_how_many(options, expected):
    assert links_for(10, **options) == expected


def test_an_idle_link_is_used_again():
    with world(max_streams=1) as (outbound, inner):
        for _ in range(3):
            stream = outbound.dial(A, new_session())
            echoed(stream)
            stream.close()
        assert len(inner.asked) == 1


def test_idle_links_are_closed_after_a_while(held_clock):
    with world(max_streams=1) as (outbound, _):
        streams = [outbound.dial(A, new_session()) for _ in range(3)]
        for stream in streams:
            echoed(stream)
            stream.close()
        held_clock.advance(200)
        outbound.dial(A, new_session()).close()
        assert sum(not link.over for link in outbound._links) == 3
        held_clock.advance(200)
        stream = outbound.dial(A, new_session())
        assert sum(not link.over for link in outbound._links) == 1
        echoed(stream)
        stream.close()


def test_a_broken_link_is_replaced():
    with world() as (outbound, inner):
        stream = outbound.dial(A, new_session())
        echoed(stream)
        inner.fars[0].close()
        with pytest.raises(StreamClosed):
            stream.recv()
        stream.close()
        stream = outbound.dial(A, new_session())
        echoed(stream)
        stream.close()
        assert len(inner.asked) == 2
        assert len(outbound._links) == 1


def test_a_link_that_breaks_at_that_moment_is_replaced_once(monkeypatch):
    with world() as (outbound, inner):
        outbound.dial(A, new_session()).close()
        [first] = outbound._links

        def broken(head=None):
            raise StreamClosed("just now")

        monkeypatch.setattr(first, "open", broken)
        stream = outbound.dial(A, new_session())
        echoed(stream)
        stream.close()
        assert len(inner.asked) == 2
        monkeypatch.setattr(room.Link, "open", lambda self, head=None: broken())
        with pytest.raises(DialError):
            outbound.dial(A, new_session())


def test_a_full_link_is_left_alone():
    with world("h2mux", max_connections=2) as (outbound, inner):
        streams = [outbound.dial(A, new_session()) for _ in range(150)]  # HTTP/2 takes 100 before it knows better
        assert len(inner.asked) == 2
        echoed(streams[-1])
        for stream in streams:
            stream.close()


def test_who_comes_during_a_dial_shares_its_link():
    with world() as (outbound, inner):
        inner.gate = Event()
        streams = []
        for _ in range(5):
            inner.group.spawn(lambda: streams.append(outbound.dial(A, new_session())))
        sleep(0)
        inner.gate.set()
        wait_until(lambda: len(streams) == 5, "not all are there")
        assert len(inner.asked) == 1
        for stream in streams:
            stream.close()


def test_who_comes_during_a_dial_shares_its_failure():
    with world() as (outbound, inner):
        inner.gate, inner.error = Event(), DialError("no way", reason="refused")
        words = []

        def one():
            try:
                outbound.dial(A, new_session())
            except DialError as why:
                words.append((why.word, str(why)))

        for _ in range(5):
            inner.group.spawn(one)
        sleep(0)
        inner.gate.set()
        wait_until(lambda: len(words) == 5, lambda: words)
        assert set(words) == {("dial-refused", "no way")}
        assert len(inner.asked) == 1
        inner.error = None
        outbound.dial(A, new_session()).close()
        assert len(inner.asked) == 2


def test_closing_lets_live_streams_go_on():
    with world() as (outbound, inner):
        stream = outbound.dial(A, new_session())
        echoed(stream)
        [link] = outbound._links
        outbound.close()
        assert inner.closed
        echoed(stream)
        stream.close()
        assert link.over


# -- TCP Brutal --------------------------------------------------------------------------------------------------------

BRUTAL = Brutal(enabled=True, up_mbps=8, down_mbps=16)


def test_rates_are_agreed_on_before_anything_else(monkeypatch):
    monkeypatch.setattr("gproxy.layers.mux.server.set_rate", lambda stream, rate: "")
    rates = []
    monkeypatch.setattr(room, "set_rate", lambda stream, rate: rates.append(rate) or "")
    server = InboundMultiplex(enabled=True, brutal=Brutal(enabled=True, up_mbps=100, down_mbps=4))
    with world(server=server, brutal=BRUTAL, max_streams=1) as (outbound, inner):
        streams = [outbound.dial(A, new_session()) for _ in range(3)]
        for stream in streams:
            echoed(stream)
            stream.close()
        assert len(inner.asked) == 1
    assert rates == [500_000]


def test_a_side_that_can_not_send_so_says_it_and_goes_on(monkeypatch, caplog):
    monkeypatch.setattr("gproxy.layers.mux.server.set_rate", lambda stream, rate: "")
    with world(server=InboundMultiplex(enabled=True, brutal=BRUTAL), brutal=BRUTAL) as (outbound, _):
        stream = outbound.dial(A, new_session())
        echoed(stream)
        stream.close()
    assert "this side sends as ever: TCP Brutal" in caplog.text


def test_a_server_that_does_not_agree_is_a_failed_dial():
    with world(brutal=BRUTAL) as (outbound, inner):
        with pytest.raises(DialError, match="not enabled by the server") as caught:
            outbound.dial(A, new_session())
        assert caught.value.reason == "declined"
        assert not outbound._links
        wait_until(lambda: inner.fars[0].closed, "the link is open")


def test_a_server_that_knows_nothing_of_it_is_a_failed_dial():
    with world(brutal=BRUTAL) as (outbound, inner):
        inner.serve = lambda far: far.close()
        with pytest.raises(DialError, match="no agreement"):
            outbound.dial(A, new_session())
