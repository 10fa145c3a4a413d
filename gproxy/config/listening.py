"""Where an inbound or a service is going to listen."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import NamedTuple

from gproxy.base.address import IP, parse_ip
from gproxy.layers.plugin.options import ServerPlugin
from gproxy.net.unix import PREFIX, unix_path
from gproxy.schema.groups import Bind, KeepAlive, NetworkChoice
from gproxy.schema.model import Options, fields_of
from gproxy.schema.problem import KeyPath, Problem
from gproxy.schema.tls import TlsInbound, TlsListen

# What shapes sockets of IP alone.
_IP_ONLY = ("bind_interface", "routing_mark", "reuse_addr", "tcp_fast_open", "tcp_multi_path")

DEFAULT_ADDRESS = IPv4Address("127.0.0.1")  # sing-box's: nobody opens a proxy to the world by leaving out a key


def is_ipv4(host: IP | str) -> bool:
    """Whether this is an IPv4 address."""
    return isinstance(host, IPv4Address)


class Listening(NamedTuple):
    """One address, with a port or a range of them, that is bound for one network."""

    what: str  # "tcp", "udp" or "unix"
    host: IP | str
    first: int
    last: int
    interface: str
    path: KeyPath

    def clashes(self, other: Listening) -> bool:
        """Whether the system would refuse one of the two."""
        if self.what != other.what or (self.interface and other.interface and self.interface != other.interface):
            return False
        if self.what == "unix":
            return self.host == other.host
        ports_meet = self.first <= other.last and other.first <= self.last
        return ports_meet and self.first > 0 and self._same_host(other)

    def _same_host(self, other: Listening) -> bool:
        return self.host == other.host or self._takes(other) or other._takes(self)

    def _takes(self, other: Listening) -> bool:
        """Whether this is a wildcard over the other's address: `::` takes IPv4 as well."""
        wild = self.host
        return not isinstance(wild, str) and wild.is_unspecified and (wild.version == 6 or is_ipv4(other.host))

    def overlap(self, other: Listening) -> str:
        """What both bind, for people."""
        if self.what == "unix":
            return f"{PREFIX}{self.host}"
        return self._replace(first=max(self.first, other.first), last=min(self.last, other.last)).text()

    def text(self) -> str:
        """The address for people: `tcp 127.0.0.1:1080`, `udp [::1]:2000-2010`."""
        if self.what == "unix":
            return f"{PREFIX}{self.host}"
        host = f"[{self.host}]" if ":" in str(self.host) else str(self.host)
        ports = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.what} {host}:{ports}"


def listening(options: Bind, path: KeyPath = ()) -> Iterator[Listening]:
    """Where this one listens. Raises ValueError when `listen` is no address."""
    if options.listen.startswith(PREFIX):
        yield Listening("unix", options.listen.removeprefix(PREFIX), 0, 0, "", (*path, "listen"))
        return
    host = parse_ip(options.listen) if options.listen else DEFAULT_ADDRESS
    networks = options.networks() if isinstance(options, NetworkChoice) else ("tcp",)
    for network in networks:
        if options.listen_port is not None:
            port = int(options.listen_port)
            yield Listening(network, host, port, port, options.bind_interface, (*path, "listen_port"))
        for ports in options.listen_ports:
            yield Listening(network, host, *ports, options.bind_interface, (*path, "listen_ports"))


# What a socket that several inbounds have in common is made with, and what is done before any of them is chosen.
_IN_COMMON = ("proxy_protocol", *_IP_ONLY, *fields_of(KeepAlive))


def unshareable(one: Bind, other: Bind) -> str:
    """Why two inbounds can't have a port in common, as a hint; empty if they can.

    They can if the client's first words tell which of them it wants: both have TLS, for different names or protocols.
    """
    mine, its = _tls(one), _tls(other)
    if mine is None or its is None:
        return "inbounds can share a port if all of them have TLS"
    if _plugged(one) or _plugged(other):
        return "inbounds behind a plugin share no port"
    if places(one) != places(other):
        return "inbounds that share ports share all of them"
    for key in _IN_COMMON:
        if getattr(one, key, None) != getattr(other, key, None):
            return f"inbounds that share a port have the same `{key}`"
    if (mine.server_name.lower(), set(mine.alpn)) == (its.server_name.lower(), set(its.alpn)):
        return "inbounds that share a port differ in `tls.server_name` or `tls.alpn`"
    return ""


def _tls(options: Options) -> TlsInbound | None:
    return options.tls if isinstance(options, TlsListen) and options.tls.enabled else None


def _plugged(options: Options) -> bool:
    return isinstance(options, ServerPlugin) and bool(options.plugin)


def places(options: Bind) -> list[tuple[str, str, int, int]]:
    """What an inbound listens on for streams, in an order of its own: network, host, and ports; no port twice."""
    found = {(each.what, str(each.host), each.first, each.last) for each in listening(options) if each.what != "udp"}
    return sorted(found)


def check_listen(options: Bind, path: KeyPath) -> Iterator[Problem]:
    """What is wrong with the listen fields of a table that is right in itself."""
    try:
        is_unix = unix_path(options.listen) is not None
        if not is_unix and options.listen:
            parse_ip(options.listen)
    except ValueError as error:
        message = str(error) if options.listen.startswith(PREFIX) else "expected an IP address"
        yield Problem((*path, "listen"), message, "or `unix:/path`, or `unix:@abstract`")
        return
    yield from _of_no_use(options, path) if is_unix else ()
    if is_unix and (options.listen_port is not None or options.listen_ports):
        yield Problem((*path, "listen"), "a unix socket has no port: leave out `listen_port` and `listen_ports`")


def _of_no_use(options: Bind, path: KeyPath) -> Iterator[Problem]:
    """What a unix socket would ignore."""
    for key in _IP_ONLY:
        if getattr(options, key):
            yield Problem((*path, key), "has no effect on a unix socket", at_key=True)
    if isinstance(options, NetworkChoice) and options.network == ("udp",):
        yield Problem((*path, "network"), "a unix socket takes streams only")
