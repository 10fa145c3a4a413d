"""The client side of Trojan."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.net.headed import Headed
from gproxy.protocol.trojan import wire
from gproxy.protocol.trojan.options import TrojanOutboundOptions, warn_of_plain
from gproxy.protocol.trojan.packets import TrojanPackets


class TrojanOutbound:
    """Says the key and the request together with the first payload."""

    def __init__(self, options: TrojanOutboundOptions, wiring: OutboundWiring) -> None:
        self.networks = frozenset(options.network or ("tcp", "udp"))
        self._opening = wire.encode_key(wire.key_of(options.password.reveal()))
        self._connect = wiring.connect
        warn_of_plain(options.tls, wiring.log)

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. The server does not tell whether it reaches the target."""
        head = self._head(wire.CONNECT, target)  # before there is anything to close
        return Headed(self._connect(session), head)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer. Any address can be reached, domains by the server's resolver."""
        head = self._head(wire.UDP_ASSOCIATE, target)
        return TrojanPackets(self._connect(session), request=head)

    def _head(self, command: int, target: Address) -> bytes:
        return self._opening + wire.encode_request(wire.Request(command, target))

    def close(self) -> None:
        """See Outbound: nothing is pooled."""
