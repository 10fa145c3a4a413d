"""gproxy.protocol.socks.inbound: conversations with SOCKS clients, honest and not."""

from __future__ import annotations

import logging
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import (
    AuthError,
    DialError,
    GproxyError,
    Overloaded,
    ProtocolError,
    Rejected,
    StreamClosed,
    TooLarge,
    Unsupported,
)
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.protocol.socks import INBOUND, inbound
from gproxy.protocol.socks.options import SocksInboundOptions
from gproxy.schema.fields import Secret
from gproxy.schema.groups import User
from tests.support.dispatch import RecordingDispatcher
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe
from tests.support.playbook import CLIENT, Talk, new_session, play
from tests.support.replays import no_replays
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

BOUND = Address(IPv4Address("198.51.100.9"), 1234)
RELAY = Address(IPv4Address("198.51.100.1"), 5000)
TARGET = b"\x01\xc0\x00\x02\x01\x00\x50"
HELLO, WELCOME = b"\x05\x01\x00", b"\x05\x00"
CONNECT = b"\x05\x01\x00" + TARGET
DONE = b"\x05\x00\x00\x01\xc6\x33\x64\x09\x04\xd2"
NOTHING = b"\x01" + bytes(6)
PASSWORD, GRANTED4, REJECTED4 = b"\x01\x01u\x03pw1", b"\x00\x5a\x04\xd2\xc6\x33\x64\x09", b"\x00\x5b" + bytes(6)
USERS = (("u", "pw1"), ("v", "pw2"), ("open", ""))


class Room:
    """A SOCKS inbound with everything around it in memory."""

    def __init__(self, users=(), udp_port=True, **behaviour):
        self.dispatcher = RecordingDispatcher(bound=BOUND, **behaviour)
        self.conn = MemoryPackets()
        self.udp_port = udp_port
        options = SocksInboundOptions(
            type="socks",
            users=tuple(User(username=name, password=Secret(password)) for name, password in users),
        )
        self.options = options
        self.use(self.dispatcher)

    def use(self, dispatcher):
        self.dispatcher = dispatcher
        wiring = InboundWiring("in", dispatcher, self.bind_packets, no_replays(), logging.getLogger("test"), dispatcher)
        [entrance] = INBOUND.build(self.options, wiring).entrances()
        self.accept = entrance.accept

    def bind_packets(self, session):
        if not self.udp_port:
            raise OSError(24, "Too many open files")
        return self.conn, RELAY

    def play(self, **how) -> Talk[None]:
        session = new_session()
        session.local = RELAY
        return play(self.accept, session, **how)


# -- SOCKS5 CONNECT ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_connect(chunk):
    room = Room()
    (room.play(chunk=chunk) >> HELLO << WELCOME >> CONNECT << DONE >> b"ping" << b"ping").end().closed()
    session = room.dispatcher.session
    assert session.target == Address(IPv4Address("192.0.2.1"), 80)
    assert (session.network, session.user) == ("tcp", None)


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (b"\x03\x0bEXAMPLE.com\x01\xbb", Address("example.com", 443)),
        (b"\x03\x09127.0.0.1\x01\xbb", Address(IPv4Address("127.0.0.1"), 443)),
        (b"\x04" + bytes(15) + b"\x01\x00\x35", Address(IPv6Address("::1"), 53)),
    ],
)
def test_every_kind_of_address(address, target):
    room = Room()
    (room.play() >> HELLO << WELCOME >> b"\x05\x01\x00" + address << DONE).end().closed()
    assert room.dispatcher.session.target == target


def test_a_client_that_says_everything_at_once_loses_nothing():
    room = Room()
    (room.play() >> HELLO + CONNECT + b"ping" << WELCOME << DONE << b"ping").end().closed()


def test_the_same_with_a_password():
    room = Room(users=USERS)
    (
        room.play() >> b"\x05\x01\x02" + PASSWORD + CONNECT + b"ping" << b"\x05\x02\x01\x00" << DONE << b"ping"
    ).end().closed()
    assert room.dispatcher.session.user == "u"


