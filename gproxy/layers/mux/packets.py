"""Datagrams on a link's stream, in both roles and with or without an address each."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.net.packeted import Packeted
from gproxy.wire import mux
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import decode_address, encode_address


class MuxPackets(Packeted):
    """See PacketConn. Without addresses all datagrams are one target's."""

    __slots__ = ("_answered", "_client", "_only")

    def __init__(self, stream: Stream, only: Address | None, *, request: bytes | None = None) -> None:
        """`only`: whose all datagrams are. `request`: client direction, what goes before the first one."""
        super().__init__(stream, request=request)
        self._only = only
        self._client = request is not None
        self._answered = not self._client

    def _decode(self, cursor: Cursor) -> tuple[bytes, Address]:
        if not self._answered and (failure := mux.decode_answer(cursor)) is not None:
            raise StreamClosed(f"the server: {failure}", reason="reset")
        address = self._only or decode_address(cursor)
        payload = cursor.take(cursor.u16())
        self._answered = True
        return payload, address

    def _encode_address(self, address: Address) -> bytes:
        return b"" if self._only is not None else encode_address(address)

    def _carries(self, address: Address) -> bool:
        """See Packeted. Only the client direction raises: what answers may be an address of the domain asked for."""
        only = self._only
        if only is None or address == only:
            return True
        if self._client:
            raise DialError(f"{address}: these datagrams are for {only} alone", reason="unreachable")
        return only.is_domain
