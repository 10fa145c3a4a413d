"""The way out through the system's own sockets, or through the outbound that `detour` names."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import DialError, StreamClosed
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.direct.options import DirectOutboundOptions
from gproxy.wire import proxyproto

_HEADERS = {0: None, 1: proxyproto.encode_v1, 2: proxyproto.encode_v2}


class DirectOutbound:
    """The `direct` outbound."""

    networks = frozenset({"tcp", "udp"})

    def __init__(self, options: DirectOutboundOptions, wiring: OutboundWiring) -> None:
        self._via = wiring.via
        self._header = _HEADERS[options.proxy_protocol]

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer."""
        stream = self._via.dial(target, session)
        if self._header is not None:
            try:
                stream.sendall(self._header(session.source, session.local))
            except StreamClosed as error:
                stream.close()
                raise DialError(f"{target}: it hung up before the PROXY header: {error}", reason="failed") from error
            except BaseException:  # whatever else ends us here, the stream is ours until it is returned
                stream.close()
                raise
        return stream

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer."""
        return self._via.dial_packet(target, session)

    def close(self) -> None:
        """Nothing is pooled."""
