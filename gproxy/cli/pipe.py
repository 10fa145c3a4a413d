"""Standard input and output on one side, an outbound's stream or packets on the other."""

from __future__ import annotations

import itertools
import os

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Outbound, PacketConn, Stream
from gproxy.base.session import Network, Session
from gproxy.rt.group import Group
from gproxy.rt.sockets import READ, Readiness
from gproxy.rt.sync import Event

_STDIN, _STDOUT = 0, 1
_CHUNK = 64 * 1024
_SILENCE = 2.0  # seconds without an answer, after which none is expected
_numbers = itertools.count(1)


def session(network: Network, target: Address) -> Session:
    """The facts of a connection that the command line asks for."""
    return Session(next(_numbers), network, "tools", UNSPECIFIED, target)


def pipe_stream(outbound: Outbound, target: Address) -> None:
    """Copy both ways until the other side ends. The end of the input is passed on.

    Raises DialError and StreamClosed.
    """
    stream = outbound.dial(target, session("tcp", target))
    try:
        with Group("connect") as group:
            group.spawn(_send_input, stream)
            while data := stream.recv():
                _write(data)
    finally:
        stream.close()


def pipe_packets(outbound: Outbound, target: Address) -> None:
    """Each piece of the input (a line, if somebody types it) is one datagram; answers are printed.

    Ends when the input has ended and no answer came for some seconds. Raises DialError and StreamClosed.
    """
    conn = outbound.dial_packet(target, session("udp", target))
    try:
        with Group("connect") as group:
            answered = Event()
            group.spawn(_print_packets, conn, answered)
            for data in _input():
                conn.send_to(data, target)
            while answered.wait(_SILENCE):
                answered.clear()
    finally:
        conn.close()


def _send_input(stream: Stream) -> None:
    try:
        for data in _input():
            stream.sendall(data)
        stream.close_write()
    except StreamClosed:
        return  # whoever receives finds out why


def _print_packets(conn: PacketConn, answered: Event) -> None:
    while True:
        data, _ = conn.recv_from()
        _write(bytes(data))
        answered.set()


def _input() -> itertools.chain[bytes]:
    return itertools.chain.from_iterable(iter(_read_input, []))


def _read_input() -> list[bytes]:
    """The next piece of the input; an empty list is its end."""
    ready = Readiness(_STDIN, READ)
    try:
        ready.wait()
    finally:
        ready.close()
    data = os.read(_STDIN, _CHUNK)
    return [data] if data else []


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]
