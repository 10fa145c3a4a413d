"""The facts of one connection, each written once, by the stage that learns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gproxy.base.address import IP, Address
from gproxy.base.defaults import UDP_IDLE

Network = Literal["tcp", "udp"]
Strategy = Literal["", "prefer_ipv4", "prefer_ipv6", "ipv4_only", "ipv6_only"]


@dataclass(frozen=True, slots=True)
class DialOptions:
    """What rules ask of the dial. It is replaced, never edited: sessions share it."""

    fallback_delay: float | None = None  # seconds before the other address family is tried
    udp_timeout: float | None = None  # seconds of silence that end a UDP session
    udp_connect: bool = False
    udp_disable_domain_unmapping: bool = False


DEFAULT_DIAL = DialOptions()


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What the first bytes of the payload told."""

    protocol: str
    domain: str = ""
    client: str = ""


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
    dial: DialOptions = DEFAULT_DIAL
    udp_timeout: float = UDP_IDLE  # seconds of silence that end it, unless a rule or the target's port says otherwise
    rule: str = ""  # how the deciding rule is called in the log
    outbound: str = ""  # tag of the outbound that was chosen
    carries: bool = False  # its stream is a link, whose streams are sessions of their own
