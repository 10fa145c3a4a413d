"""Headless rules: what rule sets are made of. Match items without an action, joined at will, with their own format.

They are read here from the tree of a source file (JSON), or of a configuration; `route.formats` makes them from other
files. A list may have hundreds of thousands of domains, so these are plain tuples, not models of `schema`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Literal

from gproxy.base.errors import GproxyError
from gproxy.route.prefixes import NO_RANGES, IpRanges, read_prefix, read_prefixes
from gproxy.route.ranges import Bounds
from gproxy.schema.fields import MAX_PORT, RulePortRange
from gproxy.schema.problem import BadValue, KeyPath, dotted, expected, near_miss
from gproxy.wire.dns.types import TYPES, type_number

VERSION = 5
"""The newest version of the source and binary formats."""

MAX_NESTING = 16
"""Rules within rules within rules: nobody needs more, and Python can call only so deep."""

NETWORKS = ("tcp", "udp", "icmp")
NETWORK_TYPES = ("wifi", "cellular", "ethernet", "other")
"""The kinds of network, in the order of their numbers in the binary format."""

# What sing-box calls types that have no name with us, or another. It reads no other names than its own.
_ITS_TYPES = {
    "None": 0, "X25": 19, "ISDN": 20, "NSAP-PTR": 23, "GPOS": 27, "EID": 31, "NIMLOC": 32, "ATMA": 34, "NINFO": 56,
    "RKEY": 57, "TALINK": 58, "UINFO": 100, "UID": 101, "GID": 102, "UNSPEC": 103, "NID": 104, "L32": 105, "L64": 106,
    "LP": 107, "NXNAME": 128, "AVC": 258, "AMTRELAY": 260, "RESINFO": 261, "TA": 32768, "DLV": 32769, "Reserved": 65535,
}  # fmt: skip
_ITS_TYPE_NAMES = {number: name for name, number in (TYPES | _ITS_TYPES).items() if name != "WKS"}

Interface = IPv4Interface | IPv6Interface


class BadRuleSet(GproxyError):
    """A rule set that can't be read or written. `path` says where in it, `fault` what is wrong; the text says both."""

    status = "rule-set"
    blame = "operator"

    def __init__(self, fault: str, path: KeyPath = ()) -> None:
        super().__init__(f"{dotted(path)}: {fault}" if path else fault)
        self.fault = fault
        self.path = path


@dataclass(frozen=True, slots=True)
class HeadlessRule:
    """Match items; empty ones ask nothing, and one at least is not empty.

    Domains, keywords and expressions are verbatim: not folded to lower case, not checked to be such. `x.y` as a suffix
    is itself and all below, `.x.y` only what is below. Expressions are RE2's, and have not been compiled yet. Within
    an item any value matches; items are joined as those of route rules are (see `gproxy.route.compile`).
    """

    query_type: tuple[int, ...] = ()  # numbers of DNS record types
    network: tuple[str, ...] = ()  # of NETWORKS
    domain: tuple[str, ...] = ()
    domain_suffix: tuple[str, ...] = ()
    domain_keyword: tuple[str, ...] = ()
    domain_regex: tuple[str, ...] = ()
    source_ip_cidr: IpRanges = NO_RANGES
    ip_cidr: IpRanges = NO_RANGES
    source_port: tuple[int, ...] = ()
    source_port_range: tuple[str, ...] = ()  # each is a RulePortRange's text; see `source_ports`
    port: tuple[int, ...] = ()
    port_range: tuple[str, ...] = ()  # each is a RulePortRange's text; see `ports`
    process_name: tuple[str, ...] = ()
    process_path: tuple[str, ...] = ()
    process_path_regex: tuple[str, ...] = ()
    package_name: tuple[str, ...] = ()
    package_name_regex: tuple[str, ...] = ()
    network_type: tuple[str, ...] = ()  # of NETWORK_TYPES
    network_is_expensive: bool = False
    network_is_constrained: bool = False
    wifi_ssid: tuple[str, ...] = ()
    wifi_bssid: tuple[str, ...] = ()
    network_interface_address: tuple[tuple[str, tuple[Interface, ...]], ...] = ()  # by kind of NETWORK_TYPES
    default_interface_address: tuple[Interface, ...] = ()
    adguard_domain: tuple[str, ...] = ()  # rules such as `||example.org^`; only binary files have them
    invert: bool = False

    def ports(self) -> tuple[Bounds, ...]:
        """All that `port` and `port_range` say."""
        return _bounds(self.port, self.port_range)

    def source_ports(self) -> tuple[Bounds, ...]:
        """All that `source_port` and `source_port_range` say."""
        return _bounds(self.source_port, self.source_port_range)


