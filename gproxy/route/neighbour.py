"""The MAC address of a client on one of this machine's own networks: from the kernel's neighbour table."""

from __future__ import annotations

import errno

from gproxy.base.address import IP
from gproxy.base.clock import now
from gproxy.net.netlink import Netlink
from gproxy.wire import netlink as wire

_UNABLE = frozenset({errno.EOPNOTSUPP, errno.EINVAL})
_TABLE_SECONDS = 2.0


class Neighbours:
    """Asks for one neighbour at a time: what it says is never old, and nothing has to be kept."""

    def __init__(self) -> None:
        self._routes = Netlink(wire.ROUTE)
        self._one_by_one = True  # kernels before 5.0 only tell all
        self._table: dict[IP, str] = {}
        self._until = 0.0

    def mac(self, ip: IP) -> str:
        """Lower-case with colons; empty if the client is no neighbour, or its MAC address is not known."""
        if ip.is_loopback:
            return ""
        try:
            return self._ask(ip) if self._one_by_one else self._look_up(ip)
        except OSError:
            return ""

    def close(self) -> None:
        """Give back what the kernel is asked with. Idempotent; another question opens it again."""
        self._routes.close()

    def _ask(self, ip: IP) -> str:
        for _, answer in self._routes.ask(wire.GET_ROUTE, wire.REQUEST, wire.find_route(ip)):
            route = wire.read_route(answer)
            if route is None or not route.interface:
                continue
            try:
                found = self._routes.ask(wire.GET_NEIGHBOUR, wire.REQUEST, wire.find_neighbour(ip, route.interface))
            except OSError as error:
                if error.errno not in _UNABLE:
                    raise
                self._one_by_one = False
                return self._look_up(ip)
            for _, body in found:
                known = wire.read_neighbour(body)
                if known is not None and known[0] == ip:
                    return known[1]
        return ""

    def _look_up(self, ip: IP) -> str:
        if now() >= self._until:
            answer = self._routes.ask(wire.GET_NEIGHBOUR, wire.DUMP, wire.all_neighbours())
            self._table = dict(known for _, body in answer if (known := wire.read_neighbour(body)) is not None)
            self._until = now() + _TABLE_SECONDS
        return self._table.get(ip, "")
