"""gproxy.net.packeted, with frames as simple as can be; UDP over TCP and Trojan try it with theirs."""

from __future__ import annotations

import gc
import weakref
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.net.packeted import Packeted
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep
from tests.support.pipe import pipe
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

A, B = (Address(IPv4Address(f"192.0.2.{number}"), number) for number in (1, 2))


class Simple(Packeted):
    """Frames: the last octet of the address, which is the port too, the length, the datagram."""

    __slots__ = ("__weakref__",)

    def _decode(self, cursor):
        number = cursor.u8()
        if number > 9:
            raise ProtocolError("too high")
        address = Address(IPv4Address(f"192.0.2.{number}"), number)
        return cursor.take(cursor.u16()), address

    def _encode_address(self, address):
        return bytes((address.port,))

    def _carries(self, address):
        return address.port < 9


class Late(Exception):
    """A deadline of a test."""


def frame(number, payload):
    return bytes((number,)) + len(payload).to_bytes(2, "big") + payload


def closed_by(call, *args):
    with pytest.raises(StreamClosed) as caught:
        call(*args)
    return caught.value.reason


def test_frames_leave_in_one_piece():
    near, far = pipe()
    conn = Simple(near)
    for payload, to in ((b"one", A), (b"two", A), (b"", B)):
        conn.send_to(payload, to)
    assert far.recv() == frame(1, b"one") + frame(1, b"two") + frame(2, b"")
    conn.close()


def test_frames_come_in_any_pieces():
    near, far = pipe(chunk=1)
    conn = Simple(near)
    far.sendall(frame(1, b"one") + frame(2, b"") + frame(1, b"two"))
    assert [conn.recv_from() for _ in range(3)] == [(b"one", A), (b"", B), (b"two", A)]
    conn.close()


def test_the_request_leaves_with_the_first_datagram():
    near, far = pipe()
    conn = Simple(near, request=b"request")
    sleep(0)
    assert far.unread == b""
    conn.send_to(b"one", A)
    assert far.recv() == b"request" + frame(1, b"one")
    conn.close()


def test_what_is_not_carried_is_lost():
    near, far = pipe()
    conn = Simple(near)
    conn.send_to(b"lost", Address(IPv4Address("192.0.2.9"), 9))
    conn.send_to(b"kept", A)
    assert far.recv() == frame(1, b"kept")
    conn.close()


def test_an_interrupted_reader_loses_nothing():
    near, far = pipe()
    conn = Simple(near)
    far.sendall(frame(1, b"payload")[:5])
    with pytest.raises(Late), deadline(0.02, Late()):
        conn.recv_from()
    far.sendall(frame(1, b"payload")[5:])
    assert conn.recv_from() == (b"payload", A)
    conn.close()


@pytest.mark.parametrize(("words", "reason"), [(b"", "eof"), (frame(1, b"x")[:-1], "truncated"), (b"\x0a", "corrupt")])
def test_how_it_ends(words, reason):
    near, far = pipe()
    conn = Simple(near)
    far.sendall(words)
    far.close_write()
    assert closed_by(conn.recv_from) == reason
    conn.close()


def test_nothing_comes_after_a_frame_that_is_wrong():
    near, far = pipe()
    conn = Simple(near)
    far.sendall(frame(1, b"right") + b"\x0a" + frame(1, b"never"))
    assert conn.recv_from() == (b"right", A)
    assert [closed_by(conn.recv_from) for _ in range(2)] == ["corrupt"] * 2
    assert closed_by(conn.send_to, b"x", A) == "corrupt"
    assert near.closed


def test_a_close_lets_out_what_was_sent():
    near, far = pipe()
    conn = Simple(near)
    conn.send_to(b"last words", A)
    conn.close()
    assert far.recv() == frame(1, b"last words")
    assert closed_by(conn.recv_from) == "local"
    wait_until(lambda: near.closed, "the stream is still open")


def test_nothing_is_left_behind():
    near, far = pipe()
    conn = Simple(near)
    conn.send_to(b"x", A)
    conn.close()
    wait_until(lambda: near.closed, "the stream is still open")
    gone = weakref.ref(conn)
    gc.disable()
    try:
        del conn
        wait_until(lambda: gone() is None, "a cycle holds it")
    finally:
        gc.enable()
    far.close()
