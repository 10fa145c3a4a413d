"""Sets of IP prefixes."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from gproxy.base.address import IP
from gproxy.route.ranges import WideRanges, boundaries

Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")

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

    __slots__ = ("_four", "_six")

    def __init__(self, networks: Iterable[Network]) -> None:
        four, six = [], []
        for network in networks:
            first, last = int(network.network_address), int(network.broadcast_address)
            if isinstance(network, IPv4Network):
                four.append((first, last))
            elif network.subnet_of(_MAPPED):  # sessions have such addresses unwrapped
                four.append((first & 0xFFFFFFFF, last & 0xFFFFFFFF))
            else:
                six.append((first, last))
        self._four = array("I", boundaries(four, 32))
        self._six = WideRanges(six)

    def __contains__(self, ip: IP) -> bool:
        if type(ip) is IPv4Address:
            return bisect_right(self._four, int(ip)) & 1 == 1
        return int(ip) in self._six
