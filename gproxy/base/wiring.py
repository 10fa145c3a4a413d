"""What a room is handed when it is built: it can use these and nothing else, so a constructor tells the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from gproxy.base.address import Address
from gproxy.base.iface import Connect, Dialer, Dispatcher, PacketConn
from gproxy.base.session import Session

BindPackets = Callable[[Session], tuple[PacketConn, Address]]
"""Open a UDP port on the address where the client reached us; gives the port's address too. Raises OSError."""


@dataclass(frozen=True, slots=True)
class InboundWiring:
    """For the server side of a protocol."""

    tag: str
    dispatcher: Dispatcher
    bind_packets: BindPackets
    log: logging.Logger


@dataclass(frozen=True, slots=True)
class OutboundWiring:
    """For the client side of a protocol.

    `connect` brings a stream to the configured server, through every layer around the protocol; `via` is what dials
    beneath it: the system's sockets with the outbound's dial fields, or the outbound that `detour` names.
    """

    tag: str
    connect: Connect
    via: Dialer
    log: logging.Logger
