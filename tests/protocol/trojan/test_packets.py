"""gproxy.protocol.trojan.packets; what it shares with others is tried in tests/net/test_packeted.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import StreamClosed
from gproxy.protocol.trojan.packets import TrojanPackets
from tests.protocol.trojan.lab import NAME, NAME_BYTES, V4, V4_BYTES, packet
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_each_datagram_has_its_address():
    near, far = pipe()
    conn = TrojanPackets(near)
    conn.send_to(b"one", V4)
    conn.send_to(b"", NAME)
    assert far.recv() == packet(b"one") + packet(b"", NAME_BYTES)
    far.sendall(packet(b"two", NAME_BYTES) + packet(b""))
    assert [conn.recv_from() for _ in range(2)] == [(b"two", NAME), (b"", V4)]
    conn.close()


@pytest.mark.parametrize(
    "words", [b"\x02", V4_BYTES + b"\x00\x01x", V4_BYTES + b"\x00\x01\r\r", b"\x03\x00\x00\x50", b"GET / HTTP/1.1\r\n"]
)
def test_what_is_no_packet(words):
    near, far = pipe()
    conn = TrojanPackets(near)
    far.sendall(words)
    with pytest.raises(StreamClosed) as caught:
        conn.recv_from()
    assert caught.value.word == "closed-corrupt"
    assert near.closed


def test_an_end_inside_a_packet():
    near, far = pipe()
    conn = TrojanPackets(near)
    far.sendall(packet(b"whole")[:-1])
    far.close_write()
    with pytest.raises(StreamClosed) as caught:
        conn.recv_from()
    assert caught.value.word == "closed-truncated"
    conn.close()
