"""The `multiplex` tables of inbounds and outbounds: many streams over one connection, as sing-box does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from gproxy.schema.model import Options, doc

_MBPS: Final = 125_000
"""Octets per second."""

SLOWEST: Final = 65536
"""The slowest rate that TCP Brutal is asked for, in octets per second."""

FEWEST: Final = 8
"""`min_streams` where nothing is said of connections and streams."""


class Brutal(Options):
    """TCP Brutal: a fixed rate of sending, whatever is lost. It needs a kernel module on the sending side."""

    enabled: Annotated[bool, doc("Agree with the other side on rates.")] = False
    up_mbps: Annotated[int, doc("What this side may send, in Mbit/s.", minimum=0)] = 0
    down_mbps: Annotated[int, doc("What this side can receive, in Mbit/s.", minimum=0)] = 0

    def check(self) -> Iterator[tuple[str, str]]:
        """Rates are rates."""
        yield from super().check()
        for key, rate in (("up_mbps", self.up_mbps), ("down_mbps", self.down_mbps)):
            if self.enabled and rate * _MBPS < SLOWEST:
                yield key, "expected a rate, in Mbit/s"

    def rates(self) -> tuple[int, int]:
        """What this side may send and what it can receive, in octets per second."""
        return self.up_mbps * _MBPS, self.down_mbps * _MBPS


class InboundMultiplex(Options):
    """Multiplexing in an inbound."""

    enabled: Annotated[
        bool, doc("Serve links of many streams, by `smux`, `yamux` or `h2mux`, whichever a client chooses.")
    ] = False
    padding: Annotated[bool, doc("Refuse links that are not padded.")] = False
    brutal: Annotated[Brutal, doc("TCP Brutal: a fixed rate towards the client.")] = Brutal()


class OutboundMultiplex(Options):
    """Multiplexing in an outbound."""

    enabled: Annotated[bool, doc("Send all streams, and datagrams, over few connections.")] = False
    protocol: Annotated[
        Literal["h2mux", "smux", "yamux"], doc("Which frames: `h2mux` is HTTP/2. The server takes each of them.")
    ] = "h2mux"
    max_connections: Annotated[
        int, doc("Connections at most; a full set is shared. 0: as many as there are streams for.", minimum=0)
    ] = 0
    min_streams: Annotated[
        int,
        doc(f"Streams on each connection before a new one is made. {FEWEST} if none of the three is said.", minimum=0),
    ] = 0
    max_streams: Annotated[
        int,
        doc(
            "Streams on one connection at most. It stands alone: without `max_connections` and `min_streams`.",
            minimum=0,
        ),
    ] = 0
    padding: Annotated[bool, doc("Pad the beginning of each connection, which hides the lengths of handshakes.")] = (
        False
    )
    brutal: Annotated[Brutal, doc("TCP Brutal: a fixed rate towards the server, over one connection.")] = Brutal()

    def check(self) -> Iterator[tuple[str, str]]:
        """One way of choosing a connection."""
        yield from super().check()
        if self.max_streams:
            for key in ("max_connections", "min_streams"):
                if getattr(self, key):
                    yield key, "excludes `max_streams`: give either one"

    def fewest(self) -> int:
        """The `min_streams` that holds."""
        return self.min_streams or (FEWEST if not (self.max_connections or self.max_streams) else 0)


class MultiplexListen(Options):
    """For inbounds that can serve links of many streams."""

    multiplex: Annotated[InboundMultiplex, doc("Many streams on one connection, as sing-box's clients ask for it.")] = (
        InboundMultiplex()
    )


class MultiplexDial(Options):
    """For outbounds that can send many streams over one connection."""

    multiplex: Annotated[
        OutboundMultiplex, doc("Many streams over one connection. The server must know it, as gproxy and sing-box do.")
    ] = OutboundMultiplex()
