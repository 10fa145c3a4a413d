"""Options → wired objects. Nothing here opens a socket: what is built can be thrown away."""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from gproxy.app import layers
from gproxy.app.certificates import Certificates, build_certificates
from gproxy.app.limits import build_limits
from gproxy.app.listening import endpoints
from gproxy.app.multiplexing import dispatching, outgoing
from gproxy.app.names import Names
from gproxy.app.plugins import Plugins
from gproxy.app.rules import build_context, build_updates
from gproxy.app.services import Services, build_services
from gproxy.app.sharing import Share, shares
from gproxy.base.address import Address
from gproxy.base.defaults import UDP_IDLE
from gproxy.base.iface import (
    Accept,
    Dispatcher,
    Entrance,
    Inbound,
    Managed,
    Outbound,
    PacketConn,
    StreamEntrance,
)
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring, OutboundWiring, Replays
from gproxy.config.root import Root
from gproxy.dns.hijack import Hijack
from gproxy.engine.boundary import Boundary
from gproxy.engine.decide import Decider, Straight
from gproxy.engine.detour import DetourDispatcher
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.engine.outbounds import Outbounds
from gproxy.engine.table import Table
from gproxy.layers.mux.uot import Unwrapping
from gproxy.layers.plugin.external import Plugin
from gproxy.limit.limits import Limits
from gproxy.limit.memory import Memory
from gproxy.limit.replay import open_replays
from gproxy.limit.room import Room
from gproxy.net.bind import Endpoint
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.observe.meter import Meter
from gproxy.protocol import INBOUNDS, OUTBOUNDS
from gproxy.protocol.direct.options import DirectOutboundOptions
from gproxy.route.context import Context
from gproxy.route.facts import Needs
from gproxy.route.rule import Router
from gproxy.schema.groups import Dial, Item, Listen, Manageable
from gproxy.schema.tls import Authorities, TlsDial
from gproxy.service.management import Management

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gproxy.layers.tls.supply import Supply
    from gproxy.route.context import RuleSet
    from gproxy.service.rule_sets.keeper import Updates

IMPLICIT_OUTBOUND = "direct"
"""The tag of the outbound that is there when none is configured."""


@dataclass(frozen=True, slots=True)
class Door:
    """A socket to be, and who serves what comes out of it."""

    endpoint: Endpoint
    entrance: Entrance
    boundary: Boundary


@dataclass(frozen=True, slots=True)
class House:
    """Everything that was built from one configuration."""

    doors: list[Door]
    outbounds: Outbounds
    table: Table
    meter: Meter
    room: Room = field(default_factory=Room)
    plugins: list[Plugin] = field(default_factory=list)  # the programs that have to run beside it
    managed: dict[str, Managed] = field(default_factory=dict)  # the inbounds whose users are ruled by services
    services: Services = field(default_factory=lambda: Services(Management({}), [], []))
    certificates: Certificates = field(default_factory=Certificates)
    rule_sets: Mapping[str, RuleSet] = field(default_factory=dict)  # by tag
    updates: Updates | None = None  # of rule sets, if any can change
    names: Names = field(default_factory=lambda: Names(Root()))

    limits: Limits | None = None

    def endpoints(self) -> list[Endpoint]:
        """All that has to be listened on; what services have comes last."""
        return [door.endpoint for door in self.doors] + [door.endpoint for door in self.services.doors]


def build(root: Root, memory: Memory | None = None) -> House:
    """Wire up what the configuration describes. It has been checked: references are good.

    `memory` is what other generations remember too; without it the house has a memory of its own.
    """
    table, meter = Table(), Meter()
    plugins = Plugins()
    context = build_context(root)
    outbounds, names = build_ways(root, plugins, context)
    router = Router(root.route.rules, root.route.final or outbounds.default, context)
    decider = Decider(router, outbounds, names.resolve, Hijack(names.resolver))
    dispatcher = Unwrapping(RoutingDispatcher(decider, meter))
    memory = memory or Memory()
    replays = open_replays(memory)
    limits = build_limits(root, memory)
    managed: dict[str, Managed] = {}
    certificates = build_certificates(root, names)
    doors = _doors(
        root, dispatcher, table, meter, replays, plugins, managed, certificates, context.facts.needs, names, limits
    )
    services = build_services(root, certificates)
    return House(
        doors, outbounds, table, meter, plugins=plugins.wanted, managed=managed, services=services,
        certificates=certificates, names=names, rule_sets=context.rule_sets,
        updates=build_updates(root, context, outbounds), limits=limits,
    )  # fmt: skip


