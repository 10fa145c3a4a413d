"""Options → wired objects. Nothing here opens a socket: what is built can be thrown away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gproxy.app.certificates import Certificates, build_certificates
from gproxy.app.explaining import Explainer
from gproxy.app.inbounds import Door, Inside, build_doors
from gproxy.app.limits import build_limits
from gproxy.app.names import Names
from gproxy.app.outbounds import build_decider, build_ways
from gproxy.app.plugins import Plugins
from gproxy.app.rules import build_context, build_updates
from gproxy.app.services import Services, build_services
from gproxy.base.iface import Managed
from gproxy.config.root import Root
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.engine.outbounds import Outbounds
from gproxy.engine.table import Table
from gproxy.layers.mux.uot import Unwrapping
from gproxy.layers.plugin.external import Plugin
from gproxy.limit.breaker import Breaker
from gproxy.limit.limits import Limits
from gproxy.limit.memory import Memory
from gproxy.limit.replay import open_replays
from gproxy.limit.room import Room
from gproxy.net.bind import Endpoint
from gproxy.observe.meter import Meter
from gproxy.service.management import Management

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gproxy.app.metrics import Counting
    from gproxy.limit.bans import Bans
    from gproxy.route.context import RuleSet
    from gproxy.service.bans import BanKeeper
    from gproxy.service.rule_sets.keeper import Updates


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

    explainer: Explainer | None = None
    breakers: dict[str, Breaker] = field(default_factory=dict)
    limits: Limits | None = None
    counting: Counting | None = None  # if metrics are asked for
    bans: Bans | None = None

    def endpoints(self) -> list[Endpoint]:
        """All that has to be listened on; what services have comes last."""
        return [door.endpoint for door in self.doors] + [door.endpoint for door in self.services.doors]


def build(root: Root, memory: Memory | None = None) -> House:
    """Wire up what the configuration describes. It has been checked: references are good.

    `memory` is what other generations remember too; without it the house has a memory of its own.
    """
    memory = memory or Memory()
    counting = _counting(root, memory)
    table, meter = Table(), Meter(detailed=counting is not None)
    plugins = Plugins()
    context = build_context(root)
    ways = build_ways(root, plugins, context, memory)
    outbounds, names = ways.all(), ways.names
    decider = build_decider(root, outbounds, names, context)
    explainer = Explainer(root, names, context, decider, root.route.final or outbounds.default, ways.breakers)
    limits = build_limits(root, memory)
    bans, kept = _bans(root, memory)
    certificates = build_certificates(root, names)
    inside = Inside(
        Unwrapping(RoutingDispatcher(decider, meter)), table, meter, open_replays(memory), plugins, certificates,
        context.facts.needs, names, limits, bans, root.log.audit is not None,
    )  # fmt: skip
    doors = build_doors(root, inside)
    view = counting.view if counting is not None else None
    services = build_services(root, certificates, kept, view)
    if view is not None:
        from gproxy.app.metrics import furnish

        furnish(view, root, outbounds, services.expiry, bans)
        if kept is not None:
            view.files.append(kept.path)
    return House(
        doors, outbounds, table, meter, plugins=plugins.wanted, managed=inside.managed, services=services,
        certificates=certificates, names=names, rule_sets=context.rule_sets, breakers=ways.breakers, limits=limits,
        updates=build_updates(root, context, outbounds), bans=bans, counting=counting,
        explainer=explainer,
    )  # fmt: skip


def _counting(root: Root, memory: Memory) -> Counting | None:
    """What counts for metrics; None if no service tells them. Raises OSError."""
    if not any(options.type == "metrics" for options in root.services):
        return None
    from gproxy.app.metrics import build_counting

    return build_counting(root, memory)


def _bans(root: Root, memory: Memory) -> tuple[Bans | None, BanKeeper | None]:
    """See `build_bans`."""
    if root.bans is None or not root.bans.enabled:
        return None, None
    from gproxy.app.bans import build_bans

    return build_bans(root, memory)
