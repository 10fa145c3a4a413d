"""Rules of which any may match, as few: those that ask the same kind of thing are one rule that asks for more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from gproxy.route.headless import Headless, HeadlessRule
from gproxy.route.prefixes import IpRanges

_NAMES: Final = frozenset({"domain", "domain_suffix", "domain_keyword", "domain_regex", "adguard_domain"})
_PORTS: Final = frozenset({"port", "port_range"})

# Of each of these, any item of a rule is enough.
_KINDS: Final = (_NAMES, frozenset({"ip_cidr"}), frozenset({"source_ip_cidr"}), _PORTS)


def joined(rules: Sequence[Headless]) -> list[Headless]:
    """Rules that match when any of these does."""
    alike: dict[frozenset[str], list[HeadlessRule]] = {}
    others: list[Headless] = []
    for rule in rules:
        kind = _kind(rule) if isinstance(rule, HeadlessRule) else None
        if kind is None or not isinstance(rule, HeadlessRule):
            others.append(rule)
        else:
            alike.setdefault(kind, []).append(rule)
    return [*(_one(kind, each) for kind, each in alike.items()), *others]


def _kind(rule: HeadlessRule) -> frozenset[str] | None:
    asked = {field.name for field in fields(rule) if getattr(rule, field.name)}
    return next((kind for kind in _KINDS if asked <= kind), None)


def _one(kind: frozenset[str], rules: Sequence[HeadlessRule]) -> HeadlessRule:
    if len(rules) == 1:
        return rules[0]
    values: dict[str, Any] = {}
    for name in kind:
        each = [getattr(rule, name) for rule in rules]
        if isinstance(each[0], IpRanges):
            values[name] = IpRanges.of(
                (bounds for ranges in each for bounds in ranges.four),
                (bounds for ranges in each for bounds in ranges.six),
            )
        else:
            values[name] = tuple(value for several in each for value in several)
    return HeadlessRule(**values)
