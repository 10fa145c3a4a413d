"""Groups of options that many rooms share. A room's model inherits the groups that it takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final, Literal

from gproxy.base.defaults import (
    CONNECT_TIMEOUT,
    FALLBACK_DELAY,
    TCP_KEEP_ALIVE,
    TCP_KEEP_ALIVE_INTERVAL,
    UDP_IDLE,
)
from gproxy.base.session import LookupOptions
from gproxy.schema.fields import Cidr, Duration, IPAddress, Mark, Network, Port, PortRange, Secret, is_host
from gproxy.schema.model import Options, doc

Lookups = Literal["", "prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]
"""Which addresses of a name are taken, and in which order."""

MAX_TTL: Final = 2**31 - 1
"""Seconds: no record may be kept longer (RFC 2181 section 8)."""


class Item(Options):
    """What every entry of a list of typed things has."""

    type: Annotated[str, doc("Which protocol or kind this entry is.")]
    tag: Annotated[str, doc("The name that rules, detours and logs use; the entry's index if empty.")] = ""


class KeepAlive(Options):
    """TCP keep-alive probes."""

    disable_tcp_keep_alive: Annotated[bool, doc("Send no TCP keep-alive probes.")] = False
    tcp_keep_alive: Annotated[Duration, doc("Idle time before the first keep-alive probe.")] = Duration(TCP_KEEP_ALIVE)
    tcp_keep_alive_interval: Annotated[Duration, doc("Time between keep-alive probes.")] = Duration(
        TCP_KEEP_ALIVE_INTERVAL
    )


class Bind(Item, KeepAlive):
    """Where to listen, and how the sockets for that are made."""

    not_yet: ClassVar[tuple[str, ...]] = ("netns",)

    listen: Annotated[str, doc("IP address to listen on; or `unix:/path` or `unix:@abstract` for a unix socket.")] = ""
    listen_port: Annotated[Port | None, doc("Port to listen on.")] = None
    listen_ports: Annotated[
        tuple[PortRange, ...], doc("Port ranges to listen on, such as `2000-2010`, beside or instead of `listen_port`.")
    ] = ()
    bind_interface: Annotated[str, doc("Network interface to accept on.")] = ""
    routing_mark: Annotated[Mark, doc("Netfilter mark of the listening sockets.")] = Mark(0)
    reuse_addr: Annotated[bool, doc("Listen although the address is still in use by closing connections.")] = False
    tcp_fast_open: Annotated[bool, doc("Accept TCP Fast Open.")] = False
    tcp_multi_path: Annotated[bool, doc("Accept Multipath TCP.")] = False


class AccessOptions(Options):
    """Which client addresses are let in."""

    allow: Annotated[tuple[Cidr, ...], doc("Clients of these prefixes alone; all if empty.")] = ()
    deny: Annotated[tuple[Cidr, ...], doc("No clients of these prefixes, also where they are allowed.")] = ()


class Listen(Bind):
    """What every inbound has."""

    not_yet: ClassVar[tuple[str, ...]] = ("udp_fragment", "udp_mapping", "udp_filtering", "udp_nat_max")

    udp_timeout: Annotated[Duration, doc("Silence after which a UDP session ends.")] = Duration(UDP_IDLE)
    proxy_protocol: Annotated[
        bool,
        doc("Require a PROXY protocol header (version 1 or 2) of each stream, and take the source address from it."),
    ] = False
    detour: Annotated[str, doc("Tag of another inbound that the accepted streams are handed to.")] = ""
    access: Annotated[AccessOptions, doc("Which client addresses are let in. Not in sing-box.")] = AccessOptions()
    limits: Annotated[tuple[str, ...], doc("Tags of limits that its clients are under. Not in sing-box.")] = ()


class DomainResolver(Options):
    """How names are looked up, where a table stands instead of a DNS server's tag."""

    server: Annotated[str, doc("Tag of the DNS server that is asked; no DNS rule is.")]
    strategy: Annotated[Lookups, doc("Which addresses are taken, and in which order; `dns.strategy` if empty.")] = ""
    timeout: Annotated[Duration | None, doc("Time for an answer, instead of `dns.timeout`.")] = None
    disable_cache: Annotated[bool, doc("Neither look into the cache nor remember the answer.")] = False
    disable_optimistic_cache: Annotated[bool, doc("Take no answer that has expired.")] = False
    rewrite_ttl: Annotated[int | None, doc("Seconds that the answer is good for.", minimum=0, maximum=MAX_TTL)] = None
    client_subnet: Annotated[Cidr | None, doc("EDNS client subnet to send.")] = None
    remove_client_subnet: Annotated[bool, doc("Send no EDNS client subnet.")] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """Somebody is asked, and the subnet is either said or not."""
        yield from super().check()
        if not self.server:
            yield "server", "expected the tag of a DNS server"
        if self.client_subnet is not None and self.remove_client_subnet:
            yield "remove_client_subnet", "contradicts `client_subnet`"

    def how(self) -> LookupOptions:
        """The same for whoever looks names up."""
        return LookupOptions(
            self.server, self.strategy, self.timeout, self.disable_cache, self.disable_optimistic_cache,
            self.rewrite_ttl, self.client_subnet, self.remove_client_subnet,
        )  # fmt: skip


def lookup_options(resolver: str | DomainResolver) -> LookupOptions | None:
    """What a `domain_resolver` says; None if nothing."""
    if isinstance(resolver, str):
        return LookupOptions(resolver) if resolver else None
    return resolver.how()