@dataclass(frozen=True, slots=True)
class HeadlessLogical:
    """Rules, one at least, that must match all (`and`), or of which any must (`or`)."""

    mode: Literal["and", "or"]
    rules: tuple[Headless, ...]
    invert: bool = False


Headless = HeadlessRule | HeadlessLogical
"""A rule of either kind. Nowhere deeper than MAX_NESTING."""

ITEMS: tuple[str, ...] = tuple(
    field.name for field in dataclasses.fields(HeadlessRule) if field.name not in {"adguard_domain", "invert"}
)
"""The keys of the match items, in the order in which they are written."""

SINCE: Mapping[str, int] = {
    "adguard_domain": 2,
    "network_type": 3, "network_is_expensive": 3, "network_is_constrained": 3,
    "network_interface_address": 4, "default_interface_address": 4,
    "package_name_regex": 5,
}  # fmt: skip
"""The version of the binary format that brought an item; all others are there from 1 on."""


def needed_version(rules: Sequence[Headless]) -> int:
    """The least version of the binary format in which these rules can be written."""
    return max((_needed(rule) for rule in rules), default=1)


def _needed(rule: Headless) -> int:
    if isinstance(rule, HeadlessLogical):
        return needed_version(rule.rules)
    return max((version for item, version in SINCE.items() if getattr(rule, item)), default=1)


def read_rules(tree: object, at: KeyPath = ("rules",)) -> list[Headless]:
    """The rules of a list as JSON gives it. Raises BadRuleSet for the first mistake, with its path below `at`.

    Where a list of values may stand, a single one may stand too, and null is nothing.
    """
    return list(_read_rules(tree, at, 1))


def _read_rules(tree: object, at: KeyPath, depth: int) -> Iterator[Headless]:
    if not isinstance(tree, list):
        raise _complaint(expected("a list of rules", tree), at)
    if depth > MAX_NESTING:
        raise BadRuleSet(f"expected at most {MAX_NESTING} levels of rules", at)
    for index, rule in enumerate(tree):
        yield _read_rule(rule, (*at, index), depth)


def _read_rule(tree: object, at: KeyPath, depth: int) -> Headless:
    if not isinstance(tree, dict):
        raise _complaint(expected("a table", tree), at)
    kind = tree.get("type") or "default"
    if kind == "default":
        return _read_default(tree, at)
    if kind == "logical":
        return _read_logical(tree, at, depth)
    raise BadRuleSet("expected `default` or `logical`", (*at, "type"))


def _read_logical(tree: dict[str, Any], at: KeyPath, depth: int) -> HeadlessLogical:
    _refuse_unknown(tree, ("type", "mode", "rules", "invert"), at)
    mode = tree.get("mode")
    if mode not in ("and", "or"):
        raise BadRuleSet("expected `and` or `or`", (*at, "mode"))
    rules = tuple(_read_rules(tree.get("rules"), (*at, "rules"), depth + 1))
    if not rules:
        raise BadRuleSet("expected at least one rule", (*at, "rules"))
    return HeadlessLogical(mode, rules, _switch(tree.get("invert"), (*at, "invert")))


def _read_default(tree: dict[str, Any], at: KeyPath) -> HeadlessRule:
    _refuse_unknown(tree, ("type", *ITEMS, "invert"), at)
    values = {}
    for key, value in tree.items():
        if key != "type" and value is not None:
            values[key] = _READERS[key](value, (*at, key))
    rule = HeadlessRule(**values)
    if not has_condition(rule):
        raise BadRuleSet("expected a condition", at)
    return rule


def has_condition(rule: HeadlessRule) -> bool:
    """Whether the rule asks anything."""
    return any(getattr(rule, item) for item in ITEMS) or bool(rule.adguard_domain)


def _refuse_unknown(tree: dict[str, Any], known: Sequence[str], at: KeyPath) -> None:
    for key in tree:
        if key not in known:
            hint = near_miss(key, known)
            raise BadRuleSet("unknown key" + (f", {hint}" if hint else ""), (*at, key))


def _complaint(error: ValueError, at: KeyPath) -> BadRuleSet:
    return BadRuleSet(str(error), at)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: object, at: KeyPath) -> tuple[str, ...]:
    values = _listed(value)
    # Nothing slower than this for each of many.
    if set(map(type, values)) <= {str} and "" not in values and _is_unicode("".join(values)):
        return tuple(values)
    for index, text in enumerate(values):
        if not isinstance(text, str):
            raise _complaint(expected("text", text), (*at, index))
        if not text or not _is_unicode(text):
            raise BadRuleSet("expected text that is not empty and without half characters", (*at, index))
    return tuple(values)


