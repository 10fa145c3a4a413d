"""Binary rule sets (`.srs`), versions 1 to 5.

    "SRS"  version u8  zlib( count uvarint, rules )

    rule      0  items, 0xFF, invert u8            a default rule: each item is its number and its value
              1  mode u8, count uvarint, rules, invert u8      a logical rule: and (0), or (1)

    texts     count uvarint, and for each its length (uvarint) and its bytes
    numbers   count uvarint, and for each u16
    names     a trie (see `trie`), where a name begins with CR if all that ends in it is meant (`.x.y`), or with LF if
              it is meant with all below it (`x.y`). Version 1 has no LF: there both `x.y` and CR `.x.y` say that
    addresses 1 u8, count u64, and for each range its first and last address, each with its length before it
    patterns  a trie of AdGuard's rules: LF for a leading `||`, none for `|`, CR for neither; BS at the end unless there
              is a `^`; the rest verbatim, with `*`
    prefixes  count uvarint, and for each an address with its length before it, and a number of bits (u8)

Multi-byte integers are in network order.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Final, NamedTuple

from gproxy.route.formats.binary import CUT_OFF, Reader, prefixed, utf8, uvarint
from gproxy.route.formats.trie import read_keys, write_keys
from gproxy.route.headless import (
    MAX_NESTING,
    NETWORK_TYPES,
    NETWORKS,
    SINCE,
    VERSION,
    BadRuleSet,
    Headless,
    HeadlessLogical,
    HeadlessRule,
    Interface,
    check_port_range,
    has_condition,
    needed_version,
)
from gproxy.route.prefixes import IpRanges
from gproxy.route.ranges import Bounds
from gproxy.schema.problem import KeyPath

MAGIC: Final = b"SRS"

MAX_INFLATED: Final = 64 * 2**20
"""Bytes: lists of a million names have a third of it."""
MAX_RULES: Final = 100_000
MAX_VALUES: Final = 2**20
"""In a list that is not of domains. Of ranges of addresses there may be twice as many."""

_BELOW, _WITH_BELOW, _OPEN_END = "\r", "\n", "\b"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FINAL: Final = 0xFF
_MODES: Final = ("and", "or")


class Binary(NamedTuple):
    """What a file holds."""

    version: int
    rules: list[Headless]


def is_binary(data: bytes) -> bool:
    """Whether these bytes begin like a binary rule set."""
    return data[: len(MAGIC)] == MAGIC


def read_srs(data: bytes) -> Binary:
    """The rules of a file, whole. Domains and suffixes come in order. Raises BadRuleSet."""
    if not is_binary(data):
        raise BadRuleSet("not a binary rule set: it does not begin with `SRS`")
    if len(data) == len(MAGIC):
        raise BadRuleSet(CUT_OFF)
    version = data[len(MAGIC)]
    if not 1 <= version <= VERSION:
        raise BadRuleSet(f"version {version} is not known, only 1 to {VERSION}")
    reader = _Rules(inflate(data[len(MAGIC) + 1 :]))
    rules = reader.rules(("rules",), 1)
    if reader.left():
        raise BadRuleSet("bytes after the last rule")
    return Binary(version, rules)


def inflate(data: bytes) -> bytes:
    """What zlib made smaller, MAX_INFLATED bytes at most. Raises BadRuleSet."""
    inflating = zlib.decompressobj()
    try:
        whole = inflating.decompress(data, MAX_INFLATED + 1)
    except zlib.error:
        raise BadRuleSet("damaged: zlib can't read it") from None
    if len(whole) > MAX_INFLATED:
        raise BadRuleSet(f"more than {MAX_INFLATED >> 20} MiB when inflated")
    if not inflating.eof:
        raise BadRuleSet(CUT_OFF)
    if inflating.unused_data:
        raise BadRuleSet("bytes after the end")
    return whole


class _Rules(Reader):
    """Reads rules, and counts them."""

    __slots__ = ("_known",)

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._known = 0

    def rules(self, at: KeyPath, depth: int) -> list[Headless]:
        if depth > MAX_NESTING:
            raise BadRuleSet(f"more than {MAX_NESTING} levels of rules", at)
        count = self.count(3, MAX_RULES)
        self._known += count
        if self._known > MAX_RULES:
            raise BadRuleSet(f"more than {MAX_RULES} rules")
        return [self._rule((*at, index), depth) for index in range(count)]

    def _rule(self, at: KeyPath, depth: int) -> Headless:
        kind = self.u8()
        if kind == 0:
            return self._default(at)
        if kind == 1:
            return self._logical(at, depth)
        raise BadRuleSet(f"a rule of the unknown kind {kind}", at)

    def _logical(self, at: KeyPath, depth: int) -> HeadlessLogical:
        mode = self.u8()
        if mode >= len(_MODES):
            raise BadRuleSet(f"the unknown mode {mode}", at)
        rules = tuple(self.rules((*at, "rules"), depth + 1))
        if not rules:
            raise BadRuleSet("a logical rule without rules", at)
        return HeadlessLogical(_MODES[mode], rules, self.u8() != 0)

    def _default(self, at: KeyPath) -> HeadlessRule:
        values: dict[str, Any] = {}
        while (number := self.u8()) != _FINAL:
            item = _BY_NUMBER.get(number)
            if item is None:
                raise BadRuleSet(f"the unknown item {number}", at)
            if item.name in values:
                raise BadRuleSet("given twice", (*at, item.name))
            try:
                values[item.name] = item.read(self)
            except BadRuleSet as error:
                raise BadRuleSet(error.fault, (*at, item.name, *error.path)) from None
        values["domain"], values["domain_suffix"] = values.get("domain", ((), ()))
        rule = HeadlessRule(**values, invert=self.u8() != 0)
        if not has_condition(rule):
            raise BadRuleSet("a rule without a condition", at)
        return rule


def _read_texts(reader: Reader) -> tuple[str, ...]:
    texts = []
    for index in range(reader.count(1, MAX_VALUES)):
        text = reader.text()
        if not text:
            raise BadRuleSet("empty text", (index,))
        texts.append(text)
    return tuple(texts)


def _write_texts(texts: Sequence[str]) -> bytes:
    return uvarint(len(texts)) + b"".join(prefixed(utf8(text)) for text in texts)


def _read_networks(reader: Reader) -> tuple[str, ...]:
    texts = _read_texts(reader)
    for index, text in enumerate(texts):
        if text not in NETWORKS:
            raise BadRuleSet("an unknown network", (index,))
    return texts


def _read_port_ranges(reader: Reader) -> tuple[str, ...]:
    texts = _read_texts(reader)
    for index, text in enumerate(texts):
        check_port_range(text, (index,))
    return texts


def _read_numbers(reader: Reader) -> tuple[int, ...]:
    raw = reader.take(2 * reader.count(2, MAX_VALUES))
    return tuple(high << 8 | low for high, low in zip(raw[::2], raw[1::2], strict=True))


def _write_numbers(numbers: Sequence[int]) -> bytes:
    return uvarint(len(numbers)) + b"".join(number.to_bytes(2, "big") for number in numbers)


def _read_kinds(reader: Reader) -> tuple[str, ...]:
    return tuple(map(_kind, reader.take(reader.count(1, MAX_VALUES))))


def _write_kinds(kinds: Sequence[str]) -> bytes:
    return prefixed(bytes(map(NETWORK_TYPES.index, kinds)))


def _kind(number: int) -> str:
    if number >= len(NETWORK_TYPES):
        raise BadRuleSet(f"the unknown kind of network {number}")
    return NETWORK_TYPES[number]


def _read_flag(reader: Reader) -> bool:
    return True


def _write_flag(value: bool) -> bytes:
    return b""


def _read_domains(reader: Reader) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Domains and suffixes."""
    domains, below, suffixes = set(), set(), set()
    for key in read_keys(reader):
        mark = key[:1]
        if mark == _WITH_BELOW:
            suffixes.add(key[1:])
        elif mark == _BELOW:
            below.add(key[1:])
        else:
            domains.add(key)
    for suffix in below:
        whole = suffix[1:] if suffix[:1] == "." else ""
        if whole and whole in domains:
            domains.remove(whole)
            suffixes.add(whole)
        else:
            suffixes.add(suffix)
    found = tuple(sorted(domains - suffixes)), tuple(sorted(suffixes))
    for names in found:
        _refuse_odd(names)
    return found


