"""Groups of options that many rooms share. A room's model inherits the groups that it takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from gproxy.base.defaults import (
    CONNECT_TIMEOUT,
    FALLBACK_DELAY,
    TCP_KEEP_ALIVE,
    TCP_KEEP_ALIVE_INTERVAL,
    UDP_IDLE,
)
from gproxy.schema.fields import Duration, IPAddress, Mark, Network, Port, PortRange, Secret, is_host
from gproxy.schema.model import Options, doc


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


class Listen(Bind):
    """What every inbound has."""

    not_yet: ClassVar[tuple[str, ...]] = ("udp_fragment", "udp_mapping", "udp_filtering", "udp_nat_max")

    udp_timeout: Annotated[Duration, doc("Silence after which a UDP session ends.")] = Duration(UDP_IDLE)
    proxy_protocol: Annotated[
        bool,
        doc("Require a PROXY protocol header (version 1 or 2) of each stream, and take the source address from it."),
    ] = False
    detour: Annotated[str, doc("Tag of another inbound that the accepted streams are handed to.")] = ""


class Dial(KeepAlive):
    """How an outbound's connections are made. `detour` excludes all others."""

    not_yet: ClassVar[tuple[str, ...]] = (
        "domain_resolver", "domain_strategy", "network_strategy", "network_type", "fallback_network_type",
    )  # fmt: skip

    detour: Annotated[str, doc("Tag of the outbound that connections go through.")] = ""
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


class User(Options):
    """A name and a password."""

    username: Annotated[str, doc("User name.")]
    password: Annotated[Secret, doc("Password.")]


class NetworkChoice(Options):
    """For protocols that carry both networks: which of them are on."""

    network: Annotated[tuple[Network, ...], doc("`tcp`, `udp`, or both if empty.")] = ()


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
