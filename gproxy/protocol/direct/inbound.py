"""A tunnel: whoever connects is connected to one target."""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.address import Address, Host, parse_host
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer, Entrance, PacketConn, PacketEntrance, ResetReply, Stream, StreamEntrance
from gproxy.base.session import DialOptions, Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.wrapped import Wrapped
from gproxy.protocol.direct.options import DirectInboundOptions

_NAMED = DialOptions(internal=True)


class DirectInbound:
    """The `direct` inbound."""

    def __init__(self, options: DirectInboundOptions, wiring: InboundWiring) -> None:
        self._dispatcher = wiring.dispatcher
        self._networks = options.network or ("tcp", "udp")
        self._host: Host | None = parse_host(options.override_address) if options.override_address else None
        self._port = options.override_port
        self._fixed = Address(self._host, self._port) if self._host is not None and self._port else None

    def entrances(self) -> Sequence[Entrance]:
        """See Inbound."""
        doors: list[Entrance] = []
        if "tcp" in self._networks:
            doors.append(StreamEntrance(self.accept))
        if "udp" in self._networks:
            doors.append(PacketEntrance(self.accept_packets))
        return doors

    def accept(self, stream: Stream, session: Session) -> None:
        """Hand the stream on; there is no handshake."""
        self._lead(session)
        self._dispatcher.stream(session, stream, ResetReply(stream))

    def accept_packets(self, conn: PacketConn, session: Session) -> None:
        """Hand the datagrams on, each to the one target."""
        self._lead(session)
        self._dispatcher.packets(session, _OneTarget(conn, session.target))

    def _lead(self, session: Session) -> None:
        session.target = self._fixed or self._target(session.local)
        if self._host is not None:  # it is not the client who has named it
            session.dial = _NAMED

    def _target(self, local: Address | None) -> Address:
        if local is None:  # a unix socket has no address to take the missing half from
            raise ProtocolError("a direct inbound on a unix socket needs override_address and override_port")
        return Address(local.host if self._host is None else self._host, self._port or local.port)


class _OneTarget(Wrapped):
    """A client's datagrams, all of which go to the same place."""

    __slots__ = ("_target",)

    def __init__(self, conn: PacketConn, target: Address) -> None:
        super().__init__(conn)
        self._target = target

    def _open(self, data: Buffer, peer: Address) -> tuple[Buffer, Address]:
        return data, self._target

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn: whoever answers, the client sees the tunnel."""
        self._conn.send_to(data, to)
