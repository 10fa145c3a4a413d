"""Which rules of a rule set match an address or a domain of which nothing else is known, and what they look for."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, cast

from gproxy.base.address import Address, Host, parse_host
from gproxy.base.session import Network, Session
from gproxy.route.context import NO_CONTEXT, Match
from gproxy.route.headless import ITEMS, Headless, HeadlessLogical, HeadlessRule, query_type_text
from gproxy.route.prefixes import IpRanges
from gproxy.route.regex import RegexError, compile_regex
from gproxy.route.sets.contents import Contents
from gproxy.route.sets.packed import Packed, in_memory, pack

_VALUES_SHOWN = 3


class Trial:
    """A rule set, each of whose rules can be tried by itself."""

    __slots__ = ("_matches", "_rules")

    def __init__(self, rules: Sequence[Headless]) -> None:
        """Raises BadRuleSet for an expression that is none."""
        self._rules = rules
        self._matches = [_match_of(rule) for rule in rules]

    def matching(self, asked: str) -> Iterator[tuple[int, Headless]]:
        """The rules that match a domain or an address, each with where it stands.

        There is no client, no network, and both ports are 0: rules that ask for these, for processes or for this
        machine's surroundings don't match, unless inverted.
        """
        session = Session(0, cast(Network, ""), "", Address("", 0), Address(_host(asked), 0))
        for index, match in enumerate(self._matches):
            if match(session):
                yield index, self._rules[index]


def _match_of(rule: Headless) -> Match:
    descriptor = in_memory(pack([rule]))
    try:
        return Contents(Packed(descriptor), NO_CONTEXT).match(by_source=False)
    finally:
        os.close(descriptor)


def _host(asked: str) -> Host:
    try:
        return parse_host(asked)
    except ValueError:  # no domain of DNS, but rules may have it
        return asked.lower()


def told(rule: Headless) -> str:
    """What the rule looks for, on one line, cut short if it is much: `domain_suffix=[a.org b.org c.org…] port=80`."""
    if isinstance(rule, HeadlessLogical):
        text = (" && " if rule.mode == "and" else " || ").join(map(told, rule.rules))
        return f"!({text})" if rule.invert else f"({text})"
    text = " ".join(f"{item}={_values(item, rule)}" for item in (*ITEMS, "adguard_domain") if getattr(rule, item))
    return f"!({text})" if rule.invert else text


def _values(item: str, rule: HeadlessRule) -> str:
    value: Any = getattr(rule, item)
    if value is True:
        return "true"
    if item == "query_type":
        value = list(map(query_type_text, value))
    elif item == "network_interface_address":
        value = [f"{kind}:{address}" for kind, addresses in value for address in addresses]
    elif isinstance(value, IpRanges):
        value = list(value.prefixes())
    if len(value) == 1:
        return str(value[0])
    more = "…" if len(value) > _VALUES_SHOWN else ""
    return "[" + " ".join(map(str, value[:_VALUES_SHOWN])) + more + "]"


def found_by(rule: HeadlessRule, domain: str) -> str:
    """Which item of a list has the domain: `domain_suffix=example.org`; empty if none has.

    An expression that is none of RE2's finds nothing.
    """
    name = domain.lower()
    if name in rule.domain:
        return f"domain={name}"
    ends = {*(f".{above}" for above in _above(name)), *_above(name), name}
    for suffix in rule.domain_suffix:
        if suffix in ends:
            return f"domain_suffix={suffix}"
    for keyword in rule.domain_keyword:
        if keyword in name:
            return f"domain_keyword={keyword}"
    for expression in rule.domain_regex:
        if _finds(expression, name):
            return f"domain_regex={expression}"
    return ""


def _above(name: str) -> list[str]:
    """The domains that the name is below: `a.b.c` → `b.c`, `c`."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]


def _finds(expression: str, name: str) -> bool:
    try:
        return compile_regex(expression)(name.encode()) is not None
    except RegexError:
        return False
