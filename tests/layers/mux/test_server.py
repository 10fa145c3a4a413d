"""gproxy.layers.mux.server: the test is a client, by the bytes or with a link of its own."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, ProtocolError, StreamClosed, Unsupported
from gproxy.layers.mux import server as room
from gproxy.layers.mux.cores import make_core
from gproxy.layers.mux.padding import Padded
from gproxy.layers.mux.server import MuxServer
from gproxy.net.headed import Headed
from gproxy.net.link import Link
from gproxy.rt.deadline import deadline
from gproxy.schema.multiplex import Brutal, InboundMultiplex
from gproxy.wire import mux
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import encode_address
from tests.support.dispatch import RecordingDispatcher
from tests.support.playbook import new_session, play
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

A = Address(IPv4Address("192.0.2.1"), 443)


class Branches:
    """What a boundary does for the streams of a link."""

    def __init__(self):
        self.errors = []
        self.ids = []

    def __call__(self, accept, stream, session):
        session = dataclasses.replace(session, id=session.id + 100 + len(self.ids))
        self.ids.append(session.id)
        try:
            accept(stream, session)
        except (ProtocolError, StreamClosed) as error:
            self.errors.append(error.word)
        finally:
            stream.close()


class Note:
    """A Reply that keeps what it was told."""

    def __init__(self):
        self.said = []

    def accept(self, bound=None):
        self.said.append("accept")

    def reject(self, why):
        self.said.append("reject")


class Served:
    """A server in conversation with a link of the test's."""

    def __init__(self, kind=mux.Kind.YAMUX, *, padded=False, then=None, **options):
        self.then = then or RecordingDispatcher()
        self.branches = Branches()
        self.server = MuxServer(self.then, self.branches, InboundMultiplex(enabled=True, **options))
        self.session = new_session()
        self.session.target = mux.TARGET
        self.session.user = "me"
        self.reply = Note()
        self.talk = play(lambda stream, session: self.server.stream(session, stream, self.reply), self.session)
        beneath = Headed(self.talk._ours, mux.encode_request(mux.Request(kind, padded), 300))
        self.link = Link(Padded(beneath) if padded else beneath, make_core(kind, client=True))
        self.link.start()

    def open(self, request):
        stream = self.link.open()
        stream.sendall(request if isinstance(request, bytes) else mux.encode_stream_request(request))
        return stream

    def end(self):
        self.link.close()
        self.talk.result()


def hear(stream, size):
    heard = b""
    with deadline(30, AssertionError(f"{size} bytes expected, heard: {heard!r}")):
        while len(heard) < size and (piece := stream.recv()):
            heard += piece
    return heard


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", mux.Kind)
def test_each_stream_is_a_session_of_its_own(kind, padded):
    served = Served(kind, padded=padded, padding=padded)
    streams = [served.open(mux.StreamRequest(Address(IPv4Address("192.0.2.1"), port))) for port in (1, 2)]
    for number, stream in enumerate(streams):
        stream.sendall(b"hello %d" % number)
        assert hear(stream, 8) == b"\x00hello %d" % number
        stream.close_write()
        if kind is not mux.Kind.SMUX:
            assert hear(stream, 1) == b""
        stream.close()
    served.end()
    assert served.reply.said == ["accept"]
    assert served.session.carries
    assert [session.target.port for session in served.then.sessions] == [1, 2]
    assert {session.user for session in served.then.sessions} == {"me"}
    assert {session.inbound for session in served.then.sessions} == {served.session.inbound}
    assert len({session.id for session in (*served.then.sessions, served.session)}) == 3


def test_what_is_no_request_for_a_link_goes_on():
    then = RecordingDispatcher()
    session = new_session()
    session.target = A
    reply = Note()
    server = MuxServer(then, Branches(), InboundMultiplex(enabled=True))
    talk = play(lambda stream, session: server.stream(session, stream, reply), session) >> b"hello" << b"hello"
    talk._ours.close()
    talk.result()
    assert then.session is session
    conn = object()
    server = MuxServer(Packets(), Branches(), InboundMultiplex(enabled=True))
    server.packets(session, conn)
    assert server._then.seen == [(session, conn)]


class Packets:
    def __init__(self):
        self.seen = []

    def packets(self, session, conn):
        self.seen.append((session, conn))


@pytest.mark.parametrize(
    ("wire", "kind", "reason"),
    [
        (b"\x02\x00", Unsupported, "version"),
        (b"\x00\x07", Unsupported, "multiplex"),
        (b"\x00", ProtocolError, "truncated"),
        (b"", ProtocolError, "empty"),
    ],
)
def test_what_is_no_link(wire, kind, reason):
    server = MuxServer(RecordingDispatcher(), Branches(), InboundMultiplex(enabled=True))
    session = new_session()
    session.target = mux.TARGET
    talk = play(lambda stream, session: server.stream(session, stream, Note()), session) >> wire
    talk._ours.close_write()
    error = talk.error()
    assert type(error) is kind
    assert error.reason == reason


