"""The router: the rules in their order, compiled once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gproxy.base.defaults import SNIFF_TIMEOUT
from gproxy.base.session import LookupOptions, Session, Strategy
from gproxy.route.action import (
    Action,
    HijackDns,
    Overrides,
    Reject,
    RejectMethod,
    Resolve,
    RouteTo,
    SetOptions,
    Sniff,
)
from gproxy.route.compile import condition, condition_of, groups_of
from gproxy.route.context import NO_CONTEXT, Context, Match
from gproxy.route.groups import Groups
from gproxy.route.index import Index
from gproxy.route.naming import name_of
from gproxy.route.options import Conditions, RuleOptions


class Router:
    """Says what shall be done with a session."""

    __slots__ = ("_final", "_index", "_rules", "facts")

    def __init__(self, rules: Sequence[RuleOptions], final: str, context: Context = NO_CONTEXT) -> None:
        """`final` is the tag of the outbound for whatever the rules leave undecided."""
        compiled = [_compiled(rule, context) for rule in rules]
        self._rules: tuple[tuple[Match, Action], ...] = tuple(
            (match, action_of(name_of(number, rule), rule))
            for number, (rule, (match, _)) in enumerate(zip(rules, compiled, strict=True))
        )
        self._index = Index([known for _, known in compiled])
        self._final = RouteTo(final, rule="final")
        self.facts = context.facts  # what the rules need is collected before a walk

    def walk(self, session: Session) -> Iterator[Action]:
        """The actions of the rules that match, one after the other; the last one is final, and no other.

        The walk itself changes nothing. It looks at the session anew for each rule, so what the caller has written into
        it after one action (addresses, another target) counts for the rules that follow.
        """
        rules, begin = self._rules, 0
        while True:
            for number in self._index.candidates(session):
                if number >= begin:
                    match, action = rules[number]
                    if match(session):
                        break
            else:
                yield self._final
                return
            yield action
            if action.final:
                return
            begin = number + 1


def _compiled(rule: RuleOptions, context: Context) -> tuple[Match, tuple[Conditions, Groups] | None]:
    """The condition, and what it is made of if that is a default rule's."""
    if not isinstance(rule, Conditions):
        return condition(rule, context), None
    groups = groups_of(rule, context)
    return condition_of(rule, groups, context), (rule, groups)


def action_of(name: str, options: RuleOptions) -> Action:
    """What a rule asks for when it matches; `name` is how the log calls it."""
    if options.action == "reject":
        method: RejectMethod = "drop" if options.method == "drop" else "default"
        return Reject(method, options.no_drop, name)
    if options.action == "hijack-dns":
        return HijackDns(name)
    if options.action == "resolve":
        return Resolve(_lookup(options), name)
    if options.action == "sniff":
        return Sniff(options.sniffer, options.timeout or SNIFF_TIMEOUT, options.override_destination, name)
    overrides = _overrides(options)
    if options.action == "route-options" or (options.action == "bypass" and not options.outbound):
        return SetOptions(overrides, name)
    return RouteTo(options.outbound, None if overrides == Overrides() else overrides, name)


def _lookup(options: RuleOptions) -> LookupOptions:
    strategy: Strategy = "" if options.strategy is None or options.strategy == "as_is" else options.strategy
    return LookupOptions(
        options.server, strategy, options.timeout or None, options.disable_cache, options.disable_optimistic_cache,
        options.rewrite_ttl, options.client_subnet,
    )  # fmt: skip


def _overrides(options: RuleOptions) -> Overrides:
    """A duration of zero is none, as in sing-box."""
    return Overrides(
        address=options.override_address,
        port=options.override_port,
        fallback_delay=options.fallback_delay or None,
        udp_timeout=options.udp_timeout or None,
        udp_connect=options.udp_connect,
        udp_disable_domain_unmapping=options.udp_disable_domain_unmapping,
        tls_fragment=options.tls_fragment,
        tls_record_fragment=options.tls_record_fragment,
        tls_fragment_fallback_delay=options.tls_fragment_fallback_delay,
        internal=options.allow_internal,
        limits=options.limits,
    )