@pytest.mark.parametrize("chunk", [0, 1])
def test_password(chunk):
    room = Room(users=USERS)
    talk = room.play(chunk=chunk) >> b"\x05\x02\x00\x02" << b"\x05\x02" >> PASSWORD << b"\x01\x00" >> CONNECT << DONE
    talk.end().closed()
    assert room.dispatcher.session.user == "u"


@pytest.mark.parametrize("wrong", [b"\x01\x01u\x03pw2", b"\x01\x01w\x03pw1", b"\x01\x01u\x00", b"\x01\x00\x00"])
def test_a_wrong_password_is_refused_and_never_told(wrong):
    room = Room(users=USERS)
    talk = room.play() >> b"\x05\x01\x02" << b"\x05\x02" >> wrong + CONNECT << b"\x01\x01"
    talk.closed(raising=AuthError)
    assert "pw" not in str(talk.error())
    assert room.dispatcher.sessions == []


@pytest.mark.parametrize("methods", [b"\x00", b"\x01", b"", b"\x03\x80\xff"])
def test_with_users_no_other_method_will_do(methods):
    room = Room(users=USERS)
    talk = room.play() >> b"\x05" + bytes((len(methods),)) + methods + CONNECT << b"\x05\xff"
    talk.closed(raising=AuthError)
    assert room.dispatcher.sessions == []


def test_without_users_a_client_that_insists_on_a_password_may_give_any():
    room = Room()
    (
        room.play() >> b"\x05\x01\x02" << b"\x05\x02" >> b"\x01\x01x\x01y" << b"\x01\x00" >> CONNECT << DONE
    ).end().closed()
    assert room.dispatcher.session.user is None


def test_without_users_and_without_a_common_method():
    (Room().play() >> b"\x05\x02\x01\x03" << b"\x05\xff").closed(raising=AuthError)


def test_a_password_message_of_another_version():
    (Room(users=USERS).play() >> b"\x05\x01\x02" << b"\x05\x02" >> b"\x05\x01u\x03pw1" << b"\x01\x01").closed(
        raising=ProtocolError
    )


@pytest.mark.parametrize(
    ("request_", "code", "error"),
    [
        (b"\x05\x02\x00" + TARGET, 7, Unsupported),  # BIND
        (b"\x05\x00\x00" + TARGET, 7, Unsupported),
        (b"\x05\xf0\x00" + TARGET, 7, Unsupported),  # what Tor made of it
        (b"\x05\x01\x00\x02" + bytes(6), 8, Unsupported),
        (b"\x05\x01\x00\x03\x00\x00\x50", 1, ProtocolError),
        (b"\x05\x01\x00\x03\x03a b\x00\x50", 1, ProtocolError),
        (b"\x04\x01\x00" + TARGET, 1, ProtocolError),
    ],
)
def test_bad_requests_get_their_code(request_, code, error):
    room = Room()
    (room.play() >> HELLO << WELCOME >> request_ << bytes((5, code, 0)) + NOTHING).closed(raising=error)
    assert room.dispatcher.sessions == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(DialError(reason="refused"), 5), (DialError(reason="dns"), 4), (DialError(reason="timeout"), 6), (Rejected(), 2)],
)
def test_a_target_that_is_not_to_be_had(error, code):
    room = Room(error=error)
    (room.play() >> HELLO << WELCOME >> CONNECT << bytes((5, code, 0)) + NOTHING).closed()


def test_a_rule_may_want_silence():
    (Room(error=Rejected(drop=True)).play() >> HELLO << WELCOME >> CONNECT).closed()


def test_a_stream_that_is_buffered_already_is_not_wrapped_again():
    handed = []

    class Looking(RecordingDispatcher):
        def stream(self, session, stream, reply):
            handed.append(stream)

    near, far = pipe()
    far.sendall(HELLO + CONNECT)
    room, buffered = Room(), Buffered(near)
    room.use(Looking())
    room.accept(buffered, new_session())
    assert handed == [buffered]


# -- SOCKS4 ------------------------------------------------------------------------------------------------------------

