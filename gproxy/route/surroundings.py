"""How this machine is connected: its interfaces and their addresses, which of them leads to the world, its Wi-Fi.

The kernel tells of changes; whether it has is looked up before a walk over rules that ask, and only then anything is
read anew. Rules only read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from gproxy.base.clock import now
from gproxy.net.netlink import Changes, Netlink
from gproxy.wire import netlink as wire

_log = logging.getLogger("gproxy.route")

Prefix = IPv4Network | IPv6Network

# RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_LEAST = 0.25  # seconds between two readings: routes may change a thousand times a second
_WIFI_SECONDS = 5.0  # going from one access point to another is no change of a link
_MOST_LINKS = 4096
_MOST_RADIOS = 16


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How things stood when it was read."""

    addresses: Mapping[str, Sequence[Prefix]] = field(default_factory=dict)  # by interface: the networks it is in
    default: str = ""  # the interface that leads to the world
    wifi: Sequence[wire.Wifi] = ()


class Watch:
    """Keeps `now` up to date; whoever is about to read it calls `refresh` before."""

    def __init__(self) -> None:
        self.now = Surroundings()
        self._changes = Changes(_GROUPS)
        self._routes = Netlink(wire.ROUTE)
        self._generic = Netlink(wire.GENERIC)
        self._stale = True
        self._again = 0.0  # when it may be read again
        self._wifi_until = 0.0
        self._wifi_family: int | None = None  # not known yet; 0: this kernel has none
        self._told = False

    def refresh(self, *, wifi: bool = False) -> None:
        """Read anew what has changed. Never raises; what can't be read stays as it was."""
        try:
            self._stale = self._changes.happened() or self._stale
            if self._stale and now() >= self._again:
                self._again = now() + _LEAST
                addresses = self._addresses()
                self.now = Surroundings(addresses[0], self._default(addresses[1]), self.now.wifi)
                self._stale = False
                self._wifi_until = 0.0
            if wifi and now() >= self._wifi_until:
                self._wifi_until = now() + _WIFI_SECONDS
                self.now = Surroundings(self.now.addresses, self.now.default, self._wifi())
        except OSError as error:
            self._tell(f"the state of this machine's interfaces can't be read: {error.strerror}")

    def close(self) -> None:
        """Give back what the kernel is asked with. Idempotent; another look opens it again."""
        self._changes.close()
        self._routes.close()
        self._generic.close()

    def _addresses(self) -> tuple[dict[str, list[Prefix]], dict[int, str]]:
        answer = self._routes.ask(wire.GET_LINK, wire.DUMP, wire.all_links())
        names = dict(link for _, body in answer[:_MOST_LINKS] if (link := wire.read_link(body)) is not None)
        addresses: dict[str, list[Prefix]] = {name: [] for name in names.values()}
        for _, body in self._routes.ask(wire.GET_ADDRESS, wire.DUMP, wire.all_addresses()):
            found = wire.read_address(body)
            if found is not None and found[0] in names:
                addresses[names[found[0]]].append(ip_network((found[1], found[2]), strict=False))
        return addresses, names

    def _default(self, names: Mapping[int, str]) -> str:
        """Of the default routes in the main table the one that counts most; IPv4's, if there is one."""
        for version in (4, 6):
            routes = [
                route
                for kind, body in self._routes.ask(wire.GET_ROUTE, wire.DUMP, wire.all_routes(version))
                if kind == wire.NEW_ROUTE and (route := wire.read_route(body)) is not None
                if route.to_all and route.kind == wire.UNICAST and route.table == wire.MAIN_TABLE
                if route.interface in names
            ]
            if routes:
                return names[min(routes, key=lambda route: route.priority).interface]
        return ""

    def _wifi(self) -> tuple[wire.Wifi, ...]:
        if self._wifi_family is None:
            self._wifi_family = self._family()
        if not self._wifi_family:
            return ()
        family = self._wifi_family
        links = [wire.read_wireless_link(b) for _, b in self._generic.ask(family, wire.DUMP, wire.wireless_links())]
        return tuple(
            network
            for link in [link for link in links if link][:_MOST_RADIOS]
            for _, body in self._generic.ask(family, wire.DUMP, wire.networks_of(link))
            if (network := wire.read_network(body)) is not None
        )

    def _family(self) -> int:
        try:
            answer = self._generic.ask(wire.CONTROL, wire.REQUEST, wire.find_family("nl80211"))
        except OSError:
            self._tell("this kernel has no Wi-Fi (nl80211): rules that ask for it never match")
            return 0
        return next((number for _, body in answer if (number := wire.read_family(body))), 0)

    def _tell(self, what: str) -> None:
        if not self._told:
            self._told = True
            _log.warning("%s", what)