class Dial(KeepAlive):
    """How an outbound's connections are made. `detour` excludes all others but `domain_resolver`."""

    not_yet: ClassVar[tuple[str, ...]] = ("network_strategy", "network_type", "fallback_network_type")
    retired: ClassVar[Mapping[str, str]] = {
        "domain_strategy": "`domain_resolver` has taken its place: a table with `server` and `strategy`"
    }

    detour: Annotated[str, doc("Tag of the outbound that connections go through.")] = ""
    domain_resolver: Annotated[
        str | DomainResolver,
        doc(
            "Who looks names up: the tag of a DNS server, or a table. `route.default_domain_resolver` if empty. Beside "
            "`detour`, names are looked up here and not where the detour ends."
        ),
    ] = ""
    bind_interface: Annotated[str, doc("Network interface to bind to.")] = ""
    inet4_bind_address: Annotated[IPAddress | None, doc("IPv4 address to bind to.")] = None
    inet6_bind_address: Annotated[IPAddress | None, doc("IPv6 address to bind to.")] = None
    bind_address_no_port: Annotated[bool, doc("Choose the source port when connecting, not when binding.")] = False
    routing_mark: Annotated[Mark, doc("Netfilter mark of the sockets.")] = Mark(0)
    reuse_addr: Annotated[bool, doc("Reuse the local address.")] = False
    netns: Annotated[str, doc("Network namespace to dial from, a name or a path.")] = ""
    connect_timeout: Annotated[Duration, doc("Time for a connection to open.")] = Duration(CONNECT_TIMEOUT)
    tcp_fast_open: Annotated[bool, doc("Send the first payload with the SYN.")] = False
    tcp_multi_path: Annotated[bool, doc("Use Multipath TCP.")] = False
    udp_fragment: Annotated[bool | None, doc("Let UDP datagrams be fragmented; unset leaves it to the kernel.")] = None
    fallback_delay: Annotated[
        Duration, doc("How long the preferred address family is tried alone (happy eyeballs).")
    ] = Duration(FALLBACK_DELAY)


class Server(Options):
    """The server of a proxy outbound."""

    server: Annotated[str, doc("Server address: an IP address or a domain.")]
    server_port: Annotated[Port, doc("Server port.")]

    def check(self) -> Iterator[tuple[str, str]]:
        """The server is somewhere."""
        yield from super().check()
        if not is_host(self.server):
            yield "server", "expected an IP address or a domain"


class BreakerOptions(Options):
    """When a server that can't be reached is left alone."""

    failures: Annotated[int, doc("So many dials in a row that fail", minimum=1, maximum=1000)] = 5
    window: Annotated[Duration, doc("within this time open the breaker: no more dials are made.")] = Duration(10)
    pause: Annotated[Duration, doc("After this time one is made as a trial; if it fails, after twice as long.")] = (
        Duration(5)
    )
    max_pause: Annotated[Duration, doc("The longest of these times.")] = Duration(300)

    def check(self) -> Iterator[tuple[str, str]]:
        """The times are in order."""
        yield from super().check()
        for key in ("window", "pause"):
            if not getattr(self, key):
                yield key, "expected a duration above 0"
        if self.max_pause < self.pause:
            yield "max_pause", "expected no less than `pause`"


class Proxy(Server):
    """A server that connections go through."""

    breaker: Annotated[
        BreakerOptions | None, doc("Leave the server alone for a while when it can't be reached. Not in sing-box.")
    ] = None


class User(Options):
    """A name and a password."""

    username: Annotated[str, doc("User name.")]
    password: Annotated[Secret, doc("Password.")]


class NetworkChoice(Options):
    """For protocols that carry both networks: which of them are on."""

    network: Annotated[tuple[Network, ...], doc("`tcp`, `udp`, or both if empty.")] = ()

    def networks(self) -> tuple[Network, ...]:
        """Those that are on."""
        return self.network or ("tcp", "udp")


class Manageable(Options):
    """For inbounds whose users a service may rule."""

    managed: Annotated[bool, doc("Let a service of type `ssm-api` say who the users are, while gproxy runs.")] = False

    @abstractmethod
    def user_problem(self, password: str) -> str:
        """What is wrong with a password for one of its users, without telling it; empty if nothing is."""


class UdpOverTcp(Options):
    """How datagrams travel on a stream, where a table stands instead of `true`."""

    enabled: Annotated[bool, doc("Carry UDP this way.")] = False
    version: Annotated[Literal[1, 2], doc("Version of the protocol; both sides must know it.")] = 2


class OverTcp(NetworkChoice):
    """For outbounds that can carry datagrams on a stream."""

    udp_over_tcp: Annotated[
        bool | UdpOverTcp,
        doc(
            "Carry UDP on one of this outbound's own streams; the server must know how, as gproxy and sing-box do. "
            "`true`, or a table with `enabled` and `version`."
        ),
    ] = False

    def check(self) -> Iterator[tuple[str, str]]:
        """There is UDP to carry."""
        yield from super().check()
        if self.over_tcp() and self.network == ("tcp",):
            yield "udp_over_tcp", "`network` leaves no UDP to carry"

    def over_tcp(self) -> Literal[0, 1, 2]:
        """The version of UDP over TCP that is wanted; 0: none."""
        wanted = self.udp_over_tcp
        if isinstance(wanted, bool):
            return 2 if wanted else 0
        return wanted.version if wanted.enabled else 0