CONNECT4 = b"\x04\x01\x00\x50\xc0\x00\x02\x01"


@pytest.mark.parametrize("chunk", [0, 1])
def test_socks4(chunk):
    room = Room()
    (room.play(chunk=chunk) >> CONNECT4 + b"me\x00" << GRANTED4 >> b"ping" << b"ping").end().closed()
    session = room.dispatcher.session
    assert session.target == Address(IPv4Address("192.0.2.1"), 80)
    assert session.user is None  # nobody has checked it


def test_socks4a():
    room = Room()
    (room.play() >> b"\x04\x01\x01\xbb\x00\x00\x00\x07\x00example.com\x00ping" << GRANTED4 << b"ping").end().closed()
    assert room.dispatcher.session.target == Address("example.com", 443)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"\x04\x02\x00\x50\xc0\x00\x02\x01\x00", Unsupported),  # BIND
        (b"\x04\x01\x00\x50\x00\x00\x00\x01\x00\x00", ProtocolError),  # no domain
        (CONNECT4 + b"u" * 300, TooLarge),
        (b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"d" * 300, TooLarge),
    ],
)
def test_bad_requests_of_socks4(request_, error):
    room = Room()
    (room.play() >> request_ << REJECTED4).closed(raising=error)
    assert room.dispatcher.sessions == []


def test_socks4_knows_one_refusal():
    (Room(error=DialError(reason="refused")).play() >> CONNECT4 + b"\x00" << REJECTED4).closed()
    (Room(error=Rejected(drop=True)).play() >> CONNECT4 + b"\x00").closed()


@pytest.mark.parametrize("userid", [b"", b"u", b"nobody", b"\xff"])
def test_socks4_can_prove_no_password(userid):
    room = Room(users=USERS)
    (room.play() >> CONNECT4 + userid + b"\x00" << REJECTED4).closed(raising=AuthError)
    assert room.dispatcher.sessions == []


def test_socks4_user_without_a_password():
    room = Room(users=USERS)
    (room.play() >> CONNECT4 + b"open\x00" << GRANTED4).end().closed()
    assert room.dispatcher.session.user == "open"


# -- what is no SOCKS --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"\x00", b"\x06", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_another_protocol_is_closed_without_a_word(first):
    (Room().play() >> first).closed(raising=ProtocolError)


def test_silence_ends_as_such():
    talk = Room().play().end()
    talk.closed(raising=ProtocolError)
    assert talk.error().reason == "empty"


@pytest.mark.parametrize("script", [HELLO + CONNECT, CONNECT4 + b"me\x00", b"\x05\x01\x02" + PASSWORD + CONNECT])
def test_an_end_at_every_octet(script):
    for size in range(1, len(script)):
        room = Room()
        talk = (room.play() >> script[:size]).end()
        error = talk.error()
        assert isinstance(error, ProtocolError)
        assert room.dispatcher.sessions == []
        talk.stop()


def test_a_client_that_is_too_slow(monkeypatch):
    monkeypatch.setattr(inbound, "HANDSHAKE_TIMEOUT", 0.02)
    talk = Room().play() >> HELLO << WELCOME >> b"\x05" << b"\x05\x01\x00" + NOTHING
    talk.closed(raising=ProtocolError)
    assert talk.error().reason == "timeout"


def test_the_deadline_ends_with_the_handshake(monkeypatch):
    monkeypatch.setattr(inbound, "HANDSHAKE_TIMEOUT", 0.02)
    held = []

    class Waiting(RecordingDispatcher):
        def stream(self, session, stream, reply):
            reply.accept(None)
            held.append(stream.recv())

    room = Room()
    room.use(Waiting())
    talk = room.play() >> HELLO << WELCOME >> CONNECT << b"\x05\x00\x00" + NOTHING
    fired = []
    wait_for(0.05, fired)
    (talk >> b"late").closed()
    assert held == [b"late"]


