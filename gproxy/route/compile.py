"""From the options of a rule to a function that says whether a session matches.

Within a default rule, as in sing-box: (any of the domain and ip items) and (any of the port items) and (any of the
source address items) and (any of the source port items) and every other item. A bracket without items is left out.

A rule set is an item too, but for one that is exactly one default rule and not inverted: its brackets are joined with
those of the rule that names it, so that either's item is enough for a bracket that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gproxy.base.session import Session
from gproxy.route.cidrs import NOT_PUBLIC, CidrSet, Network
from gproxy.route.context import NO_CONTEXT, Context, RuleSet
from gproxy.route.domains import domain_set
from gproxy.route.further_items import single_parts, source_parts, target_parts
from gproxy.route.groups import Groups, Match, Part, Parts, all_of, any_of, bracketed, inverted
from gproxy.route.items import (
    AuthUserItem,
    ClientItem,
    DomainItem,
    DomainKeywordItem,
    DomainRegexItem,
    InboundItem,
    IpVersionItem,
    NetworkItem,
    ProtocolItem,
    SourceIpItem,
    SourcePortItem,
    TargetIpItem,
    TargetPortItem,
)
from gproxy.route.options import Combination, Conditions, NestedRuleOptions, RuleOptions
from gproxy.route.ranges import Bounds
from gproxy.schema.fields import Port, RulePortRange


class Named:
    """A rule set as one rule names it: the rule's brackets and the set's are one where the set is a single plain rule.

    Whether it is one can change when it is replaced. `groups` are the rule's, without its single items.
    """

    __slots__ = ("_by_source", "_groups", "_match", "_seen", "_set")

    def __init__(self, rule_set: RuleSet, groups: Groups, *, by_source: bool) -> None:
        self._set = rule_set
        self._groups = groups
        self._by_source = by_source
        self._seen = rule_set.contents
        self._match = self._compile()

    def match(self, session: Session) -> bool:
        if self._set.contents is not self._seen:
            self._seen = self._set.contents
            self._match = self._compile()
        return self._match(session)

    def _compile(self) -> Match:
        alone = self._seen.groups(by_source=self._by_source)
        if alone is not None:
            return alone.joined(self._groups).match()
        rules = self._seen.match(by_source=self._by_source)
        return all_of([self._groups.match(), rules]) if any(self._groups) else rules


def condition(options: RuleOptions | NestedRuleOptions, context: Context = NO_CONTEXT) -> Match:
    """Whether a session matches the rule."""
    if isinstance(options, Combination):
        parts = [condition(rule, context) for rule in options.rules]
        return inverted(all_of(parts) if options.mode == "and" else any_of(parts), invert=options.invert)
    assert isinstance(options, Conditions)
    return condition_of(options, groups_of(options, context), context)


def condition_of(options: Conditions, groups: Groups, context: Context) -> Match:
    """The same of a default rule whose groups were made already."""
    return inverted(bracketed(brackets(options, groups, context)), invert=options.invert)


def groups_of(options: Conditions, context: Context) -> Groups:
    """What a default rule asks, but for the rule sets that it names."""
    return Groups(
        tuple(_single_items(options, context)),
        tuple(_source_ports(options)),
        tuple(_target_ports(options)),
        tuple(_source(options, context)),
        tuple(_target(options, context)),
    )


def brackets(options: Conditions, groups: Groups, context: Context) -> Iterator[tuple[Part, ...]]:
    """What must all match, the cheapest first: of each, any part.

    A rule that names rule sets has one bracket for all of them, with all that they may make unnecessary.
    """
    if not options.rule_set:
        yield from groups.brackets()
        return
    for part in groups.singles:
        yield (part,)
    rest = groups._replace(singles=())
    yield tuple(
        ("rule_set", Named(context.rule_sets[tag], rest, by_source=options.rule_set_ip_cidr_match_source).match)
        for tag in options.rule_set
    )


def _single_items(options: Conditions, context: Context) -> Parts:
    if options.network:
        yield "network", NetworkItem(options.network).match
    if options.inbound:
        yield "inbound", InboundItem(options.inbound).match
    if options.auth_user:
        yield "auth_user", AuthUserItem(options.auth_user).match
    if options.ip_version is not None:
        yield "ip_version", IpVersionItem(options.ip_version).match
    if options.protocol:
        yield "protocol", ProtocolItem(options.protocol).match
    if options.client:
        yield "client", ClientItem(options.client).match
    yield from single_parts(options, context)


def _source_ports(options: Conditions) -> Parts:
    if options.source_port or options.source_port_range:
        yield "source_port", SourcePortItem(_ranges(options.source_port, options.source_port_range)).match


def _target_ports(options: Conditions) -> Parts:
    if options.port or options.port_range:
        yield "port", TargetPortItem(_ranges(options.port, options.port_range)).match


def _ranges(ports: Sequence[Port], ranges: Sequence[RulePortRange]) -> list[Bounds]:
    return [*((port, port) for port in ports), *ranges]


def _source(options: Conditions, context: Context) -> Parts:
    networks = _networks(options.source_ip_cidr, private=options.source_ip_is_private)
    if networks:
        yield "source_ip_cidr", SourceIpItem(CidrSet(networks)).match
    yield from source_parts(options, context)


def _target(options: Conditions, context: Context) -> Parts:
    if options.domain or options.domain_suffix:
        yield "domain", DomainItem(domain_set(options.domain, options.domain_suffix)).match
    networks = _networks(options.ip_cidr, private=options.ip_is_private)
    if networks:
        yield "ip_cidr", TargetIpItem(CidrSet(networks)).match
    if options.domain_keyword:
        yield "domain_keyword", DomainKeywordItem(options.domain_keyword).match
    if options.domain_regex:
        yield "domain_regex", DomainRegexItem(options.domain_regex).match
    yield from target_parts(options, context)


def _networks(cidrs: tuple[Network, ...], *, private: bool) -> tuple[Network, ...]:
    return cidrs + NOT_PUBLIC if private else cidrs
