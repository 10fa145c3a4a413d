"""What a room is handed when it is built: it can use these and nothing else, so a constructor tells the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gproxy.base.address import IP, Address
from gproxy.base.iface import Accept, Branch, Connect, Dialer, Dispatcher, Later, Lookup, PacketConn, Resolver, Stream
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions, Session

BindPackets = Callable[[Session], tuple[PacketConn, Address]]
"""Open a UDP port on the address where the client reached us; gives the port's address too. Raises OSError."""


class SaltFilter(Protocol):
    """Remembers what may come only once. All processes of this gproxy share its memory."""

    def first(self, salt: bytes, /) -> bool:
        """Remember the salt; whether it was unknown so far. Raises Overloaded when there is no room to remember it."""


@dataclass(frozen=True, slots=True)
class Replays:
    """What guards handshakes against replay."""

    recent: SaltFilter  # exact for at least a minute: for handshakes that carry their time
    lasting: SaltFilter  # bounded: the longest known are forgotten first: for handshakes without a time


def no_branch(accept: Accept, stream: Stream, session: Session) -> None:
    """See Branch: there is none."""
    raise AssertionError("nobody has said what becomes of streams within this inbound's")


class NoNames:
    """See Resolver: there is none."""

    def lookup(self, domain: str, session: Session, how: LookupOptions = DEFAULT_LOOKUP, /) -> tuple[IP, ...]:
        """Nobody may ask."""
        raise AssertionError("nobody has said how names are looked up")

    def exchange(self, query: bytes, session: Session, /) -> bytes:
        """Nobody may ask."""
        raise AssertionError("nobody has said how questions are answered")

    def begin(self, query: bytes, session: Session, /) -> bytes | Later:
        """Nobody may ask."""
        raise AssertionError("nobody has said how questions are answered")

    def alike(self, inbound: str, /) -> bool:
        """Nobody may ask."""
        raise AssertionError("nobody has said how questions are answered")


NO_NAMES = NoNames()


def _nobody_counts() -> None:
    """For inbounds that answer no questions."""


@dataclass(frozen=True, slots=True)
class InboundWiring:
    """For the server side of a protocol.

    `dispatcher` sends sessions where the rules say. `straight` asks no rule and takes the system's own sockets: it is
    for sessions whose target stands in the inbound's own options. `branch` makes sessions of the streams that one of
    the inbound's own carries; `names` answers questions about names, and `counted` is told of each that was answered
    on a stream: they are no sessions.
    """

    tag: str
    dispatcher: Dispatcher
    bind_packets: BindPackets
    replays: Replays
    log: logging.Logger
    straight: Dispatcher
    branch: Branch = no_branch
    names: Resolver = NO_NAMES
    counted: Callable[[], None] = _nobody_counts


def _no_lookup(domain: str, session: Session) -> tuple[IP, ...]:
    return NO_NAMES.lookup(domain, session)


@dataclass(frozen=True, slots=True)
class OutboundWiring:
    """For the client side of a protocol.

    `connect` brings a stream to the configured server, through every layer around the protocol; `via` is what dials
    beneath it: the system's sockets with the outbound's dial fields, or the outbound that `detour` names. `lookup`
    finds the addresses of a target that the protocol can't carry by name.
    """

    tag: str
    connect: Connect
    via: Dialer
    log: logging.Logger
    lookup: Lookup = _no_lookup
