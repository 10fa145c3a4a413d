"""From the options of a rule to a function that says whether a session matches.

Within a default rule, as in sing-box: (any of the domain and ip items) and (any of the port items) and (any of the
source address items) and (any of the source port items) and every other item. A bracket without items is left out.
"""

# ruff: noqa: SIM110 - all() and any() would make a generator for each session

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gproxy.base.session import Session
from gproxy.route.cidrs import NOT_PUBLIC, Network
from gproxy.route.context import NO_CONTEXT, Context, Match, Part, Parts
from gproxy.route.items import (
    AuthUserItem,
    DomainItem,
    DomainKeywordItem,
    DomainRegexItem,
    InboundItem,
    IpVersionItem,
    NetworkItem,
    SourceIpItem,
    SourcePortItem,
    TargetIpItem,
    TargetPortItem,
)
from gproxy.route.options import Combination, Conditions, NestedRuleOptions, RuleOptions
from gproxy.route.ranges import Bounds
from gproxy.schema.fields import Port, RulePortRange


class AllOf:
    """Every part matches."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Match]) -> None:
        self._parts = tuple(parts)

    def match(self, session: Session) -> bool:
        for part in self._parts:
            if not part(session):
                return False
        return True


class AnyOf:
    """Some part matches."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Match]) -> None:
        self._parts = tuple(parts)

    def match(self, session: Session) -> bool:
        for part in self._parts:
            if part(session):
                return True
        return False


class Not:
    """The part does not match."""

    __slots__ = ("_part",)

    def __init__(self, part: Match) -> None:
        self._part = part

    def match(self, session: Session) -> bool:
        return not self._part(session)


def condition(options: RuleOptions | NestedRuleOptions, context: Context = NO_CONTEXT) -> Match:
    """Whether a session matches the rule."""
    if isinstance(options, Combination):
        parts = [condition(rule, context) for rule in options.rules]
        return _inverted(_all(parts) if options.mode == "and" else _any(parts), invert=options.invert)
    assert isinstance(options, Conditions)
    return _inverted(
        _all([_any([match for _, match in bracket]) for bracket in brackets(options, context)]), invert=options.invert
    )


def brackets(options: Conditions, context: Context) -> Iterator[list[Part]]:
    """What must all match, the cheapest first: of each, any part."""
    for part in _single_items(options, context):
        yield [part]
    for several in (_source_ports(options), _target_ports(options), _source(options), _target(options)):
        parts = list(several)
        if parts:
            yield parts


def _single_items(options: Conditions, context: Context) -> Parts:
    if options.network:
        yield "network", NetworkItem(options.network).match
    if options.inbound:
        yield "inbound", InboundItem(options.inbound).match
    if options.auth_user:
        yield "auth_user", AuthUserItem(options.auth_user).match
    if options.ip_version is not None:
        yield "ip_version", IpVersionItem(options.ip_version).match


def _source_ports(options: Conditions) -> Parts:
    if options.source_port or options.source_port_range:
        yield "source_port", SourcePortItem(_ranges(options.source_port, options.source_port_range)).match


def _target_ports(options: Conditions) -> Parts:
    if options.port or options.port_range:
        yield "port", TargetPortItem(_ranges(options.port, options.port_range)).match


def _ranges(ports: Sequence[Port], ranges: Sequence[RulePortRange]) -> list[Bounds]:
    return [*((port, port) for port in ports), *ranges]


def _source(options: Conditions) -> Parts:
    networks = _networks(options.source_ip_cidr, private=options.source_ip_is_private)
    if networks:
        yield "source_ip_cidr", SourceIpItem(networks).match


def _target(options: Conditions) -> Parts:
    if options.domain or options.domain_suffix:
        yield "domain", DomainItem(options.domain, options.domain_suffix).match
    networks = _networks(options.ip_cidr, private=options.ip_is_private)
    if networks:
        yield "ip_cidr", TargetIpItem(networks).match
    if options.domain_keyword:
        yield "domain_keyword", DomainKeywordItem(options.domain_keyword).match
    if options.domain_regex:
        yield "domain_regex", DomainRegexItem(options.domain_regex).match


def _networks(cidrs: tuple[Network, ...], *, private: bool) -> tuple[Network, ...]:
    return cidrs + NOT_PUBLIC if private else cidrs


def _all(parts: Sequence[Match]) -> Match:
    return parts[0] if len(parts) == 1 else AllOf(parts).match


def _any(parts: Sequence[Match]) -> Match:
    return parts[0] if len(parts) == 1 else AnyOf(parts).match


def _inverted(part: Match, *, invert: bool) -> Match:
    return Not(part).match if invert else part
