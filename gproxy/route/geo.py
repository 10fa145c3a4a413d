"""Which country an address is in, and which autonomous system: databases in MaxMind's format.

The country is told by databases of MaxMind and of those who follow it, by sing-box's own kind (`sing-geoip`), whose
records are just a code, and by v2ray's `geoip.dat`, of which only the countries that rules name are kept. A database is
copied into memory that belongs to nobody else, so that whoever overwrites the file can't pull it away from under us;
worker processes share that copy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gproxy.base.address import IP
from gproxy.base.errors import ConfigError
from gproxy.route.cidrs import CidrSet

if TYPE_CHECKING:
    from maxminddb.reader import Reader

LARGEST = 512 * 2**20
_REMEMBERED = 4096
_PIECE = 2**20

InCountry = Callable[[IP], bool]
"""Whether an address is in one of some countries."""

Countries = Callable[[Collection[str]], InCountry]
"""From codes, in lower case, to what tells whether an address is in one of these countries. Raises ConfigError."""

AsnOf = Callable[[IP], int]
"""The number of an address's autonomous system, or 0."""


def open_countries(path: str) -> Countries:
    """A database of countries. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            first = file.read(1)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if first == b"\n":  # v2ray's
        return lambda codes: _listed(path, codes)
    look_up = _open(path)

    @lru_cache(_REMEMBERED)
    def countries(ip: IP) -> frozenset[str]:
        return codes_of(look_up(ip))

    def one_of(codes: Collection[str]) -> InCountry:
        wanted = frozenset(codes)
        return lambda ip: not wanted.isdisjoint(countries(ip))

    return one_of


def _listed(path: str, codes: Collection[str]) -> InCountry:
    from gproxy.route.formats.v2dat import GeoipDat
    from gproxy.route.headless import BadRuleSet

    try:
        lists = GeoipDat(read_whole(path))
        rules = [lists.rule(code) for code in codes]
    except BadRuleSet as error:
        raise ConfigError(f"{path}: {error}") from None
    except KeyError as error:
        raise ConfigError(f"{path}: there is no country `{error.args[0]}`") from None
    sets = [(CidrSet.of(rule.ip_cidr.four, rule.ip_cidr.six), rule.invert) for rule in rules]
    return lambda ip: any((ip in each) != invert for each, invert in sets)


def read_whole(path: str) -> bytes:
    """A database's bytes. Raises ConfigError."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if len(data) > LARGEST:
        raise ConfigError(f"{path}: larger than {LARGEST // 2**20} MiB")
    return data


def open_asns(path: str) -> AsnOf:
    """What tells the number of an address's autonomous system, or 0. Raises ConfigError."""
    look_up = _open(path)

    @lru_cache(_REMEMBERED)
    def asn(ip: IP) -> int:
        return asn_of(look_up(ip))

    return asn


def _open(path: str) -> Callable[[IP], Any]:
    import maxminddb

    try:
        copy = _copied(path)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    try:
        database: Reader = maxminddb.open_database(f"/proc/self/fd/{copy}")
    except (maxminddb.InvalidDatabaseError, OSError, ValueError):
        raise ConfigError(f"{path}: no database in MaxMind's format") from None
    finally:
        os.close(copy)  # it stays mapped

    def look_up(ip: IP) -> Any:
        try:
            return database.get(ip)
        except (maxminddb.InvalidDatabaseError, ValueError):  # damaged, or without IPv6
            return None

    return look_up


def _copied(path: str) -> int:
    """The descriptor of a file in memory. Raises OSError."""
    copy = os.memfd_create("database", os.MFD_CLOEXEC)
    try:
        with open(path, "rb") as file:
            size = 0
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > LARGEST:
                    raise OSError(0, f"larger than {LARGEST // 2**20} MiB")
                while piece:
                    piece = piece[os.write(copy, piece) :]
    except BaseException:
        os.close(copy)
        raise
    return copy


def codes_of(record: object) -> frozenset[str]:
    """The codes in a record of any of the kinds there are; none in any other."""
    if isinstance(record, str):
        return frozenset((record.lower(),))
    if isinstance(record, list):  # mihomo's own kind
        return frozenset(code.lower() for code in record if isinstance(code, str))
    if not isinstance(record, dict):
        return frozenset()
    country, registered = record.get("country"), record.get("registered_country")
    for code in (
        country.get("iso_code") if isinstance(country, dict) else None,
        record.get("country_code"),
        country,
        registered.get("iso_code") if isinstance(registered, dict) else None,
    ):
        if isinstance(code, str) and code:
            return frozenset((code.lower(),))
    return frozenset()


def asn_of(record: object) -> int:
    """The number in a record of a database of autonomous systems; 0 in any other."""
    if not isinstance(record, dict):
        return 0
    for key in ("autonomous_system_number", "asn"):
        found = record.get(key)
        if isinstance(found, int):
            return found
        if isinstance(found, str):
            digits = found.upper().removeprefix("AS")
            if digits.isascii() and digits.isdigit() and len(digits) <= 10:
                return int(digits)
    return 0
