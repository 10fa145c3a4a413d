"""The facts of one connection, each written once, by the stage that learns it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network
from operator import attrgetter
from typing import Any, Literal, Protocol

from gproxy.base.address import IP, Address
from gproxy.base.defaults import FRAGMENT_DELAY, UDP_IDLE

Network = Literal["tcp", "udp"]
Strategy = Literal["", "prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]


@dataclass(frozen=True, slots=True)
class DialOptions:
    """What rules ask of the dial. It is replaced, never edited: sessions share it."""

    fallback_delay: float | None = None  # seconds before the other address family is tried
    udp_timeout: float | None = None  # seconds of silence that end a UDP session
    udp_connect: bool = False
    udp_disable_domain_unmapping: bool = False
    tls_fragment: bool = False  # the client's ClientHello is sent in pieces
    tls_record_fragment: bool = False  # that are records
    tls_fragment_fallback_delay: float = FRAGMENT_DELAY  # seconds between them, where nobody can tell what has arrived
    internal: bool = False  # also where only this machine is to go: the configuration names the target


DEFAULT_DIAL = DialOptions()


@dataclass(frozen=True, slots=True)
class LookupOptions:
    """How a name is looked up: what a `domain_resolver` and the action `resolve` say."""

    server: str = ""  # tag of a DNS server; empty: the DNS rules choose
    strategy: Strategy = ""
    timeout: float | None = None  # seconds
    disable_cache: bool = False
    disable_optimistic_cache: bool = False
    rewrite_ttl: int | None = None  # seconds
    client_subnet: IPv4Network | IPv6Network | None = None
    remove_client_subnet: bool = False


DEFAULT_LOOKUP = LookupOptions()


@dataclass(frozen=True, slots=True)
class Owner:
    """The process on this machine that a session comes from. What can't be found out is empty, a user id -1."""

    path: str = ""  # of its executable
    user_id: int = -1
    user: str = ""
    unit: str = ""  # of its control group, such as `nginx.service`
    groups: tuple[str, ...] = ()  # that the user is in, by name


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the first bytes of the payload told."""

    protocol: str
    domain: str = ""
    client: str = ""


class Held(Protocol):
    """What a session has taken of the configured limits (see gproxy.limit.limits)."""

    def part(self) -> Held: ...
    def look(self, session: Session, stage: Literal[0, 1, 2]) -> None: ...
    def settled(self) -> None: ...
    def tolls(self) -> tuple[Any, Any]: ...
    def close(self) -> None: ...


class Watcher(Protocol):
    """Whoever looks at the failures of clients."""

    def failed(self, session: Session, why: Exception) -> None: ...


@dataclass(slots=True)
class Session:
    """One connection, or one client's packets, from its inbound to its end."""

    id: int
    network: Network
    inbound: str
    source: Address
    target: Address  # where to go now; an inbound that has not read its request yet leaves UNSPECIFIED here
    local: Address | None = None  # where the client reached us, if that is an IP address
    asked: Address | None = None  # what the client wanted, if a rule or an option rewrote it
    user: str | None = None
    alpn: str = ""  # the application protocol that TLS has agreed on
    addresses: tuple[IP, ...] = ()  # by a resolve action
    sniffed: Sniffed | None = None  # by a sniff action
    owner: Owner | None = None  # if a rule asks for it and the client is on this machine
    source_mac: str = ""  # lower-case with colons, if a rule asks for it and a neighbour's is known
    source_hostname: str = ""  # lower-case, if a rule asks for it and a lease tells
    dscp: int = 0  # of the client's packets, if a rule asks for it
    query_type: int = 0  # of the question, in rules about names
    asking: tuple[str, ...] = ()  # tags of the DNS servers that are being asked on its behalf, one for another
    dial: DialOptions = DEFAULT_DIAL
    udp_timeout: float = UDP_IDLE  # seconds of silence that end it, unless a rule or the target's port says otherwise
    rule: str = ""  # how the deciding rule is called in the log
    limits: tuple[str, ...] = ()  # tags of those that rules have put it under
    held: Held | None = None  # what it has taken of limits
    outbound: str = ""  # tag of the outbound that was chosen
    carries: bool = False  # its stream is a link, whose streams are sessions of their own
    began: float = 0.0  # when its handshake began, by `now`; 0.0 when that is over
    watcher: Watcher | None = None  # who is to be told if that fails

    def fail(self, why: Exception) -> None:
        """Its handshake has failed: say so as soon as that is known. Who has been told is told no more."""
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            watcher.failed(self, why)


_facts = attrgetter(*[field.name for field in fields(Session)])


def copy_of(session: Session) -> Session:
    """Another one with the same facts. `dataclasses.replace` needs ten times as long."""
    return Session(*_facts(session))
