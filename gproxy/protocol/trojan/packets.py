"""Datagrams on a Trojan stream, in both roles."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.net.packeted import Packeted
from gproxy.protocol.trojan.wire import decode_packet, encode_length
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import encode_address


class TrojanPackets(Packeted):
    """Each datagram with its address, which may be any."""

    __slots__ = ()

    def _decode(self, cursor: Cursor) -> tuple[bytes, Address]:
        address, payload = decode_packet(cursor)
        return payload, address

    def _encode_address(self, address: Address) -> bytes:
        return encode_address(address)

    def _encode_length(self, size: int) -> bytes:
        return encode_length(size)