def build_ways(root: Root, plugins: Plugins, context: Context | None = None) -> tuple[Outbounds, Names]:
    """The outbounds and all about names, as the command line needs them: each may need the other.

    What has to run beside them is added to `plugins`. `context` is what rules are compiled with.
    """
    trusted = layers.Trusted(root.certificate)
    names = Names(root)
    by_tag: dict[str, Outbound] = {}
    for index, options in enumerate(root.outbounds):
        tag = options.tag or str(index)
        by_tag[tag] = _outbound(tag, layers.with_defaults(options, root.route), by_tag, plugins, trusted, names)
    if not by_tag:
        options = layers.with_defaults(DirectOutboundOptions(type="direct", tag=IMPLICIT_OUTBOUND), root.route)
        by_tag[IMPLICIT_OUTBOUND] = _outbound(IMPLICIT_OUTBOUND, options, by_tag, plugins, trusted, names)
    names.furnish(by_tag, context or build_context(root), trusted)
    return Outbounds(by_tag, default=next(iter(by_tag))), names


def _outbound(
    tag: str,
    options: Item,
    by_tag: dict[str, Outbound],
    plugins: Plugins,
    trusted: layers.Trusted,
    names: Names,
) -> Outbound:
    lookup = names.lookup_for(options)
    via = layers.dialer(options if isinstance(options, Dial) else _PLAIN, by_tag, lookup)
    log = logging.getLogger(f"gproxy.outbound.{tag}")
    connect = plugins.towards(tag, options) or layers.connecting(options, via, trusted)
    if isinstance(options, TlsDial) and options.tls.enabled and options.tls.insecure:
        log.warning("`tls.insecure`: whoever is on the way to the server can be it, read all, and change it")
    wiring = OutboundWiring(tag, connect, via, log, lookup)
    outbound: Outbound = OUTBOUNDS.row(options.type).build(options, wiring)
    return outgoing(options, outbound, log)


_PLAIN = Dial()


def _doors(
    root: Root,
    dispatcher: Dispatcher,
    table: Table,
    meter: Meter,
    replays: Replays,
    plugins: Plugins,
    managed: dict[str, Managed],
    certificates: Certificates,
    needs: Needs,
    names: Names,
    limits: Limits | None,
) -> list[Door]:
    accepts: dict[str, Accept] = {}
    detours: list[tuple[DetourDispatcher, str]] = []
    doors: list[Door] = []
    straight = _straight(meter, names)
    shared = shares(root.inbounds)
    for index, options in enumerate(root.inbounds):
        tag = options.tag or str(index)
        inbound_dispatcher = dispatcher
        if options.detour:
            inbound_dispatcher = detour = DetourDispatcher(options.detour)
            detours.append((detour, options.detour))
        log = logging.getLogger(f"gproxy.inbound.{tag}")
        boundary = Boundary(tag, table, meter, options.udp_timeout or UDP_IDLE, needs, limits)
        inbound_dispatcher = dispatching(options, inbound_dispatcher, boundary.branch, log)
        wiring = InboundWiring(
            tag, inbound_dispatcher, _bind_packets, replays, log, straight, boundary.branch, names.resolver
        )
        inbound: Inbound = INBOUNDS.row(options.type).build(options, wiring)
        if isinstance(options, Manageable) and options.managed and isinstance(inbound, Managed):
            managed[tag] = inbound
        for entrance in inbound.entrances():
            if isinstance(entrance, StreamEntrance):
                accepts[tag] = entrance.accept
        supply = certificates.of(index)
        share = shared.get(index)
        doors.extend(_doors_of(options, plugins.behind(tag, options), inbound, boundary, supply, share))
    for detour, target in detours:
        detour.connect(accepts[target])
    return doors


def _straight(meter: Meter, names: Names) -> Dispatcher:
    """What serves sessions whose target stands in an inbound's own options."""
    options = DirectOutboundOptions(type="direct", tag=IMPLICIT_OUTBOUND)
    direct = _outbound(IMPLICIT_OUTBOUND, options, {}, Plugins(), layers.Trusted(Authorities()), names)
    return RoutingDispatcher(Straight(direct, IMPLICIT_OUTBOUND), meter)


def _doors_of(
    options: Listen,
    for_streams: Listen,
    inbound: Inbound,
    boundary: Boundary,
    supply: Supply | None,
    share: Share | None,
) -> list[Door]:
    doors: list[Door] = []
    for entrance in inbound.entrances():
        where = for_streams if entrance.kind == "stream" else options
        around = _around(options, entrance, supply, boundary, share)
        if entrance.kind == "packet" or share is None or share.leads:
            doors.extend(Door(endpoint, around, boundary) for endpoint, _ in endpoints(where, [around]))
    return doors


def _around(
    options: Listen, entrance: Entrance, supply: Supply | None, boundary: Boundary, share: Share | None
) -> Entrance:
    if isinstance(entrance, StreamEntrance):
        return StreamEntrance(layers.accepting(options, entrance.accept, supply, boundary.branch, share))
    return entrance


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