def _refuse_odd(names: Sequence[str]) -> None:
    """Marks within a name would make it mean something else."""
    if "" in names or _CONTROL.search("".join(names)):
        raise BadRuleSet("a name that is empty or has a control character")


def write_domains(domains: Sequence[str], suffixes: Sequence[str], version: int) -> bytes:
    """The trie of names that says this. Raises BadRuleSet."""
    _refuse_odd(domains)
    _refuse_odd(suffixes)
    keys, meant = [], set(suffixes)
    for suffix in meant:
        if suffix[0] == ".":
            keys.append(_BELOW + suffix)
        elif version == 1:
            keys += [suffix, f"{_BELOW}.{suffix}"]
        else:
            keys.append(_WITH_BELOW + suffix)
    if version == 1:
        meant |= {"." + suffix for suffix in suffixes}
    keys += [domain for domain in domains if domain not in meant]
    return write_keys(keys)


def _read_patterns(reader: Reader) -> tuple[str, ...]:
    return tuple(map(_pattern, read_keys(reader)))


def _pattern(key: str) -> str:
    start = {_BELOW: "", _WITH_BELOW: "||"}.get(key[:1], "|")
    text = key if start == "|" else key[1:]
    end = "" if text[-1:] == _OPEN_END else "^"
    text = text.removesuffix(_OPEN_END)
    _check_pattern(text, open_end=not end)
    return start + text + end


