"""Sets of IP prefixes."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from gproxy.base.address import IP
from gproxy.route.ranges import Bounds, WideRanges, boundaries

Network = IPv4Network | IPv6Network

# Of so many boundaries it is noted where those of each block of addresses begin: most of the search is saved.
_INDEXED = 512
_BLOCK = 20  # bits of the addresses of a block

_MAPPED = IPv6Network("::ffff:0:0/96")
_MAPPED_FIRST, _MAPPED_LAST = int(_MAPPED.network_address), int(_MAPPED.broadcast_address)

NOT_PUBLIC: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7",  # private use: RFC 1918, RFC 4193
        "127.0.0.0/8", "::1/128",  # loopback
        "169.254.0.0/16", "fe80::/10",  # link-local
        "224.0.0.0/4", "ff00::/8",  # multicast
        "0.0.0.0/32", "::/128",  # unspecified
    )
)  # fmt: skip
"""What `ip_is_private` means, as in sing-box: not shared (100.64.0.0/10), documentation and reserved addresses."""


class CidrSet:
    """A set of prefixes of both families. Membership costs one binary search, whatever their number."""

    __slots__ = ("_index", "four", "six")

    def __init__(self, networks: Iterable[Network]) -> None:
        four: list[Bounds] = []
        six: list[Bounds] = []
        for network in networks:
            bounds = int(network.network_address), int(network.broadcast_address)
            (four if isinstance(network, IPv4Network) else six).append(bounds)
        self._hold(*_unmapped(four, six))

    @classmethod
    def of(cls, four: Iterable[Bounds], six: Iterable[Bounds]) -> CidrSet:
        """The set of these ranges of addresses."""
        made = cls.__new__(cls)
        made._hold(*_unmapped(four, six))
        return made

    @classmethod
    def sorted(cls, four: array[int], six: WideRanges) -> CidrSet:
        """The set of these boundaries, as another one had them."""
        made = cls.__new__(cls)
        made._hold(four, six)
        return made

    def _hold(self, four: array[int], six: WideRanges) -> None:
        self.four, self.six = four, six
        blocks = range(0, 2**32, 2**_BLOCK) if len(four) >= _INDEXED else ()
        self._index = array("I", [bisect_right(four, first) for first in blocks])
        self._index.append(len(four))

    def __contains__(self, ip: IP) -> bool:
        if type(ip) is IPv4Address:
            number: int = ip._ip  # type: ignore[attr-defined]  # int() asks for it by a call of a Python function
            index = self._index
            if len(index) > 1:
                block = number >> _BLOCK
                return bisect_right(self.four, number, index[block], index[block + 1]) & 1 == 1
            return bisect_right(self.four, number) & 1 == 1
        return int(ip) in self.six


def _unmapped(four: Iterable[Bounds], six: Iterable[Bounds]) -> tuple[array[int], WideRanges]:
    """The boundaries; those of IPv4-mapped prefixes are IPv4's, since sessions have such addresses unwrapped."""
    narrow, wide = list(four), []
    for first, last in six:
        if first >= _MAPPED_FIRST and last <= _MAPPED_LAST:
            narrow.append((first & 0xFFFFFFFF, last & 0xFFFFFFFF))
        else:
            wide.append((first, last))
    return array("I", boundaries(narrow, 32)), WideRanges(wide)
