"""The databases that rules ask about addresses and domains: opened when the first rule asks, and once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache

from gproxy.base.errors import ConfigError
from gproxy.route.context import Parts
from gproxy.route.geo import AsnOf, Countries, InCountry, open_asns, open_countries
from gproxy.route.options import RouteOptions
from gproxy.route.sites import Sites, open_sites, site_parts


def countries(route: RouteOptions) -> Countries:
    """The database of countries. It raises ConfigError."""

    @cache
    def opened() -> Countries:
        return open_countries(_path(route.geoip.path, "geoip"))

    def one_of(codes: Collection[str]) -> InCountry:
        return opened()(codes)

    return one_of


def asns(route: RouteOptions) -> Callable[[], AsnOf]:
    """What opens the database of autonomous systems. It raises ConfigError."""

    @cache
    def opened() -> AsnOf:
        return open_asns(_path(route.asn.path, "asn"))

    return opened


def sites(route: RouteOptions) -> Callable[[Sequence[str]], Parts]:
    """What makes conditions of lists of domains. It raises ConfigError, also for lists that are not there."""

    @cache
    def opened() -> Sites:
        return open_sites(_path(route.geosite.path, "geosite"))

    return lambda codes: site_parts(opened(), codes)


def _path(path: str, table: str) -> str:
    if not path:
        raise ConfigError(f"a rule asks for it, but `route.{table}.path` is not there")
    return path
