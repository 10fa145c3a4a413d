"""What a rule set says: its rules as conditions, joined as those of route rules are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_interface
from typing import Any, Final

from gproxy.base.session import Session
from gproxy.route.context import Context, Match, Part, Parts
from gproxy.route.domains import DomainSet, DomainTrie
from gproxy.route.further_items import machine_parts
from gproxy.route.groups import Groups, all_of, any_of, inverted
from gproxy.route.headless import HeadlessRule
from gproxy.route.items import (
    DomainItem,
    DomainKeywordItem,
    DomainRegexItem,
    NetworkItem,
    SourceIpItem,
    SourcePortItem,
    TargetIpItem,
    TargetPortItem,
)
from gproxy.route.sets.packed import Packed

_MACHINE: Final = (
    "process_name", "process_path", "process_path_regex", "package_name", "package_name_regex", "network_type",
    "network_is_expensive", "network_is_constrained", "wifi_ssid", "wifi_bssid",
)  # fmt: skip


class QueryTypeItem:
    """The session is about a DNS question of one of these types."""

    __slots__ = ("_types",)

    def __init__(self, types: Collection[int]) -> None:
        self._types = frozenset(types) - {0}

    def match(self, session: Session) -> bool:
        return session.query_type in self._types


_ADDRESSES = frozenset(("ip_cidr",))
_CLIENTS = frozenset((
    "network", "source_ip_cidr", "source_port", "process_name", "process_path", "process_path_regex",
))  # fmt: skip


class Contents:
    """See SetContents. Any of its rules may match.

    Asked by the client's address (`by_source`), `ip_cidr` of its rules is one of the items about the client. Rules
    within logical ones are never asked so: sing-box forgets it there.
    """

    def __init__(self, packed: Packed, context: Context, digest: str = "") -> None:
        """`digest` tells what it was made from."""
        self.digest = digest
        self.addresses = any(_looks_at(_ADDRESSES, rule) for rule in packed.rules)
        self.clients = any(_looks_at(_CLIENTS, rule) for rule in packed.rules)
        self._packed = packed
        self._context = context
        self._made: dict[tuple[str, bool], Any] = {}

    def match(self, *, by_source: bool) -> Match:
        """See SetContents."""
        if ("match", by_source) not in self._made:
            rules = [self._rule(rule, by_source=by_source) for rule in self._packed.rules]
            self._made["match", by_source] = any_of(rules)
        match: Match = self._made["match", by_source]
        return match

    def groups(self, *, by_source: bool) -> Groups | None:
        """See SetContents."""
        rules = self._packed.rules
        if not self._packed.alone or "mode" in rules[0] or rules[0]["invert"]:
            return None
        if ("groups", by_source) not in self._made:
            self._made["groups", by_source] = self._groups(rules[0]["items"], by_source=by_source)
        groups: Groups = self._made["groups", by_source]
        return groups

    def _rule(self, rule: Mapping[str, Any], *, by_source: bool) -> Match:
        if "mode" in rule:
            parts = [self._rule(each, by_source=False) for each in rule["rules"]]
            return inverted(all_of(parts) if rule["mode"] == "and" else any_of(parts), invert=rule["invert"])
        return inverted(self._groups(rule["items"], by_source=by_source).match(), invert=rule["invert"])

    def _groups(self, items: Mapping[str, Any], *, by_source: bool) -> Groups:
        source, target = list(self._source(items)), list(self._names(items))
        if "ip_cidr" in items:
            cidrs = self._packed.cidrs(items["ip_cidr"])
            (source if by_source else target).append(
                ("ip_cidr", SourceIpItem(cidrs).match if by_source else TargetIpItem(cidrs).match)
            )
        return Groups(tuple(self._singles(items)), *_ports(items), tuple(source), tuple(target))

    def _singles(self, items: Mapping[str, Any]) -> Parts:
        if "network" in items:
            yield "network", NetworkItem(items["network"]).match
        if "query_type" in items:
            yield "query_type", QueryTypeItem(items["query_type"]).match
        yield from machine_parts(_about_the_machine(items), self._context)

    def _source(self, items: Mapping[str, Any]) -> Parts:
        if "source_ip_cidr" in items:
            yield "source_ip_cidr", SourceIpItem(self._packed.cidrs(items["source_ip_cidr"])).match

    def _names(self, items: Mapping[str, Any]) -> Parts:
        domains = items.get("domains")
        if isinstance(domains, list):
            yield "domain", DomainItem(DomainSet(*domains)).match
        elif domains is not None:
            yield "domain", DomainItem(DomainTrie(self._packed.trie, domains)).match
        if "domain_keyword" in items:
            yield "domain_keyword", DomainKeywordItem(items["domain_keyword"]).match
        if "domain_regex" in items:
            yield "domain_regex", DomainRegexItem(items["domain_regex"]).match


def _ports(items: Mapping[str, Any]) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Of the client, and of the target."""
    source = (("source_port", SourcePortItem(items["source_port"]).match),) if "source_port" in items else ()
    target = (("port", TargetPortItem(items["port"]).match),) if "port" in items else ()
    return source, target


def _about_the_machine(items: Mapping[str, Any]) -> HeadlessRule:
    """A rule with these items alone."""
    interfaces = items.get("network_interface_address", {})
    return HeadlessRule(
        **{name: items[name] for name in _MACHINE if name in items},
        network_interface_address=tuple((kind, tuple(map(ip_interface, texts))) for kind, texts in interfaces.items()),
        default_interface_address=tuple(map(ip_interface, items.get("default_interface_address", ()))),
    )


def _looks_at(items: frozenset[str], rule: Mapping[str, Any]) -> bool:
    if "mode" in rule:
        return any(_looks_at(items, each) for each in rule["rules"])
    return not items.isdisjoint(rule["items"])
