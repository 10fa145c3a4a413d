"""gproxy.layers.mux.uot: the test is the other end of the stream."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.session import DialOptions
from gproxy.layers.mux import uot as layer
from gproxy.layers.mux.uot import PacketsOverStream, Unwrapping
from gproxy.net import packeted
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.wire.uot import TARGETS, Frame, Request, encode_connected, encode_frame, encode_request
from tests.support.dispatch import RecordingDispatcher
from tests.support.pipe import pipe
from tests.support.playbook import new_session, play
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

A, B = Address(IPv4Address("192.0.2.1"), 53), Address(IPv4Address("192.0.2.2"), 53)
NAME = Address("example.com", 443)
BIG = random.Random(7).randbytes(65535)


class Late(Exception):
    """A deadline of a test."""


class Note:
    """A Reply that keeps what it was told."""

    def __init__(self, said=None):
        self.said = [] if said is None else said

    def accept(self, bound=None):
        self.said.append("accept")

    def reject(self, why):
        self.said.append("reject")


def hear(far, size):
    """The next `size` bytes at the far end."""
    heard = b""
    with deadline(30, AssertionError(f"{size} bytes expected, heard: {heard!r}")):
        while len(heard) < size:
            heard += far.recv()
    assert len(heard) == size, heard[size:]
    return heard


def opened(version=2, target=A, *, connect=False, **pipe_options):
    near, far = pipe(**pipe_options)
    asked = []

    def dial(to, session):
        asked.append((to, session))
        return near

    session = new_session()
    session.dial = DialOptions(udp_connect=connect)
    conn = PacketsOverStream.open(dial, target, session, version)
    assert asked == [(TARGETS[version], session)]
    return conn, near, far


def closed_by(call, *args):
    with pytest.raises(StreamClosed) as caught:
        call(*args)
    return caught.value.reason


# -- client ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "connect", "head", "frame"),
    [
        (1, False, b"", encode_frame(Frame(A, b"one"))),
        (1, True, b"", encode_frame(Frame(A, b"one"))),
        (2, False, encode_request(Request(False, A)), encode_frame(Frame(A, b"one"))),
        (2, True, encode_request(Request(True, A)), encode_connected(b"one")),
    ],
)
def test_the_request_and_the_first_datagram_leave_together(version, connect, head, frame):
    conn, _, far = opened(version, connect=connect)
    sleep(0)
    assert far.unread == b"", "said something before there was something to say"
    conn.send_to(b"one", A)
    assert far.recv() == head + frame
    far.sendall(frame * 2)
    assert [conn.recv_from() for _ in range(2)] == [(b"one", A)] * 2
    conn.close()


def test_a_reader_that_comes_first_waits_for_the_first_datagram():
    """A stream whose own head waits for the first payload would send that head for itself when it is read."""
    conn, near, far = opened()
    reads = []
    near.recv, read = lambda: reads.append(1) or read(), near.recv
    got = []
    with Group("test") as group:
        group.spawn(lambda: got.append(conn.recv_from()))
        sleep(0)
        assert reads == []
        conn.send_to(b"question", A)
        far.sendall(encode_frame(Frame(A, b"answer")))
        wait_until(lambda: got, "no answer")
    assert got == [(b"answer", A)]
    conn.close()


def test_many_addresses_and_answers_from_any():
    conn, _, far = opened(1)
    for to in (A, B, NAME, A):
        conn.send_to(b"x", to)
    wire = b"".join(encode_frame(Frame(to, b"x")) for to in (A, B, NAME, A))
    assert far.recv() == wire, "a burst leaves in one piece"
    far.sendall(wire)
    assert [conn.recv_from()[1] for _ in range(4)] == [A, B, NAME, A]
    conn.close()


def test_a_connection_for_one_address_takes_no_other():
    conn, _, _ = opened(connect=True)
    conn.send_to(b"x", Address(IPv4Address("192.0.2.1"), 53))
    with pytest.raises(DialError) as caught:
        conn.send_to(b"x", B)
    assert caught.value.reason == "unreachable"
    conn.close()


@pytest.mark.parametrize("chunk", [1, 3, 1000, 0])
def test_frames_of_any_length_in_pieces_of_any_length(chunk):
    conn, _, far = opened(chunk=chunk, capacity=1 << 22)
    conn.send_to(b"", A)
    sizes = (0, 1, 2, 1472, 9000) if chunk == 1 else (0, 1, 2, 1472, 9000, 65535)
    far.sendall(b"".join(encode_frame(Frame(A, BIG[:size])) for size in sizes))
    for size in sizes:
        data, address = conn.recv_from()
        assert (bytes(data), address) == (BIG[:size], A)
    conn.close()


def test_too_long_a_datagram_is_lost_alone():
    conn, _, far = opened(1)
    conn.send_to(BIG + b"x", A)
    conn.send_to(b"next", A)
    assert far.recv() == encode_frame(Frame(A, b"next"))
    conn.close()


def test_a_dial_that_fails_is_told():
    def dial(target, session):
        raise DialError("no", reason="refused")

    with pytest.raises(DialError, match="no"):
        PacketsOverStream.open(dial, A, new_session(), 2)


# -- the writer --------------------------------------------------------------------------------------------------------


def test_a_peer_that_does_not_read_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(packeted, "_TURN", 5_000)
    monkeypatch.setattr(packeted, "_MOST_WAITING", 10_000)
    conn, _, far = opened(1, capacity=1000)
    frame = encode_frame(Frame(A, bytes(500)))
    with deadline(30, AssertionError("sending waits for the peer")):
        for _ in range(200):
            conn.send_to(bytes(500), A)
            sleep(0)
    heard = b""
    while far.unread:
        heard += far.recv()
        sleep(0)
    assert 10_000 < len(heard) < 20_000
    assert heard == frame * (len(heard) // len(frame)), "frames are lost whole"
    conn.send_to(b"now", A)
    assert far.recv() == encode_frame(Frame(A, b"now"))
    conn.close()


def test_a_sender_that_never_waits_leaves_the_writer_its_turn():
    conn, _, far = opened(1, capacity=1 << 24)
    for _ in range(100):
        conn.send_to(BIG, A)
    sleep(0)
    assert len(far.unread) == 100 * len(encode_frame(Frame(A, BIG)))
    conn.close()


def test_a_sender_that_is_interrupted_leaves_no_half_frame():
    conn, _, far = opened(1, capacity=1000)
    with pytest.raises(Late), deadline(0.01, Late()):
        while True:
            conn.send_to(BIG, A)
    heard = b""
    while far.unread:
        heard += far.recv()
        sleep(0)
    frame = encode_frame(Frame(A, BIG))
    assert len(heard) % len(frame) == 0
    conn.close()


def test_what_was_sent_before_the_close_still_leaves():
    conn, near, far = opened()
    conn.send_to(b"last words", A)
    conn.close()
    conn.close()
    assert closed_by(conn.send_to, b"x", A) == "local"
    assert closed_by(conn.recv_from) == "local"
    wire = encode_request(Request(False, A)) + encode_frame(Frame(A, b"last words"))
    assert hear(far, len(wire)) == wire
    assert far.recv() == b""
    assert near.closed


def test_a_close_does_not_wait_for_a_peer_that_does_not_read(monkeypatch):
    monkeypatch.setattr(packeted, "LINGER", 0.01)
    conn, near, _ = opened(capacity=1)
    conn.send_to(b"last words", A)
    conn.close()
    wait_until(lambda: near.closed, "the stream is still open")
    conn, near, _ = opened(capacity=1)
    conn.send_to(b"x", A)
    sleep(0)  # the writer waits for the peer by now
    conn.close()
    assert near.closed


@pytest.mark.parametrize("sent", [False, True])
def test_a_close_wakes_the_reader(sent):
    conn, _, _ = opened()
    if sent:
        conn.send_to(b"x", A)
    got = []
    with Group("test") as group:
        group.spawn(lambda: got.append(closed_by(conn.recv_from)))
        sleep(0)
        sleep(0)
        conn.close()
        assert group.join(30)
    assert got == ["local"]


def test_a_broken_stream_is_told_to_both_sides():
    conn, near, far = opened()
    conn.send_to(b"x", A)
    sleep(0)
    far.abort()
    conn.send_to(b"y", A)
    wait_until(lambda: near.closed, "the writer has not noticed")
    assert closed_by(conn.send_to, b"z", A) == "reset"
    assert closed_by(conn.recv_from) == "reset"


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_the_end_between_two_frames_comes_after_the_last_one():
    conn, _, far = opened(1)
    conn.send_to(b"first", A)
    assert far.recv().endswith(b"first")
    far.sendall(encode_frame(Frame(A, b"last")))
    far.close_write()
    assert conn.recv_from() == (b"last", A)
    assert [closed_by(conn.recv_from) for _ in range(2)] == ["eof", "eof"]
    conn.send_to(b"still heard", A)
    assert far.recv().endswith(b"still heard")
    conn.close()


@pytest.mark.parametrize("size", range(1, 12))
def test_the_end_inside_a_frame_is_no_end_in_order(size):
    near, far = pipe(chunk=5)
    conn = PacketsOverStream(near)
    far.sendall(encode_frame(Frame(A, b"last"))[:size])
    far.close_write()
    assert [closed_by(conn.recv_from) for _ in range(2)] == ["truncated", "truncated"]
    conn.close()


@pytest.mark.parametrize(
    "garbage", [b"\x03", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, b"\x02\x01 \0\0", b"\x02\0\0\0"]
)
def test_garbage_ends_it(garbage):
    near, far = pipe()
    conn = PacketsOverStream(near)
    far.sendall(encode_frame(Frame(A, b"good")) + garbage)
    assert conn.recv_from() == (b"good", A)
    assert [closed_by(conn.recv_from) for _ in range(2)] == ["corrupt", "corrupt"]
    assert closed_by(conn.send_to, b"x", A) == "corrupt"
    assert near.closed


def test_random_streams_end_with_a_clear_word():
    chance = random.Random(4)
    for _ in range(300):
        near, far = pipe(chunk=chance.choice((0, 1, 7)))
        conn = PacketsOverStream(near)
        far.sendall(chance.randbytes(chance.randrange(2000)))
        far.close_write()
        with pytest.raises(StreamClosed) as caught:
            while True:
                conn.recv_from()
        assert caught.value.reason in ("corrupt", "truncated", "eof")
        conn.close()


# -- server ------------------------------------------------------------------------------------------------------------


def served(version, *, echo=True, target=None):
    """Talk to a server whose protocol has already read the magic target; the sessions that it got."""
    dispatcher, said = RecordingDispatcher(echo=echo), []

    def accept(stream, session):
        session.target = target or TARGETS[version]
        Unwrapping(dispatcher).stream(session, stream, Note(said))

    return play(accept), dispatcher, said


def test_version_1_becomes_datagrams():
    talk, dispatcher, said = served(1)
    wire = encode_frame(Frame(A, b"one")) + encode_frame(Frame(NAME, b"two"))
    talk >> wire << wire
    talk.end().closed()
    assert said == ["accept"]
    assert dispatcher.datagrams == [(b"one", A), (b"two", NAME)]
    assert (dispatcher.session.network, dispatcher.session.target) == ("udp", UNSPECIFIED)


def test_version_2_becomes_datagrams():
    talk, dispatcher, said = served(2)
    wire = encode_frame(Frame(B, b"one"))
    talk >> encode_request(Request(False, NAME)) + wire << wire
    talk.end().closed()
    assert said == ["accept"]
    assert dispatcher.datagrams == [(b"one", B)]
    assert (dispatcher.session.network, dispatcher.session.target) == ("udp", NAME)


def test_version_2_connected():
    talk, dispatcher, _ = served(2)
    for octet in encode_request(Request(True, A)):
        talk >> bytes((octet,))
    talk >> encode_connected(b"one") << encode_connected(b"one")
    talk.end().closed()
    assert dispatcher.datagrams == [(b"one", A)]


@pytest.mark.parametrize(("only", "heard"), [(A, [b"from it"]), (NAME, [b"from elsewhere", b"from it"])])
def test_who_is_connected_hears_nobody_else(only, heard):
    """Of a name only the resolver knows which addresses it has, so there nobody can be told apart."""
    near, far = pipe()
    conn = PacketsOverStream(near, only)
    conn.send_to(b"from elsewhere", B)
    conn.send_to(b"from it", replace_same(only))
    assert far.recv() == b"".join(encode_connected(data) for data in heard)
    conn.close()


def replace_same(address):
    """An equal address that is another object."""
    return Address(*address)


def test_other_targets_stay_streams():
    talk, dispatcher, said = served(2, target=A)
    talk >> b"payload" << b"payload"
    talk.end().closed()
    assert said == ["accept"]
    assert (dispatcher.session.network, dispatcher.session.target) == ("tcp", A)


def test_datagrams_stay_datagrams():
    dispatcher = RecordingDispatcher()
    near, far = pipe()
    far.close_write()
    session = replace(new_session(), network="udp")
    Unwrapping(dispatcher).packets(session, PacketsOverStream(near))
    assert dispatcher.session is session


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", "truncated"), (b"\x00\x01\x7f", "truncated"), (b"\x00\x09", "corrupt"), (b"GET / HTTP/1.1\r\n", "corrupt")],
)
def test_no_proper_request(said, reason):
    talk, dispatcher, replies = served(2)
    if said:
        talk >> said
    error = talk.end().error()
    assert isinstance(error, StreamClosed)
    assert error.reason == reason
    assert replies == ["accept"]
    assert dispatcher.sessions == []
    talk.stop()


def test_a_request_that_does_not_come(monkeypatch):
    monkeypatch.setattr(layer, "HANDSHAKE_TIMEOUT", 0.02)
    talk, _, _ = served(2)
    talk >> b"\x00"
    error = talk.error()
    assert isinstance(error, StreamClosed)
    assert error.reason == "timeout"
    talk.stop()
