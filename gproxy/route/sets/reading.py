"""Rules out of files, of whatever format a rule set may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from gproxy.route.headless import BadRuleSet, Headless, HeadlessRule
from gproxy.route.sets.options import DATABASES, Format


class Read(NamedTuple):
    """What a file holds, and how many of its entries have no place in rules."""

    rules: Sequence[Headless]
    dropped: int = 0


class _Database(Protocol):
    def rule(self, code: str) -> HeadlessRule: ...


def rules_in(data: bytes, form: Format, codes: Sequence[str] = ()) -> Read:
    """The rules of a file; of a database, a rule for each list of these codes. Raises BadRuleSet."""
    if form in DATABASES:
        return Read(_lists(_sites(data) if form == "geosite" else _places(data), codes))
    return _READERS[form](data)


def _lists(database: _Database, codes: Sequence[str]) -> Sequence[Headless]:
    rules: list[Headless] = []
    for code in codes:
        try:
            rules.append(database.rule(code.lower()))
        except KeyError:
            raise BadRuleSet(f"there is no list of the code `{code}` in it") from None
    return rules


def _sites(data: bytes) -> _Database:
    from gproxy.route.formats.geosite import GeositeDb
    from gproxy.route.formats.v2dat import GeositeDat, is_dat

    return GeositeDat(data) if is_dat(data) else GeositeDb(data)


def _places(data: bytes) -> _Database:
    from gproxy.route.formats.geoip import GeoipDb
    from gproxy.route.formats.v2dat import GeoipDat, is_dat

    return GeoipDat(data) if is_dat(data) else GeoipDb(data)


def _source(data: bytes) -> Read:
    from gproxy.route.formats.source import read_source

    return Read(read_source(data).rules)


def _binary(data: bytes) -> Read:
    from gproxy.route.formats.srs import read_srs

    return Read(read_srs(data).rules)


def _mihomo(data: bytes) -> Read:
    from gproxy.route.formats.mihomo import read_mihomo

    found = read_mihomo(data)
    return Read(found.rules, found.dropped.total())


def _adguard(data: bytes) -> Read:
    from gproxy.route.formats.adguard import read_adguard

    found = read_adguard(data)
    return Read(found.rules, found.dropped.total())


_READERS: Final[Mapping[Format, Callable[[bytes], Read]]] = {
    "source": _source, "binary": _binary, "mihomo": _mihomo, "adguard": _adguard,
}  # fmt: skip