def test_a_link_without_padding_where_that_is_demanded():
    served = Served(padding=True)
    stream = served.link.open()
    error = served.talk.error()
    assert isinstance(error, Unsupported)
    assert error.reason == "unpadded"
    stream.close()
    served.link.close()


def test_silence_ends_at_the_deadline(monkeypatch):
    monkeypatch.setattr(room, "HANDSHAKE_TIMEOUT", 0.01)
    served = Served()
    stream = served.link.open()
    assert stream.recv() == b""
    wait_until(lambda: served.branches.errors == ["protocol-timeout"], lambda: served.branches.errors)
    served.end()
    session = new_session()
    session.target = mux.TARGET
    talk = play(lambda stream, session: served.server.stream(session, stream, Note()), session)
    assert talk.error().reason == "timeout"


def test_a_refusal_is_told_with_its_reason():
    served = Served(then=RecordingDispatcher(error=DialError("nobody there", reason="refused")))
    stream = served.open(mux.StreamRequest(A))
    answer = hear(stream, 100)
    assert mux.decode_answer(Cursor(answer)) == "nobody there"
    served.end()


@pytest.mark.parametrize("addressed", [False, True])
def test_datagrams_with_and_without_addresses(addressed):
    served = Served()
    stream = served.open(mux.StreamRequest(A, datagrams=True, addressed=addressed))
    frame = (encode_address(A) if addressed else b"") + b"\x00\x04ping"
    stream.sendall(frame)
    assert hear(stream, 1 + len(frame)) == b"\x00" + frame
    stream.close()
    served.end()
    assert served.then.session.network == "udp"
    assert served.then.session.target == A
    assert served.then.datagrams == [(b"ping", A)]


@pytest.mark.parametrize("wire", [b"\x00\x00\x02", b"\x00\x00\x03\x03a b\x00\x50"])
def test_what_is_no_request_for_a_stream_ends_it_and_nothing_else(wire):
    served = Served()
    bad = served.open(wire)
    assert hear(bad, 1) == b""
    good = served.open(mux.StreamRequest(A))
    assert hear(good, 1) == b"\x00"
    good.close()
    served.end()
    assert len(served.branches.errors) == 1
    assert served.branches.errors[0].startswith(("protocol", "unsupported"))


def test_a_link_within_the_link_is_left_to_the_rules():
    served = Served()
    stream = served.open(mux.StreamRequest(mux.TARGET))
    assert hear(stream, 1) == b"\x00"
    stream.close()
    served.end()
    assert served.then.session.target == mux.TARGET


def test_the_end_of_the_link_ends_its_streams():
    reasons = []

    class Waiting(RecordingDispatcher):
        def stream(self, session, stream, reply):
            reply.accept()
            try:
                stream.recv()
            except StreamClosed as error:
                reasons.append(error.reason)

    served = Served(then=Waiting())
    stream = served.open(mux.StreamRequest(A))
    assert hear(stream, 1) == b"\x00"
    served.talk._ours.close()
    wait_until(lambda: reasons == ["reset"], lambda: reasons)
    served.talk.result()
    served.link.close()


# -- TCP Brutal --------------------------------------------------------------------------------------------------------


def agreement(served, wish=b"\x00" * 5 + b"\x20\x00\x00"):
    stream = served.open(mux.encode_stream_request(mux.StreamRequest(mux.BRUTAL)) + wish)
    cursor = Cursor(hear(stream, 1000))
    assert mux.decode_answer(cursor) is None
    found = mux.decode_agreement(cursor)
    assert cursor.left() == 0
    served.end()
    return found


def test_rates_are_not_agreed_on_where_that_is_off():
    assert agreement(Served()) == "brutal is not enabled by the server"


@pytest.mark.parametrize(("up", "rate"), [(8, 1_000_000), (100, 0x200000)])
def test_the_lower_wish_is_what_is_sent_at(monkeypatch, up, rate):
    asked = []
    monkeypatch.setattr(room, "set_rate", lambda stream, rate: asked.append(rate) or "")
    served = Served(brutal=Brutal(enabled=True, up_mbps=up, down_mbps=16))
    assert agreement(served) == 2_000_000
    assert asked == [rate]


def test_a_kernel_that_can_not_is_told_of(monkeypatch):
    monkeypatch.setattr(room, "set_rate", lambda stream, rate: "no module")
    assert agreement(Served(brutal=Brutal(enabled=True, up_mbps=1, down_mbps=1))) == "no module"
