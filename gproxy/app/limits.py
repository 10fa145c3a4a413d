"""The limits of a configuration, ready to hold sessions to."""

from __future__ import annotations

from gproxy.config.root import Root
from gproxy.limit.ledger import Ledger
from gproxy.limit.limits import Limit, Limits
from gproxy.limit.memory import Memory
from gproxy.schema.limits import LimitOptions

# What may be moved beyond the rate if nothing is said of it: what the rate moves in so many seconds, but at least so
# many bytes, which is a page of most sites.
_BURST_SECONDS = 0.05
_BURST_LEAST = 16 * 1024


def build_limits(root: Root, memory: Memory) -> Limits | None:
    """All of them; None if there are none. Raises OSError."""
    if not root.limits:
        return None
    on_inbounds: dict[str, set[str]] = {}
    for index, options in enumerate(root.inbounds):
        for tag in options.limits:
            on_inbounds.setdefault(tag, set()).add(options.tag or str(index))
    on_rules = {tag for rule in root.route.rules for tag in rule.limits}
    made = [
        _limit(options.tag or str(index), options, on_inbounds.get(options.tag, set()), by_rule=options.tag in on_rules)
        for index, options in enumerate(root.limits)
    ]
    return Limits(made, Ledger(memory))


def _limit(tag: str, options: LimitOptions, inbounds: set[str], *, by_rule: bool) -> Limit:
    fastest = max(options.up or 0.0, options.down or 0.0)
    rate = options.connections_per_second or 0.0
    return Limit(
        tag=tag,
        each=options.each,
        users=frozenset(options.users),
        inbounds=frozenset(options.inbounds) | inbounds,
        outbounds=frozenset(options.outbounds),
        by_rule=by_rule,
        prefix_ipv4=options.source_prefix_ipv4,
        prefix_ipv6=options.source_prefix_ipv6,
        up=options.up or 0.0,
        down=options.down or 0.0,
        burst=float(options.burst or max(fastest * _BURST_SECONDS, _BURST_LEAST)),
        connections_rate=rate,
        connections_burst=float(options.connections_burst or max(rate, 1.0)),
        max_connections=options.max_connections or 0,
        max_sessions=options.max_udp_sessions or 0,
        max_handshakes=options.max_handshakes or 0,
        max_sources=options.max_sources or 0,
    )
