"""A rule set made ready: one piece of bytes, in which nothing that is large has to be parsed.

    +------+--------+------+---------+
    | trie | bounds | JSON | trailer |
    +------+--------+------+---------+

`trie` has the domains of all rules with many of them, as libmarisa maps it: so it stands first. `bounds` are the
boundaries of prefixes, as machine words. JSON is the rules, which name parts of both. The trailer says how long these
are, and has their CRC-32: libmarisa trusts what it maps. The form belongs to one machine and one version, and what is
not of these is refused.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gproxy.route.cidrs import CidrSet
from gproxy.route.domains import MANY, folded, make_trie, trie_keys
from gproxy.route.headless import BadRuleSet, Headless, HeadlessRule
from gproxy.route.prefixes import IpRanges
from gproxy.route.ranges import WideRanges
from gproxy.route.regex import RegexError, compile_regex
from gproxy.route.sets.adguard import translate
from gproxy.route.sets.joining import joined

VERSION: Final = 2
"""Of the form. It changes whenever the same source would be made into other bytes."""

_MAGIC: Final = b"gpx-set\n"
_TRAILER: Final = struct.Struct("<8sHcBQQQI")
_ORDER: Final = sys.byteorder[:1].encode()

# What is asked of the surroundings and of the question, and copied as it is. The rest is made ready.
_COPIED: Final = (
    "query_type", "network", "process_name", "process_path", "process_path_regex", "package_name",
    "package_name_regex", "network_type", "network_is_expensive", "network_is_constrained", "wifi_ssid", "wifi_bssid",
)  # fmt: skip


class BadPacked(ValueError):
    """Bytes that are no rule set made ready, or not for this machine and version, or not all of one."""


def pack(rules: Sequence[Headless]) -> bytes:
    """Make a rule set ready. Raises BadRuleSet for an expression that is none."""
    packer = _Packer()
    table = {"alone": len(rules) == 1, "rules": [packer.rule(rule) for rule in joined(rules)]}
    tree = json.dumps(table, separators=(",", ":")).encode()
    trie = packer.trie()
    bounds = bytes(packer.bounds)
    body = trie + bounds + tree
    return body + _TRAILER.pack(_MAGIC, VERSION, _ORDER, 0, len(trie), len(bounds), len(tree), zlib.crc32(body))


class _Packer:
    """Collects what is large."""

    def __init__(self) -> None:
        self.bounds = bytearray()
        self._keys: list[str] = []
        self._sets = 0

    def trie(self) -> bytes:
        """All domains, with zeros behind them so that words may follow."""
        if not self._keys:
            return b""
        data: bytes = make_trie(self._keys).tobytes()
        return data + bytes(-len(data) % 8)

    def rule(self, rule: Headless) -> dict[str, Any]:
        """The rule as JSON."""
        if not isinstance(rule, HeadlessRule):
            return {"mode": rule.mode, "rules": [self.rule(each) for each in rule.rules], "invert": rule.invert}
        table: dict[str, Any] = {name: value for name in _COPIED if (value := getattr(rule, name))}
        listed = translate(rule.adguard_domain)
        self._domains(table, (*rule.domain, *listed.domain), (*rule.domain_suffix, *listed.suffix))
        if rule.domain_keyword:
            table["domain_keyword"] = list(folded(rule.domain_keyword))
        if expressions := (*rule.domain_regex, *listed.regex):
            table["domain_regex"] = expressions
        self._addresses(table, rule)
        for name, ports in (("source_port", rule.source_ports()), ("port", rule.ports())):
            if ports:
                table[name] = ports
        _check_expressions(rule)
        return {"items": table, "invert": rule.invert}

    def _domains(self, table: dict[str, Any], domains: Iterable[str], suffixes: Iterable[str]) -> None:
        exact, below = list(folded(domains)), list(folded(suffixes))
        if len(exact) + len(below) >= MANY:
            self._keys += trie_keys(exact, below, self._sets)
            table["domains"] = self._sets
            self._sets += 1
        elif domains or suffixes:
            table["domains"] = [exact, below]

    def _addresses(self, table: dict[str, Any], rule: HeadlessRule) -> None:
        for name in ("source_ip_cidr", "ip_cidr"):
            ranges: IpRanges = getattr(rule, name)
            if ranges:
                table[name] = self._bounds(CidrSet.of(ranges.four, ranges.six))
        if rule.network_interface_address:
            table["network_interface_address"] = {
                kind: [str(each) for each in addresses] for kind, addresses in rule.network_interface_address
            }
        if rule.default_interface_address:
            table["default_interface_address"] = [str(each) for each in rule.default_interface_address]

    def _bounds(self, cidrs: CidrSet) -> tuple[int, int, int]:
        """Where the boundaries stand, and how many there are of either family. Those of IPv6, in halves, come first."""
        at = len(self.bounds)
        for words in (cidrs.six.high, cidrs.six.low, cidrs.four):
            self.bounds += words.tobytes()
        self.bounds += bytes(-len(self.bounds) % 8)
        return at, len(cidrs.six.high), len(cidrs.four)


def _check_expressions(rule: HeadlessRule) -> None:
    for name in ("domain_regex", "process_path_regex", "package_name_regex"):
        for expression in getattr(rule, name):
            try:
                compile_regex(expression)
            except RegexError as error:
                raise BadRuleSet(f"{name}: expected a regular expression of RE2: {error}") from None


class Packed:
    """A rule set made ready, in memory that is shared with whoever else has the descriptor.

    `alone`: it was made of one rule. Of several, there may be fewer `rules` now that match the same.
    """

    __slots__ = ("_bounds", "alone", "rules", "trie")

    def __init__(self, descriptor: int) -> None:
        """Map it. The descriptor stays the caller's, and may be closed. Raises BadPacked, and OSError."""
        size = os.fstat(descriptor).st_size
        if size < _TRAILER.size:
            raise BadPacked("cut off")
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as data:
            trie, bounds, tree = _lengths(data)
            self._bounds = data[trie : trie + bounds]
            table = json.loads(data[trie + bounds : trie + bounds + tree])
        self.alone: bool = table["alone"]
        self.rules: list[dict[str, Any]] = table["rules"]
        self.trie = _mapped_trie(descriptor) if trie else None

    def cidrs(self, place: Sequence[int]) -> CidrSet:
        """The prefixes that stand there."""
        at, wide, narrow = place
        words: list[array[int]] = []
        for kind, count in (("Q", wide), ("Q", wide), ("I", narrow)):
            words.append(array(kind))
            end = at + count * words[-1].itemsize
            words[-1].frombytes(self._bounds[at:end])
            at = end
        return CidrSet.sorted(words[2], WideRanges.sorted(words[0], words[1]))


