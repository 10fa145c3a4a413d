"""sing-box's `geosite.db`: lists of domains by name.

    0 u8, count uvarint, and for each list its code, where its items begin (counted from the end of this table) and
    how many there are, both uvarint; then the items: kind u8 (0 domain, 1 suffix, 2 keyword, 3 expression) and value

Texts have their length before them, as uvarint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gproxy.route.formats.binary import Reader, prefixed, utf8, uvarint
from gproxy.route.headless import BadRuleSet, HeadlessRule

MAX_CODES: Final = 2**17

_ITEMS: Final = ("domain", "domain_suffix", "domain_keyword", "domain_regex")


class _Place(NamedTuple):
    at: int
    items: int


class GeositeDb:
    """A database. Its lists are read when they are asked for."""

    __slots__ = ("_data", "_places")

    def __init__(self, data: bytes) -> None:
        """Raises BadRuleSet."""
        reader = Reader(data)
        if reader.u8() != 0:
            raise BadRuleSet("not a geosite.db, or one of an unknown version")
        self._data = data
        self._places: dict[str, _Place] = {}
        for _ in range(reader.count(3, MAX_CODES)):
            code = reader.text()
            if not code or code in self._places:
                raise BadRuleSet("a list without a code, or with one that another has")
            self._places[code] = _Place(reader.uvarint(), reader.uvarint())
        if 2 * sum(place.items for place in self._places.values()) > reader.left():
            raise BadRuleSet("lists with more items than there is room for")
        for code, place in self._places.items():
            self._places[code] = _Place(reader.at + place.at, place.items)

    def codes(self) -> Mapping[str, int]:
        """How many items each list has, by code."""
        return {code: place.items for code, place in self._places.items()}

    def rule(self, code: str) -> HeadlessRule:
        """One of the lists. Raises KeyError if there is none of this code, and BadRuleSet."""
        place = self._places[code]
        reader = Reader(self._data, place.at)
        found: dict[str, list[str]] = {item: [] for item in _ITEMS}
        for _ in range(place.items):
            kind, value = reader.u8(), reader.text()
            if kind >= len(_ITEMS) or not value:
                raise BadRuleSet(f"an item of the unknown kind {kind}, or an empty one, in the list {code!r}")
            found[_ITEMS[kind]].append(value)
        return domain_rule(found)


def domain_rule(found: Mapping[str, Sequence[str]]) -> HeadlessRule:
    """The rule of a list: what it says, by item. Raises BadRuleSet if that is nothing, which would match anything."""
    if not any(found.values()):
        raise BadRuleSet("an empty list")
    values: dict[str, Any] = {item: tuple(dict.fromkeys(texts)) for item, texts in found.items()}
    return HeadlessRule(**values)


def write_geosite(lists: Mapping[str, HeadlessRule]) -> bytes:
    """A database of these lists, of which only what they say of domains is taken. Raises BadRuleSet."""
    table, items, at = [b"\0", uvarint(len(lists))], [], 0
    for code in sorted(lists):
        values = [
            bytes([kind]) + prefixed(utf8(value))
            for kind, item in enumerate(_ITEMS)
            for value in getattr(lists[code], item)
        ]
        table.append(prefixed(utf8(code)) + uvarint(at) + uvarint(len(values)))
        items += values
        at += sum(map(len, values))
    return b"".join(table + items)
