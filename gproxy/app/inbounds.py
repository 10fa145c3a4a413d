"""The inbounds, each behind its layers, and the sockets that lead to them. Nothing here opens one."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from gproxy.app import layers
from gproxy.app.certificates import Certificates
from gproxy.app.listening import endpoints
from gproxy.app.multiplexing import dispatching
from gproxy.app.names import Names
from gproxy.app.outbounds import IMPLICIT_OUTBOUND, straight_way
from gproxy.app.plugins import Plugins
from gproxy.app.sharing import Share, shares
from gproxy.base.address import Address
from gproxy.base.defaults import UDP_IDLE
from gproxy.base.iface import Accept, Dispatcher, Entrance, Inbound, Managed, PacketConn, PacketEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring, Replays
from gproxy.config.root import Root
from gproxy.engine.admission import Access, Admission
from gproxy.engine.boundary import Boundary
from gproxy.engine.decide import Straight
from gproxy.engine.detour import DetourDispatcher
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.engine.table import Table
from gproxy.net.bind import Endpoint
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.observe.meter import Meter
from gproxy.protocol import INBOUNDS
from gproxy.route.cidrs import CidrSet
from gproxy.route.facts import Needs
from gproxy.schema.groups import Listen, Manageable

if TYPE_CHECKING:
    from gproxy.layers.tls.supply import Supply
    from gproxy.limit.bans import Bans
    from gproxy.limit.limits import Limits


@dataclass(frozen=True, slots=True)
class Door:
    """A socket to be, and who serves what comes out of it."""

    endpoint: Endpoint
    entrance: Entrance
    boundary: Boundary


@dataclass(frozen=True, slots=True)
class Inside:
    """What all inbounds lead to, and what they share."""

    dispatcher: Dispatcher
    table: Table
    meter: Meter
    replays: Replays
    plugins: Plugins
    certificates: Certificates
    needs: Needs
    names: Names
    limits: Limits | None
    bans: Bans | None = None
    audited: bool = False  # there is an audit log
    managed: dict[str, Managed] = field(default_factory=dict)  # those whose users are ruled by services, by tag

    def admission(self, options: Listen) -> Admission | None:
        """Who is let in by an inbound; None if that is everybody, always."""
        allow, deny = (CidrSet(each) if each else None for each in (options.access.allow, options.access.deny))
        bans = self.bans
        looks = allow is not None or deny is not None or bans is not None
        access = Access(allow, deny, bans) if looks else None
        if access is None and self.limits is None and not self.audited:
            return None
        return Admission(access, self.limits, bans, audited=self.audited)


def build_doors(root: Root, inside: Inside) -> list[Door]:
    """The doors of all inbounds."""
    accepts: dict[str, Accept] = {}
    detours: list[tuple[DetourDispatcher, str]] = []
    doors: list[Door] = []
    straight = RoutingDispatcher(Straight(straight_way(inside.names), IMPLICIT_OUTBOUND), inside.meter)
    shared = shares(root.inbounds)
    successes = root.log.audit is not None and root.log.audit.successes
    for index, options in enumerate(root.inbounds):
        tag = options.tag or str(index)
        dispatcher = inside.dispatcher
        if options.detour:
            dispatcher = detour = DetourDispatcher(options.detour)
            detours.append((detour, options.detour))
        log = logging.getLogger(f"gproxy.inbound.{tag}")
        admission = inside.admission(options)
        timeout = options.udp_timeout or UDP_IDLE
        boundary = Boundary(tag, inside.table, inside.meter, timeout, inside.needs, admission)
        dispatcher = dispatching(options, dispatcher, boundary.branch, log)
        if successes:
            from gproxy.engine.witness import Witness

            dispatcher = Witness(dispatcher)
        wiring = InboundWiring(
            tag, dispatcher, _bind_packets, inside.replays, log, straight, boundary.branch, inside.names.resolver,
            boundary.counted_one,
        )  # fmt: skip
        inbound: Inbound = INBOUNDS.row(options.type).build(options, wiring)
        if isinstance(options, Manageable) and options.managed and isinstance(inbound, Managed):
            inside.managed[tag] = inbound
        for entrance in inbound.entrances():
            if isinstance(entrance, StreamEntrance):
                accepts[tag] = entrance.accept
        supply = inside.certificates.of(index)
        share = shared.get(index)
        doors.extend(
            _doors_of(options, inside.plugins.behind(tag, options), inbound, boundary, supply, share, admission)
        )
    for detour, target in detours:
        detour.connect(accepts[target])
    return doors


def _doors_of(
    options: Listen,
    for_streams: Listen,
    inbound: Inbound,
    boundary: Boundary,
    supply: Supply | None,
    share: Share | None,
    admission: Admission | None,
) -> list[Door]:
    doors: list[Door] = []
    for entrance in inbound.entrances():
        where = for_streams if entrance.kind == "stream" else options
        around = _around(options, entrance, supply, boundary, share, admission)
        if entrance.kind == "packet" or share is None or share.leads:
            doors.extend(Door(endpoint, around, boundary) for endpoint, _ in endpoints(where, [around]))
    return doors


def _around(
    options: Listen,
    entrance: Entrance,
    supply: Supply | None,
    boundary: Boundary,
    share: Share | None,
    admission: Admission | None,
) -> Entrance:
    if isinstance(entrance, StreamEntrance):
        return StreamEntrance(layers.accepting(options, entrance.accept, supply, boundary.branch, share, admission))
    if admission is None:
        return entrance
    if isinstance(entrance, PacketEntrance):
        return replace(entrance, accept=admission.packets(entrance.accept))
    return admission.queries(entrance)


def _bind_packets(session: Session) -> tuple[PacketConn, Address]:
    local = session.local.host if session.local is not None else IPv4Address(0)
    assert not isinstance(local, str), "a local address is never a name"
    try:
        sock = bind_udp(local, 0)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        # Behind a load balancer the client reached an address that is not this machine's (PROXY protocol).
        sock = bind_udp(IPv4Address(0) if local.version == 4 else IPv6Address(0), 0)
    conn = UdpConn(sock)
    return conn, conn.bound()
