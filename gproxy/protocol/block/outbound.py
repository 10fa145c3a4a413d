"""Refuses what is sent here."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import Rejected
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.block.options import BlockOutboundOptions


class BlockOutbound:
    """The `block` outbound."""

    networks = frozenset({"tcp", "udp"})

    def __init__(self, options: BlockOutboundOptions, wiring: OutboundWiring) -> None:
        self._tag = wiring.tag

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer: raises Rejected."""
        raise Rejected(f"outbound {self._tag} blocks everything")

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer: raises Rejected."""
        raise Rejected(f"outbound {self._tag} blocks everything")

    def close(self) -> None:
        """Nothing is pooled."""