def _is_unicode(text: str) -> bool:
    """JSON can name half characters, which no file can have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _words(known: Sequence[str]) -> Callable[[object, KeyPath], tuple[str, ...]]:
    def read(value: object, at: KeyPath) -> tuple[str, ...]:
        texts = _texts(value, at)
        for index, text in enumerate(texts):
            if text not in known:
                raise BadRuleSet("expected one of " + ", ".join(f"`{word}`" for word in known), (*at, index))
        return texts

    return read


def _query_types(value: object, at: KeyPath) -> tuple[int, ...]:
    types = []
    for index, each in enumerate(_listed(value)):
        try:
            types.append(query_type_number(each))
        except ValueError:
            raise BadRuleSet("expected a DNS record type such as `A` or 28", (*at, index)) from None
    return tuple(types)


def query_type_number(value: object) -> int:
    """A DNS record type as source files have it, a name or a number. Raises ValueError."""
    if not isinstance(value, str):
        return _number(value)
    number = _ITS_TYPES.get(value)
    return type_number(value) if number is None else number


def query_type_text(number: int) -> str | int:
    """A DNS record type as source files have it: its name, or the number of one without."""
    return _ITS_TYPE_NAMES.get(number, number)


def _ports(value: object, at: KeyPath) -> tuple[int, ...]:
    ports = []
    for index, each in enumerate(_listed(value)):
        try:
            ports.append(_number(each))
        except ValueError:
            raise BadRuleSet(f"expected a port number, 0 to {MAX_PORT}", (*at, index)) from None
    return tuple(ports)


def _number(value: object) -> int:
    """A number of 16 bits. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0xFFFF:
        raise ValueError
    return value


def _port_ranges(value: object, at: KeyPath) -> tuple[str, ...]:
    texts = _texts(value, at)
    for index, text in enumerate(texts):
        check_port_range(text, (*at, index))
    return texts


def check_port_range(text: str, at: KeyPath) -> None:
    """Raises BadRuleSet if the text is no range of ports."""
    try:
        RulePortRange.parse(text)
    except BadValue as error:
        raise _complaint(error, at) from None


def _bounds(ports: tuple[int, ...], ranges: tuple[str, ...]) -> tuple[Bounds, ...]:
    return (*((port, port) for port in ports), *(RulePortRange.parse(text) for text in ranges))


def _prefixes(value: object, at: KeyPath) -> IpRanges:
    texts = _texts(value, at)
    try:
        return read_prefixes(texts)
    except ValueError:
        for index, text in enumerate(texts):
            _check_prefix(text, (*at, index))
        raise


def _check_prefix(text: str, at: KeyPath) -> None:
    try:
        read_prefix(text)
    except ValueError as error:
        raise _complaint(error, at) from None


def _interfaces(value: object, at: KeyPath) -> tuple[Interface, ...]:
    found: list[Interface] = []
    for index, text in enumerate(_texts(value, at)):
        _check_prefix(text, (*at, index))
        found.append(IPv6Interface(text) if ":" in text else IPv4Interface(text))
    return tuple(found)


def _interfaces_by_kind(value: object, at: KeyPath) -> tuple[tuple[str, tuple[Interface, ...]], ...]:
    if not isinstance(value, dict):
        raise _complaint(expected("a table", value), at)
    _refuse_unknown(value, NETWORK_TYPES, at)
    return tuple((kind, _interfaces(addresses, (*at, kind))) for kind, addresses in value.items())


def _switch(value: object, at: KeyPath) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _complaint(expected("true or false", value), at)


_READERS: Mapping[str, Callable[[object, KeyPath], Any]] = dict.fromkeys(ITEMS, _texts) | {
    "query_type": _query_types,
    "network": _words(NETWORKS),
    "source_ip_cidr": _prefixes,
    "ip_cidr": _prefixes,
    "source_port": _ports,
    "source_port_range": _port_ranges,
    "port": _ports,
    "port_range": _port_ranges,
    "network_type": _words(NETWORK_TYPES),
    "network_is_expensive": _switch,
    "network_is_constrained": _switch,
    "network_interface_address": _interfaces_by_kind,
    "default_interface_address": _interfaces,
    "invert": _switch,
}
