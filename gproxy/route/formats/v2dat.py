"""v2ray's databases: `geosite.dat`, lists of domains by name, and `geoip.dat`, lists of prefixes by country.

Both are protocol buffers: fields of a number and a value, a list being a field that comes again and again.

    geosite   1 entry: { 1 code, 2 domain: { 1 type (0 keyword, 1 expression, 2 suffix, 3 domain), 2 value,
                                             3 attribute: { 1 key } } }
    geoip     1 entry: { 1 code, 2 prefix: { 1 address, 2 length }, 3 inverse }
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gproxy.base.address import IP
from gproxy.route.formats.binary import Reader
from gproxy.route.formats.geosite import domain_rule
from gproxy.route.headless import BadRuleSet, HeadlessRule
from gproxy.route.prefixes import IpRanges
from gproxy.route.ranges import Bounds

MAX_VALUES: Final = 2**22
"""In the list of one code."""
MAX_CODES: Final = 2**17

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ITEMS: Final = ("domain_keyword", "domain_regex", "domain_suffix", "domain")

Field = tuple[int, int | bytes]


class GeositeDat:
    """Lists of domains. They are read when they are asked for."""

    __slots__ = ("_entries",)

    def __init__(self, data: bytes) -> None:
        """Raises BadRuleSet."""
        self._entries = _entries(data)

    def codes(self) -> Mapping[str, int]:
        """How many items each list has, by code in lower case. Raises BadRuleSet."""
        return {code: sum(1 for _ in _all(entry, 2)) for code, entry in self._entries.items()}

    def rule(self, code: str) -> HeadlessRule:
        """One of the lists. `code@attribute` is the part of it that has this attribute, and there may be several.

        Raises KeyError if there is none of this code, and BadRuleSet.
        """
        name, *attributes = code.lower().split("@")
        wanted = frozenset(attributes)
        found: dict[str, list[str]] = {item: [] for item in _ITEMS}
        for count, domain in enumerate(_all(self._entries[name], 2)):
            if count >= MAX_VALUES:
                raise BadRuleSet(f"more than {MAX_VALUES} values in a list")
            kind, value, has = _domain(domain)
            if wanted <= has:
                found[_ITEMS[kind]].append(value)
        return domain_rule(found)


class GeoipDat:
    """Lists of prefixes. They are read when they are asked for."""

    __slots__ = ("_entries",)

    def __init__(self, data: bytes) -> None:
        """Raises BadRuleSet."""
        self._entries = _entries(data)

    def codes(self) -> list[str]:
        """The codes, in lower case and in order."""
        return sorted(self._entries)

    def lookup(self, ip: IP) -> str:
        """The first code whose list has the address; empty if none has it. Raises BadRuleSet."""
        number, wide = int(ip), ip.version == 6
        for code in self.codes():
            rule = self.rule(code)
            ranges = rule.ip_cidr.six if wide else rule.ip_cidr.four
            if any(first <= number <= last for first, last in ranges) != rule.invert:
                return code
        return ""

    def rule(self, code: str) -> HeadlessRule:
        """One of the lists. Raises KeyError if there is none of this code, and BadRuleSet."""
        four: list[Bounds] = []
        six: list[Bounds] = []
        invert = False
        for number, value in _fields(self._entries[code.lower()]):
            if number == 2:
                first, last, wide = _prefix(_bytes(value))
                (six if wide else four).append((first, last))
                if len(four) + len(six) > MAX_VALUES:
                    raise BadRuleSet(f"more than {MAX_VALUES} values in a list")
            elif number == 3:
                invert = value != 0
        if not four and not six:
            raise BadRuleSet("an empty list")
        return HeadlessRule(ip_cidr=IpRanges.of(four, six), invert=invert)


def is_dat(data: bytes) -> bool:
    """Whether these bytes begin like one of v2ray's databases, and unlike any other here."""
    return data[:1] == b"\n"


def _entries(data: bytes) -> dict[str, bytes]:
    entries: dict[str, bytes] = {}
    for entry in _all(data, 1):
        code = _text(next(_all(entry, 1), b"")).lower()
        if not code or code in entries:
            raise BadRuleSet("a list without a code, or with one that another has")
        entries[code] = entry
        if len(entries) > MAX_CODES:
            raise BadRuleSet(f"more than {MAX_CODES} lists")
    if not entries:
        raise BadRuleSet("not a database of v2ray: there is no list")
    return entries


def _domain(data: bytes) -> tuple[int, str, frozenset[str]]:
    kind, value, has = 0, "", []
    for number, field in _fields(data):
        if number == 1:
            kind = field if isinstance(field, int) else len(_ITEMS)
        elif number == 2:
            value = _text(_bytes(field))
        elif number == 3:
            has.append(_text(next(_all(_bytes(field), 1), b"")))
    if not value or kind >= len(_ITEMS):
        raise BadRuleSet("an empty domain, or one of an unknown type")
    return kind, value, frozenset(has)


def _prefix(data: bytes) -> tuple[int, int, bool]:
    address, length = b"", 0
    for number, field in _fields(data):
        if number == 1:
            address = _bytes(field)
        elif number == 2 and isinstance(field, int):
            length = field
    width = 8 * len(address)
    if width not in (32, 128) or length > width:
        raise BadRuleSet("an address of neither 4 nor 16 bytes, or a prefix longer than its address")
    free = width - length
    first = int.from_bytes(address, "big") >> free << free
    return first, first + (1 << free) - 1, width == 128


def _all(data: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one field, which are bytes."""
    for number, value in _fields(data):
        if number == wanted:
            yield _bytes(value)


def _fields(data: bytes) -> Iterator[Field]:
    reader = Reader(data)
    while reader.left():
        key = reader.uvarint()
        number, kind = key >> 3, key & 7
        if kind == _BYTES:
            yield number, reader.take(reader.uvarint())
        elif kind == _VARINT:
            yield number, reader.uvarint()
        elif kind in (_FIXED64, _FIXED32):
            reader.take(8 if kind == _FIXED64 else 4)
        else:
            raise BadRuleSet("not a database of v2ray: no protocol buffer")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise BadRuleSet("a number where a text should be")
    return value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadRuleSet("text that is not UTF-8") from None