def _lengths(data: mmap.mmap) -> tuple[int, int, int]:
    """How long the trie, the bounds and the JSON are, if all of it is as it was made."""
    magic, version, order, zero, trie, bounds, tree, check = _TRAILER.unpack(data[-_TRAILER.size :])
    if magic != _MAGIC or (version, order, zero) != (VERSION, _ORDER, 0):
        raise BadPacked("of another version, or no rule set at all")
    if trie + bounds + tree + _TRAILER.size != len(data):
        raise BadPacked("not all of it")
    with memoryview(data) as view, view[: -_TRAILER.size] as body:
        if zlib.crc32(body) != check:
            raise BadPacked("not as it was written")
    return trie, bounds, tree


def _mapped_trie(descriptor: int) -> Any:
    import marisa_trie

    trie = marisa_trie.Trie()
    trie.mmap(f"/proc/self/fd/{descriptor}")
    return trie


def in_memory(data: bytes) -> int:
    """The descriptor of a memory file with these bytes, which is the caller's to close. Raises OSError."""
    descriptor = os.memfd_create("gproxy-rule-set", os.MFD_CLOEXEC)
    try:
        _write(descriptor, data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def from_file(path: Path) -> int:
    """The same with what is in a file: nobody can cut it off while it is mapped. Raises OSError."""
    return in_memory(path.read_bytes())
