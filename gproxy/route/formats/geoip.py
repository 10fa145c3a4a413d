"""MaxMind's databases by country, and sing-box's own kind of them (`sing-geoip`): which codes, and whose prefixes.

What a route rule asks of such a database is in `gproxy.route.geo`; here it is gone through as a whole. The reader is
the library's in Python, whose ways with a damaged tree are known: it raises, or it goes on, and then what it gives is
counted.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from gproxy.base.address import IP
from gproxy.route.geo import codes_of
from gproxy.route.headless import BadRuleSet, HeadlessRule
from gproxy.route.prefixes import IpRanges
from gproxy.route.ranges import Bounds

if TYPE_CHECKING:
    from maxminddb.reader import Reader

MAX_NETWORKS: Final = 2**22

_SING: Final = "sing-geoip"
_DAMAGED = "damaged: its tree leads nowhere"


class GeoipDb:
    """A database that tells a country."""

    __slots__ = ("_reader",)

    def __init__(self, data: bytes) -> None:
        """Raises BadRuleSet."""
        import maxminddb

        try:
            self._reader: Reader = maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD)
        except (maxminddb.InvalidDatabaseError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
            raise BadRuleSet("not a database in MaxMind's format") from None

    def codes(self) -> list[str]:
        """The codes of its countries, in lower case and in order. Raises BadRuleSet."""
        described = self._reader.metadata()
        if described.database_type == _SING:
            return sorted(code.lower() for code in described.languages)
        return sorted({code for _, codes in self._networks() for code in codes})

    def lookup(self, ip: IP) -> str:
        """The code of an address, in lower case; empty if the database has none. Raises BadRuleSet."""
        import maxminddb

        try:
            record = self._reader.get(ip)
        except (maxminddb.InvalidDatabaseError, LookupError, TypeError, RecursionError, OverflowError):
            raise BadRuleSet(_DAMAGED) from None
        except ValueError:  # an IPv6 address, and a database without any
            return ""
        return min(codes_of(record), default="")

    def rule(self, code: str) -> HeadlessRule:
        """The prefixes of one code. Raises KeyError if the database does not have it, and BadRuleSet."""
        four: list[Bounds] = []
        six: list[Bounds] = []
        for network, codes in self._networks():
            if code.lower() in codes:
                bounds = int(network.network_address), int(network.broadcast_address)
                (four if network.version == 4 else six).append(bounds)
        if not four and not six:
            raise KeyError(code)
        return HeadlessRule(ip_cidr=IpRanges.of(four, six))

    def _networks(self) -> Iterator[tuple[Any, frozenset[str]]]:
        import maxminddb

        try:
            for count, (network, record) in enumerate(self._reader):
                if count >= MAX_NETWORKS:
                    raise BadRuleSet(f"more than {MAX_NETWORKS} networks")
                yield network, codes_of(record)
        except (maxminddb.InvalidDatabaseError, ValueError, LookupError, TypeError, RecursionError, OverflowError):
            raise BadRuleSet(_DAMAGED) from None
