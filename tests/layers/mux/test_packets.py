"""gproxy.layers.mux.packets: the test is the other end of the stream. What every PacketConn keeps is in conformance."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.layers.mux.packets import MuxPackets
from gproxy.rt.sync import sleep
from gproxy.wire.mux import encode_answer
from gproxy.wire.socksaddr import encode_address
from tests.support.pipe import PipeEnd, pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

A, B = Address(IPv4Address("192.0.2.1"), 53), Address(IPv4Address("192.0.2.2"), 53)
NAME = Address("example.com", 443)


def frame(payload: bytes, address: Address | None = None) -> bytes:
    return (encode_address(address) if address else b"") + len(payload).to_bytes(2, "big") + payload


def client(only: Address | None) -> tuple[MuxPackets, PipeEnd]:
    """A client that has said its request and one datagram."""
    near, far = pipe()
    conn = MuxPackets(near, only, request=b"request")
    conn.send_to(b"one", A)
    assert far.recv() == b"request" + frame(b"one", None if only else A)
    return conn, far


def closed_by(conn: MuxPackets) -> str:
    with pytest.raises(StreamClosed) as caught:
        conn.recv_from()
    return caught.value.reason


@pytest.mark.parametrize("only", [None, A])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_the_answer_comes_before_the_first_datagram(only: Address | None, chunk: int) -> None:
    conn, far = client(only)
    wire = encode_answer(None) + frame(b"first", None if only else B) + frame(b"", None if only else A)
    for at in range(0, len(wire), chunk):
        far.sendall(wire[at : at + chunk])
    assert conn.recv_from() == (b"first", only or B)
    assert conn.recv_from() == (b"", A)
    conn.close()


def test_an_answer_that_comes_alone_is_waited_behind() -> None:
    conn, far = client(None)
    far.sendall(encode_answer(None))
    far.sendall(frame(b"first", B))
    assert conn.recv_from() == (b"first", B)
    conn.close()


def test_a_failure_is_told() -> None:
    conn, far = client(None)
    far.sendall(encode_answer("no way"))
    with pytest.raises(StreamClosed, match="no way"):
        conn.recv_from()
    conn.close()


def test_a_client_sends_to_its_one_target_alone() -> None:
    conn, _ = client(A)
    with pytest.raises(DialError):
        conn.send_to(b"x", B)
    conn.close()


def test_a_server_has_no_answer_to_read() -> None:
    near, far = pipe()
    conn = MuxPackets(near, None)
    far.sendall(frame(b"x", B))
    assert conn.recv_from() == (b"x", B)
    conn.send_to(b"y", A)
    sleep(0)
    assert far.recv() == frame(b"y", A)
    conn.close()


def test_a_server_with_one_target_passes_on_what_answers_for_its_name() -> None:
    for only, heard in ((NAME, frame(b"from B")), (A, b"")):
        near, far = pipe()
        conn = MuxPackets(near, only)
        conn.send_to(b"from B", B)
        sleep(0)
        assert far.unread == heard
        conn.close()


@pytest.mark.parametrize(("wire", "reason"), [(b"\x05", "corrupt"), (b"\x01\x00", "truncated"), (b"", "eof")])
def test_what_is_no_datagram(wire: bytes, reason: str) -> None:
    near, far = pipe()
    conn = MuxPackets(near, None)
    far.sendall(wire)
    far.close_write()
    assert closed_by(conn) == reason
    conn.close()
