"""UDP over TCP, versions 1 and 2, in both roles: datagrams as frames on one stream. Its bytes: gproxy.wire.uot."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import CloseReason, DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Dispatcher, PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.net.buffered import Buffered
from gproxy.net.packeted import Packeted
from gproxy.rt.deadline import deadline
from gproxy.wire import uot
from gproxy.wire.cursor import Cursor

Dial = Callable[[Address, Session], Stream]
"""An outbound's own `dial`."""


class PacketsOverStream(Packeted):
    """Datagrams on a stream that was asked for by a host of no network."""

    __slots__ = ("_only",)

    def __init__(self, stream: Stream, only: Address | None = None, *, request: bytes | None = None) -> None:
        """`only`: all datagrams are this address's. `request`: client direction, what goes before the first frame."""
        super().__init__(stream, request=request)
        self._only = only

    @classmethod
    def open(cls, dial: Dial, target: Address, session: Session, version: uot.Version) -> PacketsOverStream:
        """Client direction: datagrams on a stream that `dial` brings. Raises DialError.

        They reach any address; with version 2 and a session whose dial options say `udp_connect`, `target` alone.
        """
        connect = version == 2 and session.dial.udp_connect
        request = uot.encode_request(uot.Request(connect, target)) if version == 2 else b""
        return cls(dial(uot.TARGETS[version], session), target if connect else None, request=request)

    def _decode(self, cursor: Cursor) -> tuple[bytes, Address]:
        address = self._only or uot.decode_address(cursor)
        return uot.decode_connected(cursor), address

    def _encode_address(self, address: Address) -> bytes:
        return b"" if self._only is not None else uot.encode_address(address)

    def _carries(self, address: Address) -> bool:
        """See Packeted. Only the client direction raises: what answers may be an address of the domain asked for."""
        only = self._only
        if only is None or address == only:
            return True
        if self._spoke is not None:
            raise DialError(f"{address}: these datagrams are for {only} alone", reason="unreachable")
        return only.is_domain


class Unwrapping:
    """A dispatcher before another one: streams to the hosts that mean datagrams are handed on as datagrams."""

    __slots__ = ("_then",)

    def __init__(self, then: Dispatcher) -> None:
        self._then = then

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher. Raises StreamClosed for a client that says yes to datagrams, and then something else."""
        version = uot.version_of(session.target)
        if version is None:
            self._then.stream(session, stream, reply)
            return
        reply.accept()
        session.network = "udp"
        if version == 1:
            session.target = UNSPECIFIED
            self._then.packets(session, PacketsOverStream(stream))
            return
        client = Buffered(stream)
        request = _request(client)
        session.target = request.target
        self._then.packets(session, PacketsOverStream(client, request.target if request.connect else None))

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self._then.packets(session, conn)


def _request(client: Buffered) -> uot.Request:
    # The client has had its yes, so nothing but the end of the stream can tell it what is wrong.
    try:
        with deadline(HANDSHAKE_TIMEOUT, StreamClosed("no UDP over TCP request in time", reason="timeout")):
            return client.decode(uot.decode_request, uot.MAX_REQUEST)
    except ProtocolError as error:
        reason: CloseReason = "truncated" if error.reason in ("empty", "truncated") else "corrupt"
        raise StreamClosed(f"no UDP over TCP request: {error}", reason=reason) from error