def wait_for(seconds, fired):
    """Let the hub's own clock pass `seconds`: a timer of the same hub has fired then."""
    from gproxy.rt.sockets import Timer

    timer = Timer(seconds, lambda: fired.append(True))
    wait_until(lambda: fired, "the timer did not fire")
    timer.stop()


@given(st.binary(max_size=80), st.sampled_from([b"", b"\x04\x01", b"\x05", HELLO, HELLO + b"\x05\x01\x00"]))
def test_any_bytes_end_in_an_answer_or_a_known_error(noise, opening):
    near, far = pipe()
    far.sendall(opening + noise)
    far.close_write()
    try:
        Room().accept(near, new_session())
    except GproxyError:
        pass
    near.close()


# -- UDP ASSOCIATE -----------------------------------------------------------------------------------------------------

ASSOCIATE = b"\x05\x03\x00\x01" + bytes(6)
ASSOCIATED = b"\x05\x00\x00\x01\xc6\x33\x64\x01\x13\x88"
HERE = Address(CLIENT.host, 7000)


def test_associate_lives_and_ends_with_its_control_connection():
    room = Room()
    talk = room.play() >> HELLO << WELCOME >> ASSOCIATE << ASSOCIATED
    room.conn.deliver(b"\x00\x00\x00" + TARGET + b"ping", HERE)
    assert room.conn.wait_sent(1) == [(b"\x00\x00\x00" + TARGET + b"ping", HERE)]
    assert not room.conn.closed
    talk.end().closed()
    assert room.conn.closed
    session = room.dispatcher.session
    assert (session.network, session.target) == ("udp", UNSPECIFIED)


def test_associate_ends_when_the_control_connection_breaks():
    room = Room()
    (room.play() >> HELLO << WELCOME >> ASSOCIATE << ASSOCIATED).abort().result()
    assert room.conn.closed


def test_associate_ends_the_control_connection_when_its_datagrams_are_over():
    room = Room()
    talk = room.play() >> HELLO << WELCOME >> ASSOCIATE << ASSOCIATED >> b"nothing that matters"
    room.conn.close()
    talk.closed()


def test_associate_that_nobody_serves_closes_its_port():
    class Idle(RecordingDispatcher):
        def packets(self, session, conn):
            self.sessions.append(session)

    room = Room()
    room.use(Idle())
    (room.play() >> HELLO << WELCOME >> ASSOCIATE << ASSOCIATED).closed()
    assert room.conn.closed


def test_associate_with_a_password():
    room = Room(users=USERS)
    talk = room.play() >> b"\x05\x01\x02" << b"\x05\x02" >> PASSWORD << b"\x01\x00" >> ASSOCIATE << ASSOCIATED
    talk.end().closed()
    assert room.dispatcher.session.user == "u"


def test_no_port_left():
    room = Room(udp_port=False)
    (room.play() >> HELLO << WELCOME >> ASSOCIATE << b"\x05\x01\x00" + NOTHING).closed(raising=Overloaded)
    assert room.dispatcher.sessions == []


def test_a_client_of_a_unix_socket_can_have_no_port():
    talk = play(Room().accept, new_session()) >> HELLO << WELCOME >> ASSOCIATE << b"\x05\x07\x00" + NOTHING
    talk.closed(raising=Unsupported)


def test_replies_do_not_raise_when_the_client_is_gone():
    near, far = pipe()
    far.abort()
    for kind in (inbound.Reply5, inbound.Reply4):
        reply = kind(near)
        reply.accept(BOUND)
        reply.reject(StreamClosed())


def test_only_the_first_word_of_a_reply_counts():
    near, far = pipe()
    reply = inbound.Reply5(near)
    reply.reject(DialError(reason="refused"))
    reply.accept(BOUND)
    reply.reject(DialError())
    assert far.recv() == b"\x05\x05\x00" + NOTHING


def test_a_client_that_leaves_between_two_messages_has_begun():
    near, far = pipe()
    far.sendall(HELLO)
    far.close_write()
    with pytest.raises(ProtocolError) as caught:
        Room().accept(near, new_session())
    assert caught.value.reason == "truncated"
    near.close()
    far.close()
