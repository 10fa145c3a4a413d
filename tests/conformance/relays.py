"""Every way in which a relay moves bytes, set up between a client and a server that a test plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gproxy.base.iface import Stream
from gproxy.net.buffered import Buffered
from gproxy.relay.copy import Copy
from gproxy.relay.pump import Pump
from tests.conformance.streams import (
    framed_memory_pair,
    framed_pair,
    memory_pair,
    nested_pair,
    tcp_pair,
    unix_pair,
    ws_in_records_pair,
)


@dataclass
class Sides:
    """client = left, right = server."""

    client: Stream
    left: Stream
    right: Stream
    server: Stream

    def close(self) -> None:
        for stream in (self.client, self.left, self.right, self.server):
            stream.close()


def _tcp() -> Sides:
    return Sides(*tcp_pair(), *tcp_pair())


def _unix() -> Sides:
    return Sides(*unix_pair(), *unix_pair())


def _memory() -> Sides:
    return Sides(*memory_pair(), *memory_pair())


def _memory_to_tcp() -> Sides:
    return Sides(*memory_pair(), *tcp_pair())


def _buffered() -> Sides:
    client, left = tcp_pair()
    return Sides(client, Buffered(left), *tcp_pair())


def _sealed() -> Sides:
    return Sides(*framed_pair(), *framed_pair())


def _sealed_to_tcp() -> Sides:
    return Sides(*framed_pair(), *tcp_pair())


def _tcp_to_sealed() -> Sides:
    return Sides(*tcp_pair(), *framed_pair())


def _sealed_to_memory() -> Sides:
    return Sides(*framed_pair(), *memory_pair())


def _sealed_in_memory() -> Sides:
    return Sides(*framed_memory_pair(), *framed_memory_pair())


def _nested() -> Sides:
    return Sides(*nested_pair(), *nested_pair())


def _nested_to_tcp() -> Sides:
    return Sides(*nested_pair(), *tcp_pair())


def _ws_in_records_to_tcp() -> Sides:
    return Sides(*ws_in_records_pair(), *tcp_pair())


def _tcp_to_ws_in_records() -> Sides:
    return Sides(*tcp_pair(), *ws_in_records_pair())


PUMPS: dict[str, tuple[Callable[[], Sides], type[Pump] | type[Copy]]] = {
    "tcp": (_tcp, Pump),
    "unix": (_unix, Pump),
    "buffered": (_buffered, Pump),
    "memory": (_memory, Copy),
    "memory to tcp": (_memory_to_tcp, Copy),
    "sealed": (_sealed, Pump),
    "sealed to tcp": (_sealed_to_tcp, Pump),
    "tcp to sealed": (_tcp_to_sealed, Pump),
    "nested": (_nested, Pump),
    "nested to tcp": (_nested_to_tcp, Pump),
    "ws in records to tcp": (_ws_in_records_to_tcp, Pump),
    "tcp to ws in records": (_tcp_to_ws_in_records, Pump),
    "sealed to memory": (_sealed_to_memory, Copy),
    "sealed in memory": (_sealed_in_memory, Copy),
}
"""The setting, and which pump has to be chosen for it."""
