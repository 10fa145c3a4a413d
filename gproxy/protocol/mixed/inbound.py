"""The first octet tells: 4 and 5 are SOCKS, and no HTTP method begins with them."""

from __future__ import annotations

from collections.abc import Sequence

from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Accept, Entrance, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.net.buffered import Buffered
from gproxy.protocol import INBOUNDS
from gproxy.protocol.mixed.options import MixedInboundOptions
from gproxy.rt.deadline import deadline

_SOCKS_VERSIONS = (b"\x04", b"\x05")


class MixedInbound:
    """A `socks` and an `http` inbound behind one door. Both are taken from the catalogue, with the same options."""

    def __init__(self, options: MixedInboundOptions, wiring: InboundWiring) -> None:
        self._socks = _door("socks", options, wiring)
        self._http = _door("http", options, wiring)

    def entrances(self) -> Sequence[Entrance]:
        """One, for streams."""
        return (StreamEntrance(self.accept),)

    def accept(self, stream: Stream, session: Session) -> None:
        """Serve one client by the protocol that it speaks. Raises what that protocol's inbound raises."""
        client = stream if isinstance(stream, Buffered) else Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no request in time", reason="timeout")):
            first = client.peek()[:1]
        if not first:
            raise ProtocolError("the stream ended before it began", reason="empty")
        serve = self._socks if first in _SOCKS_VERSIONS else self._http
        serve(client, session)


def _door(name: str, options: MixedInboundOptions, wiring: InboundWiring) -> Accept:
    """The one stream entrance of the catalogue's inbound `name`."""
    [entrance] = INBOUNDS.row(name).build(options, wiring).entrances()
    accept: Accept = entrance.accept
    return accept