def _write_patterns(patterns: Iterable[str]) -> bytes:
    return write_keys(map(_pattern_key, patterns))


def _pattern_key(pattern: str) -> str:
    if pattern.startswith("||"):
        start, text = _WITH_BELOW, pattern[2:]
    elif pattern.startswith("|"):
        start, text = "", pattern[1:]
    else:
        start, text = _BELOW, pattern
    end = "" if text.endswith("^") else _OPEN_END
    text = text.removesuffix("." if end else "^")
    _check_pattern(text, open_end=bool(end))
    return start + text + end


def _check_pattern(text: str, *, open_end: bool) -> None:
    """What stands between the signs has none itself, and a dot says nothing before an open end."""
    _refuse_odd((text,))
    if "|" in text or "^" in text or (open_end and text.endswith(".")):
        raise BadRuleSet("a pattern with a sign where none can be")


def _read_ranges(reader: Reader) -> IpRanges:
    if reader.u8() != 1:
        raise BadRuleSet("addresses in an unknown form")
    count = int.from_bytes(reader.take(8), "big")
    if count * 10 > reader.left():
        raise BadRuleSet(CUT_OFF)
    if count > 2 * MAX_VALUES:
        raise BadRuleSet(f"more than {2 * MAX_VALUES} ranges of addresses")
    ranges: tuple[list[Bounds], list[Bounds]] = [], []
    for index in range(count):
        size = reader.u8()
        first = reader.take(size)
        if size not in (4, 16) or reader.u8() != size:
            raise BadRuleSet("an address of neither 4 nor 16 bytes", (index,))
        last = reader.take(size)
        if first > last:
            raise BadRuleSet("a range that ends before it begins", (index,))
        ranges[size == 16].append((int.from_bytes(first, "big"), int.from_bytes(last, "big")))
    return IpRanges.of(*ranges)


def _write_ranges(ranges: IpRanges) -> bytes:
    out = [b"\1", (len(ranges.four) + len(ranges.six)).to_bytes(8, "big")]
    for bounds, size in ((ranges.four, 4), (ranges.six, 16)):
        for first, last in bounds:
            out += [prefixed(first.to_bytes(size, "big")), prefixed(last.to_bytes(size, "big"))]
    return b"".join(out)


def _read_prefixes(reader: Reader) -> tuple[Interface, ...]:
    return tuple(_read_prefix(reader) for _ in range(reader.count(6, MAX_VALUES)))


def _read_prefix(reader: Reader) -> Interface:
    size = reader.u8()
    if size not in (4, 16):
        raise BadRuleSet("an address of neither 4 nor 16 bytes")
    raw, bits = reader.take(size), reader.u8()
    if bits > 8 * size:
        raise BadRuleSet("a prefix longer than its address")
    return IPv4Interface((raw, bits)) if size == 4 else IPv6Interface((raw, bits))


def _write_prefixes(prefixes: Sequence[Interface]) -> bytes:
    return uvarint(len(prefixes)) + b"".join(
        prefixed(prefix.packed) + bytes([prefix.network.prefixlen]) for prefix in prefixes
    )


def _read_by_kind(reader: Reader) -> tuple[tuple[str, tuple[Interface, ...]], ...]:
    found: dict[str, tuple[Interface, ...]] = {}
    for _ in range(reader.count(2, MAX_VALUES)):
        kind = _kind(reader.u8())
        if kind in found:
            raise BadRuleSet("given twice", (kind,))
        found[kind] = _read_prefixes(reader)
    return tuple(found.items())


