"""The outbounds, and all about names: each may need the other. Nothing here opens a socket."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from gproxy.app import layers
from gproxy.app.listening import ports
from gproxy.app.multiplexing import outgoing
from gproxy.app.names import Names
from gproxy.app.plugins import Plugins
from gproxy.app.rules import build_context
from gproxy.base.iface import Outbound
from gproxy.base.wiring import OutboundWiring
from gproxy.config.root import Root
from gproxy.engine.decide import Decider
from gproxy.engine.outbounds import Outbounds
from gproxy.limit.breaker import Breaker
from gproxy.limit.memory import Memory
from gproxy.net.guarded import guarded
from gproxy.net.inner import Inner
from gproxy.protocol import OUTBOUNDS
from gproxy.protocol.direct.options import DirectOutboundOptions
from gproxy.route.context import Context
from gproxy.route.rule import Router
from gproxy.schema.groups import Dial, Item, Proxy
from gproxy.schema.tls import Authorities, TlsDial

IMPLICIT_OUTBOUND = "direct"
"""The tag of the outbound that is there when none is configured."""

_DIRECT = DirectOutboundOptions(type="direct", tag=IMPLICIT_OUTBOUND)
_PLAIN = Dial()


@dataclass(frozen=True, slots=True)
class Ways:
    """Every way out, as far as it has been built."""

    names: Names
    plugins: Plugins
    trusted: layers.Trusted
    inner: Inner | None = None  # what is refused to clients from elsewhere
    by_tag: dict[str, Outbound] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)  # of those that have one

    def all(self) -> Outbounds:
        """When they are complete; the first one is the default."""
        return Outbounds(self.by_tag, default=next(iter(self.by_tag)))

    def add(self, tag: str, options: Item) -> Outbound:
        """Build one more."""
        lookup = self.names.lookup_for(options)
        inner = self.inner if isinstance(options, DirectOutboundOptions) else None
        via = layers.dialer(options if isinstance(options, Dial) else _PLAIN, self.by_tag, lookup, inner)
        log = logging.getLogger(f"gproxy.outbound.{tag}")
        connect = self.plugins.towards(tag, options) or layers.connecting(options, via, self.trusted)
        if isinstance(options, Proxy) and (wanted := options.breaker) is not None:
            breaker = Breaker(wanted.failures, wanted.window, wanted.pause, wanted.max_pause)
            self.breakers[tag] = breaker
            connect = guarded(connect, breaker, log)
        if isinstance(options, TlsDial) and options.tls.enabled and options.tls.insecure:
            log.warning("`tls.insecure`: whoever is on the way to the server can be it, read all, and change it")
        wiring = OutboundWiring(tag, connect, via, log, lookup)
        outbound: Outbound = OUTBOUNDS.row(options.type).build(options, wiring)
        self.by_tag[tag] = outbound = outgoing(options, outbound, log)
        return outbound


def build_ways(root: Root, plugins: Plugins, context: Context | None = None, memory: Memory | None = None) -> Ways:
    """All that the configuration describes. What has to run beside them is added to `plugins`.

    `context` is what rules are compiled with, `memory` what all workers share.
    """
    ruled = [port for options in root.services for port in ports(options)]
    ways = Ways(Names(root, memory), plugins, layers.Trusted(root.certificate), Inner(ruled))
    for index, options in enumerate(root.outbounds):
        ways.add(options.tag or str(index), layers.with_defaults(options, root.route))
    if not ways.by_tag:
        ways.add(IMPLICIT_OUTBOUND, layers.with_defaults(_DIRECT, root.route))
    ways.names.furnish(ways.by_tag, context or build_context(root), ways.trusted)
    return ways


def build_decider(root: Root, outbounds: Outbounds, names: Names, context: Context) -> Decider:
    """What decides where sessions go, once all ways are there."""
    router = Router(root.route.rules, root.route.final or outbounds.default, context)
    return Decider(router, outbounds, names.resolve, _hijack(root, names), names.name_of(), names.fakes())


def _hijack(root: Root, names: Names) -> Outbound | None:
    """Where rules lead that have questions answered here; None if there are none."""
    if all(rule.action != "hijack-dns" for rule in root.route.rules):
        return None
    from gproxy.dns.hijack import Hijack

    return Hijack(names.resolver)


def straight_way(names: Names) -> Outbound:
    """The system's own sockets, for sessions whose target stands in an inbound's own options."""
    return Ways(names, Plugins(), layers.Trusted(Authorities())).add(IMPLICIT_OUTBOUND, _DIRECT)
