"""Which door for packets an inbound has."""

from __future__ import annotations

from gproxy.base.iface import PacketEntrance
from gproxy.base.wiring import InboundWiring
from gproxy.protocol.shadowsocks.flood import Sieve
from gproxy.protocol.shadowsocks.packets_in import KeyedPackets, PacketDoor
from gproxy.protocol.shadowsocks.packets_relay import RelayedPackets
from gproxy.protocol.shadowsocks.sessions_in import SessionDoor
from gproxy.protocol.shadowsocks.users import KeyRing


def packet_entrance(ring: KeyRing, wiring: InboundWiring, *, relay: bool = False) -> PacketEntrance:
    """The entrance for packets of the ring's method. `relay`: its credentials are destinations, not users."""
    door: PacketDoor | SessionDoor
    if relay:
        door = PacketDoor(RelayedPackets(ring), wiring)
    elif ring.method.kind == "2022":
        door = SessionDoor(ring, wiring)
    else:
        door = PacketDoor(KeyedPackets(ring), wiring)
    return PacketEntrance(door.accept, Sieve(door.admit, door.dropped).admit)