def _write_by_kind(by_kind: Sequence[tuple[str, Sequence[Interface]]]) -> bytes:
    return uvarint(len(by_kind)) + b"".join(
        bytes([NETWORK_TYPES.index(kind)]) + _write_prefixes(prefixes) for kind, prefixes in by_kind
    )


class _Item(NamedTuple):
    number: int
    name: str
    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes] | None  # None: domains, whose form depends on the version


def _texts_item(number: int, name: str) -> _Item:
    return _Item(number, name, _read_texts, _write_texts)


# In the order in which they are written.
_ITEMS: Final = (
    _Item(0, "query_type", _read_numbers, _write_numbers),
    _Item(1, "network", _read_networks, _write_texts),
    _Item(2, "domain", _read_domains, None),
    _texts_item(3, "domain_keyword"),
    _texts_item(4, "domain_regex"),
    _Item(5, "source_ip_cidr", _read_ranges, _write_ranges),
    _Item(6, "ip_cidr", _read_ranges, _write_ranges),
    _Item(7, "source_port", _read_numbers, _write_numbers),
    _Item(8, "source_port_range", _read_port_ranges, _write_texts),
    _Item(9, "port", _read_numbers, _write_numbers),
    _Item(10, "port_range", _read_port_ranges, _write_texts),
    _texts_item(11, "process_name"),
    _texts_item(12, "process_path"),
    _texts_item(17, "process_path_regex"),
    _texts_item(13, "package_name"),
    _texts_item(23, "package_name_regex"),
    _Item(18, "network_type", _read_kinds, _write_kinds),
    _Item(19, "network_is_expensive", _read_flag, _write_flag),
    _Item(20, "network_is_constrained", _read_flag, _write_flag),
    _Item(21, "network_interface_address", _read_by_kind, _write_by_kind),
    _Item(22, "default_interface_address", _read_prefixes, _write_prefixes),
    _texts_item(14, "wifi_ssid"),
    _texts_item(15, "wifi_bssid"),
    _Item(16, "adguard_domain", _read_patterns, _write_patterns),
)
_BY_NUMBER: Final = {item.number: item for item in _ITEMS}


def write_srs(rules: Sequence[Headless], version: int = VERSION) -> bytes:
    """The file of these rules, in a version in which all their items exist. Raises BadRuleSet."""
    if not 1 <= version <= VERSION:
        raise BadRuleSet(f"version {version} is not known, only 1 to {VERSION}")
    if needed_version(rules) > version:
        raise BadRuleSet(f"`{_newest_item(rules)}` is known from version {needed_version(rules)} on, not in {version}")
    body = _write_rules(rules, ("rules",), version)
    return MAGIC + bytes([version]) + zlib.compress(body, 9)


def fitting_version(rules: Sequence[Headless], version: int) -> int:
    """The least version that holds all that `version` would, so that old readers take it. 1 stays, 2 is next."""
    return version if version < 2 else min(version, max(2, needed_version(rules)))


def _newest_item(rules: Iterable[Headless]) -> str:
    found = (_newest_item_of(rule) for rule in rules)
    return max(found, key=lambda item: SINCE.get(item, 1))


def _newest_item_of(rule: Headless) -> str:
    if isinstance(rule, HeadlessLogical):
        return _newest_item(rule.rules)
    return max((item for item in SINCE if getattr(rule, item)), key=SINCE.__getitem__, default="")


def _write_rules(rules: Sequence[Headless], at: KeyPath, version: int) -> bytes:
    return uvarint(len(rules)) + b"".join(_write_rule(rule, (*at, index), version) for index, rule in enumerate(rules))


def _write_rule(rule: Headless, at: KeyPath, version: int) -> bytes:
    invert = bytes([rule.invert])
    if isinstance(rule, HeadlessLogical):
        mode = bytes([1, _MODES.index(rule.mode)])
        return mode + _write_rules(rule.rules, (*at, "rules"), version) + invert
    out = [b"\0"]
    for item in _ITEMS:
        value = getattr(rule, item.name)
        if value or (item.write is None and rule.domain_suffix):
            try:
                out += [bytes([item.number]), _write_item(item, value, rule, version)]
            except BadRuleSet as error:
                raise BadRuleSet(error.fault, (*at, item.name)) from None
    return b"".join(out) + bytes([_FINAL]) + invert


def _write_item(item: _Item, value: Any, rule: HeadlessRule, version: int) -> bytes:
    if item.write is None:
        return write_domains(rule.domain, rule.domain_suffix, version)
    return item.write(value)
