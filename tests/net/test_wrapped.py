"""A PacketConn around another one; what every such one keeps is in tests/conformance."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer
from gproxy.net.wrapped import Wrapped
from tests.support.packets import MemoryPackets, PromptPackets

pytestmark = pytest.mark.usefixtures("no_leaks")

PEER = Address(IPv4Address("192.0.2.1"), 5)


class Numbered(Wrapped):
    """Each datagram has a digit before its payload, which comes once. 9 is the end."""

    def __init__(self, conn: MemoryPackets) -> None:
        super().__init__(conn)
        self.opened: list[bytes] = []

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address] | None:
        digit = bytes(data[:1])
        if digit == b"9":
            raise StreamClosed("nine", reason="eof")
        if digit in self.opened:
            return None
        self.opened.append(digit)
        return data[1:], peer

    def send_to(self, data: Buffer, to: Address, /) -> None:
        self._conn.send_to(data, to)


def test_what_is_dropped_is_not_given_out() -> None:
    conn = MemoryPackets()
    wrapped = Numbered(conn)
    for data in (b"1one", b"1once more", b"2two"):
        conn.deliver(data, PEER)
    assert [wrapped.recv_from(), wrapped.recv_from()] == [(b"one", PEER), (b"two", PEER)]


def test_what_was_opened_in_the_hub_is_not_opened_again() -> None:
    """It can't be: a format may take each datagram once only."""
    conn = PromptPackets()
    wrapped, offered = Numbered(conn), []

    def take(data: Buffer, peer: Address) -> bool:
        offered.append(bytes(data))
        return data != b"unwanted"

    wrapped.offer(take)
    for data in (b"1one", b"2unwanted", b"1again", b"3three"):
        conn.deliver(data, PEER)
    assert offered == [b"one", b"unwanted", b"three"]
    assert wrapped.recv_from() == (b"unwanted", PEER)
    wrapped.offer(None)
    conn.deliver(b"4four", PEER)
    assert wrapped.recv_from() == (b"four", PEER)
    assert wrapped.opened == [b"1", b"2", b"3", b"4"]


def test_an_end_that_is_found_in_the_hub_is_the_readers() -> None:
    conn = PromptPackets()
    wrapped = Numbered(conn)
    wrapped.offer(lambda data, peer: True)
    conn.deliver(b"9", PEER)
    with pytest.raises(StreamClosed, match="nine"):
        wrapped.recv_from()


def test_it_is_as_prompt_as_what_lies_beneath() -> None:
    assert Numbered(PromptPackets()).prompt(PEER)
    assert not Numbered(PromptPackets()).prompt(Address("name.test", 5))
    slow = Numbered(MemoryPackets())
    slow.offer(lambda data, peer: True)
    assert not slow.prompt(PEER)
