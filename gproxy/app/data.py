"""The data plane: all that touches a client's bytes, in one process, ruled by messages from the control plane."""

from __future__ import annotations

from _socket import socket
from collections.abc import Mapping
from typing import Any

from gproxy.app.build import Door, House
from gproxy.app.messages import AskSnapshot, DataEnd, Ready, Snapshot, StopNow, Stopped
from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import CloseReason
from gproxy.base.iface import AcceptPackets, StreamEntrance
from gproxy.net.bind import Endpoint
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

# How often a draining plane looks whether its last session has gone, in seconds.
_DRAIN_LOOK = 0.05

# How long sessions that were told to end may take for it, in seconds.
_LAST_WORDS = 1.0


class DataPlane:
    """Serves the doors of a house on sockets that somebody else opened and owns."""

    def __init__(self, house: House, sockets: Mapping[Endpoint, socket]) -> None:
        self._house = house
        self._servers = [_server(door, sockets[door.endpoint]) for door in house.doors]
        self._stopping = False
        self._hurry = False

    def serve(self, channel: DataEnd) -> None:
        """Obey messages until killed; after a Stop has been carried out there is nothing left to obey for."""
        for server in self._servers:
            server.start()
        channel.tell(Ready())
        with Group("data plane") as children:
            while True:
                message = channel.receive()
                if isinstance(message, AskSnapshot):
                    channel.tell(self.snapshot())
                elif isinstance(message, StopNow):
                    self._hurry = True
                elif not self._stopping:
                    self._stopping = True
                    children.spawn(self._stop, message.grace, channel)

    def _stop(self, grace: float, channel: DataEnd) -> None:
        ended = self.drain(grace)
        channel.tell(Stopped(ended, self.snapshot()))

    def drain(self, grace: float) -> int:
        """Accept no more and wait for the open sessions; how many had to be ended."""
        for server in self._servers:
            server.stop()
        table = self._house.table
        until = now() + grace
        while len(table) and now() < until and not self._hurry:
            sleep(_DRAIN_LOOK)
        ended = table.end_all(_DRAINED)
        until = now() + _LAST_WORDS
        while len(table) and now() < until:
            sleep(_DRAIN_LOOK)
        self._house.outbounds.close()
        return ended

    def snapshot(self) -> Snapshot:
        """The counters now."""
        meter = self._house.meter
        return Snapshot(meter.opened, meter.active, meter.up, meter.down, dict(meter.statuses))


_DRAINED: CloseReason = "drained"


def _server(door: Door, sock: socket) -> StreamListener | Demux:
    if isinstance(door.entrance, StreamEntrance):
        return StreamListener(sock, _StreamDoor(door, door.entrance).serve)
    return _packet_server(door, door.entrance.accept, sock)


class _StreamDoor:
    """Leads accepted streams to their boundary."""

    __slots__ = ("_accept", "_boundary", "_local")

    def __init__(self, door: Door, entrance: StreamEntrance) -> None:
        self._boundary = door.boundary
        self._accept = entrance.accept
        host = door.endpoint.host
        # A socket that is bound to one address needs no system call to tell where the client reached us.
        self._local = None if isinstance(host, str) or host.is_unspecified else Address(host, door.endpoint.port)

    def serve(self, stream: SocketStream, name: Any) -> None:
        self._boundary.stream(self._accept, stream, name, self._local)


def _packet_server(door: Door, accept: AcceptPackets, sock: socket) -> Demux:
    def serve(conn: ClientConn, source: Address) -> None:
        door.boundary.packets(accept, conn, source, demux.local)

    demux = Demux(sock, serve)
    return demux
