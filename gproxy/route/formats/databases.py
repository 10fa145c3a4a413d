"""Databases of countries and of sites, whichever of their formats it is: it shows in the first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gproxy.base.address import IP
from gproxy.route.headless import HeadlessRule


class Countries(Protocol):
    """Prefixes by country."""

    def codes(self) -> list[str]:
        """The codes, in lower case and in order. Raises BadRuleSet."""

    def lookup(self, ip: IP) -> str:
        """The code of an address; empty if there is none. Raises BadRuleSet."""

    def rule(self, code: str) -> HeadlessRule:
        """What one code says. Raises KeyError for one that is not there, and BadRuleSet."""


class Sites(Protocol):
    """Lists of domains by name."""

    def codes(self) -> Mapping[str, int]:
        """How many items each list has, by code. Raises BadRuleSet."""

    def rule(self, code: str) -> HeadlessRule:
        """What one list says. Raises KeyError for one that is not there, and BadRuleSet."""


def read_countries(data: bytes) -> Countries:
    """A database in MaxMind's format (sing-box's geoip.db is one), or v2ray's geoip.dat. Raises BadRuleSet."""
    from gproxy.route.formats.geoip import GeoipDb
    from gproxy.route.formats.v2dat import GeoipDat, is_dat

    return GeoipDat(data) if is_dat(data) else GeoipDb(data)


def read_sites(data: bytes) -> Sites:
    """sing-box's geosite.db, or v2ray's geosite.dat. Raises BadRuleSet."""
    from gproxy.route.formats.geosite import GeositeDb
    from gproxy.route.formats.v2dat import GeositeDat, is_dat

    return GeositeDat(data) if is_dat(data) else GeositeDb(data)
