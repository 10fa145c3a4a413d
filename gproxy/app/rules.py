"""What rules may look at besides the session, made of a configuration: one for those of `route` and those of `dns`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gproxy.app import places
from gproxy.app.messages import RuleSetChanged
from gproxy.config.root import Root
from gproxy.route.context import Context, Mode, RuleSet
from gproxy.route.facts import Facts
from gproxy.route.leases import USUAL, Leases

if TYPE_CHECKING:
    from gproxy.engine.outbounds import Outbounds
    from gproxy.route.sets.live import LiveSet
    from gproxy.service.rule_sets.keeper import Updates
    from gproxy.service.rule_sets.source import Source

_log = logging.getLogger("gproxy.app")


def build_context(root: Root) -> Context:
    """What both routers compile their rules with. Raises ConfigError."""
    route = root.route
    facts = Facts(Leases(route.dhcp_lease_files or USUAL))
    if route.find_process:
        facts.needs.ask("owner")
    if route.find_neighbor:
        facts.needs.ask("mac", "hostname")
    rule_sets: dict[str, RuleSet] = {}
    context = Context(
        rule_sets=rule_sets,
        facts=facts,
        mode=Mode(route.default_mode.lower()),
        countries=places.countries(route),
        asns=places.asns(route),
        sites=places.sites(route),
    )
    for source in _sources(root):
        rule_sets[source.tag] = _loaded(source, context)
    return context


def build_updates(root: Root, context: Context, outbounds: Outbounds) -> Updates | None:
    """What keeps the rule sets of the context up to date; None if there is nothing that could change."""
    moving = [source for source in _sources(root) if source.path() or source.url()]
    if not moving:
        return None
    from gproxy.route.sets.live import LiveSet
    from gproxy.service.rule_sets.keeper import Updates

    by_tag = {tag: each for tag, each in context.rule_sets.items() if isinstance(each, LiveSet)}
    return Updates(
        [(source, by_tag[source.tag]) for source in moving],
        lambda tag: outbounds.get(tag or outbounds.default, "tcp"),
        root.certificate,
    )


def take_rule_set(rule_sets: Mapping[str, RuleSet], message: RuleSetChanged, descriptor: int) -> None:
    """Obey the message, and close the descriptor that came with it."""
    from gproxy.route.sets.live import LiveSet
    from gproxy.route.sets.packed import BadPacked

    live = rule_sets.get(message.tag)
    try:
        if isinstance(live, LiveSet) and live.digest != message.digest:
            live.take(descriptor, message.digest)
    except (BadPacked, OSError) as error:
        _log.error("a new version of rule set %s can't be used: %s", message.tag, error)
    finally:
        os.close(descriptor)


def _sources(root: Root) -> list[Source]:
    if not root.route.rule_set:
        return []
    from gproxy.service.rule_sets.source import sources
    from gproxy.service.rule_sets.store import Store

    return list(sources(root.route.rule_set, Store()))


def _loaded(source: Source, context: Context) -> LiveSet:
    from gproxy.route.sets.live import LiveSet

    live = LiveSet(source.tag, context)
    ready = source.load()
    if ready is not None:
        try:
            live.take(ready.descriptor, ready.digest)
        finally:
            ready.close()
    return live
