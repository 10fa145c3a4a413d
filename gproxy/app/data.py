"""The data plane: all that touches a client's bytes, in one process, ruled by messages from the control plane."""

from __future__ import annotations

import logging
import os
from _socket import socket
from collections.abc import Mapping
from math import inf
from typing import Any

from gproxy.app.build import House
from gproxy.app.ebb import Ebb
from gproxy.app.inbounds import Door
from gproxy.app.messages import (
    AskDebug,
    AskSnapshot,
    DataEnd,
    Debugged,
    Handover,
    Prepared,
    Reopen,
    RuleSetChanged,
    Serve,
    Serving,
    Snapshot,
    Stop,
    Stopped,
    Supplied,
    Traffic,
    Users,
    Yield,
    Yielded,
)  # fmt: skip
from gproxy.app.pressure import Pressure
from gproxy.app.rules import take_rule_set
from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import CloseReason
from gproxy.base.iface import PacketEntrance, QueryEntrance, StreamEntrance
from gproxy.limit.room import Room
from gproxy.net.answering import Answering
from gproxy.net.bind import Endpoint
from gproxy.net.demux import ClientConn, Demux
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.observe import access, audit, debug
from gproxy.observe.sink import Sink
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

_log = logging.getLogger("gproxy.app")

Server = StreamListener | Demux | Answering

Place = tuple[int, int]
"""Which socket: the index of its door, and its slot."""

Sockets = Mapping[Endpoint, Mapping[int, socket]]
"""The sockets that a plane serves, by what they listen on and by slot."""

# How often a draining plane looks whether its last session has gone, in seconds.
_DRAIN_LOOK = 0.05

# A link ends when there has been nothing on it for so long, in seconds: what its client has begun may be on its way.
_LINK_QUIET = 1.0

# How often what users have moved is told, in seconds.
_TELL_TRAFFIC = 1.0

# How long sessions that were told to end may take for it, in seconds.
_LAST_WORDS = 1.0


class DataPlane:
    """Serves the doors of a house on sockets that somebody else opened and owns."""

    def __init__(self, house: House, sockets: Sockets, sink: Sink, memory: int = 0) -> None:
        """`memory` is what this process may use, in bytes; 0 for no limit."""
        if house.limits is not None:
            house.limits.join()
        self._house = house
        self._memory = memory
        self._sink = sink
        self._servers: dict[Place, Server] = {
            (index, slot): _server(door, sock, house.room)
            for index, door in enumerate(house.doors)
            for slot, sock in sockets[door.endpoint].items()
        }
        self._users: dict[str, dict[str, str]] = {}  # of managed inbounds, as far as told
        self._until = inf  # when open sessions are ended
        self._stopping = False

    def serve(self, channel: DataEnd) -> None:
        """Obey messages until killed; after the last one, Stopped, there is nothing left to obey for."""
        channel.tell(Prepared())
        with Group("data plane") as children:
            children.spawn(Ebb(self._house.table).watch)
            children.spawn(self._account, channel)
            if self._memory:
                children.spawn(Pressure(self._memory, self._house.room, self._house.table).watch)
            while True:
                message, descriptor = channel.receive()
                if isinstance(message, Serve):
                    self._start(channel)
                elif isinstance(message, Handover):
                    self._adopt(message, descriptor)
                elif isinstance(message, Yield):
                    self._yield(channel)
                elif isinstance(message, AskSnapshot):
                    channel.tell(self.snapshot())
                elif isinstance(message, AskDebug):
                    children.spawn(self._tell_seen, channel, message)
                elif isinstance(message, Reopen):
                    self._reopen()
                elif isinstance(message, Users):
                    self._manage(message)
                elif isinstance(message, RuleSetChanged):
                    assert descriptor is not None, "it comes with the rule set"
                    take_rule_set(self._house.rule_sets, message, descriptor)
                elif isinstance(message, Supplied):
                    self._house.certificates.take(message.provider, message.certificate, message.challenges)
                else:
                    grace = message.grace if isinstance(message, Stop) else 0.0
                    self._until = min(self._until, now() + grace)
                    if not self._stopping:
                        self._stopping = True
                        self._listen_no_more()
                        children.spawn(self._stop, channel)

    def _start(self, channel: DataEnd) -> None:
        """Begin, unless the order to stop came first."""
        if not self._stopping:
            for server in self._servers.values():
                server.start()
            self._enter("serving")
            channel.tell(Serving())

    def _listen_no_more(self) -> None:
        """Here and now, in the turn of the hub that brought the order: whoever was accepted later in that turn would
        have no session yet when it is seen whether there are any, and be cut off.
        """
        for server in self._servers.values():
            server.stop()

    def _adopt(self, message: Handover, descriptor: int | None) -> None:
        assert descriptor is not None, "a handover comes with its link"
        link = socket(fileno=descriptor)
        server = self._servers.get((message.endpoint, message.slot))
        if isinstance(server, Demux):
            server.adopt([tuple(name) for name in message.clients], link)
        else:
            link.close()

    def _yield(self, channel: DataEnd) -> None:
        for (endpoint, slot), server in self._servers.items():
            if isinstance(server, Demux):
                self._hand_over(server, endpoint, slot, channel)
            else:
                server.stop()
        self._enter("yielded")
        channel.tell(Yielded())

    @staticmethod
    def _hand_over(server: Demux, endpoint: int, slot: int, channel: DataEnd) -> None:
        try:
            for clients, link in server.hand_over():
                channel.tell(Handover(endpoint, slot, clients), link)
        except OSError as error:
            _log.error("%d UDP sessions can't be handed over: %s", len(server), error.strerror)
        server.handed_over()

    def _reopen(self) -> None:
        for what, reopen in (
            ("log file", self._sink.reopen),
            ("access log", access.reopen),
            ("audit log", audit.reopen),
        ):
            try:
                reopen()
            except OSError as error:
                _log.error("the %s can't be opened anew, the old one goes on: %s", what, error)

    def _stop(self, channel: DataEnd) -> None:
        self._enter("draining")
        ended = self._drain()
        channel.tell(self.snapshot())
        self._tell_traffic(channel)
        self._enter("stopped")
        if self._house.counting is not None:
            self._house.counting.finish()
        channel.tell(Stopped(ended))

    def _manage(self, message: Users) -> None:
        """Replace an inbound's users. Who is none any more, or has another password, has no open sessions either."""
        inbound = self._house.managed.get(message.inbound)
        if inbound is None:
            return
        users = {name: password for name, password in message.users}  # noqa: C416 - JSON knows no pairs
        before = self._users.get(message.inbound, {})
        self._users[message.inbound] = users
        inbound.manage(list(users.items()))
        past = {name for name, password in before.items() if users.get(name) != password}
        if past:
            self._house.table.end_those(
                lambda session: session.user in past and session.inbound == message.inbound, _REVOKED
            )

    def _account(self, channel: DataEnd) -> None:
        while True:
            sleep(_TELL_TRAFFIC)
            self._tell_traffic(channel)
            if self._house.counting is not None:
                self._house.counting.tell()

    def _enter(self, state: str) -> None:
        """Of this plane, for metrics, which are told at once."""
        if self._house.counting is not None:
            self._house.counting.state = state
            self._house.counting.tell()

    def _tell_traffic(self, channel: DataEnd) -> None:
        if rows := self._house.meter.take_traffic():
            channel.tell(Traffic(rows))

    def _drain(self) -> int:
        """Wait for the open sessions, but not for links on which there has been nothing for a while; how many of them
        had to be ended.
        """
        table, meter = self._house.table, self._house.meter
        opened, quiet_since = meter.opened, now()
        while (len(table) or self._answering()) and now() < self._until:
            if table.busy() or self._answering() or meter.opened != opened:
                opened, quiet_since = meter.opened, now()
            elif now() - quiet_since >= _LINK_QUIET:
                break
            sleep(_DRAIN_LOOK)
        ended = table.busy()
        table.end_all(_DRAINED)
        until = now() + _LAST_WORDS
        while len(table) and now() < until:
            sleep(_DRAIN_LOOK)
        self._house.names.close()
        self._house.outbounds.close()
        return ended

    def _answering(self) -> bool:
        """Whether there are questions in work that came as datagrams."""
        return any(isinstance(server, Answering) and len(server) for server in self._servers.values())

    def snapshot(self) -> Snapshot:
        """The counters now."""
        meter = self._house.meter
        breakers = {tag: [breaker.state, breaker.opened] for tag, breaker in self._house.breakers.items()}
        return Snapshot(meter.opened, meter.active, meter.up, meter.down, dict(meter.statuses), breakers)

    def look(self, question: AskDebug) -> dict[str, Any]:
        """The answer, in what JSON knows. It takes its time."""
        if question.connection is not None and self._house.explainer is not None:
            return self._house.explainer.answer(question.connection)
        return debug.answer(question.what, question.seconds)

    def _tell_seen(self, channel: DataEnd, question: AskDebug) -> None:
        channel.tell(Debugged(question.request, os.getpid(), self.look(question)))


_DRAINED: CloseReason = "drained"
_REVOKED: CloseReason = "killed"


def _server(door: Door, sock: socket, room: Room) -> Server:
    if isinstance(door.entrance, StreamEntrance):
        return StreamListener(sock, _StreamDoor(door, door.entrance, room).serve, room)
    if isinstance(door.entrance, QueryEntrance):
        return Answering(sock, door.entrance.answer, door.boundary)
    return _packet_server(door, door.entrance, sock, room)


class _StreamDoor:
    """Leads accepted streams to their boundary."""

    __slots__ = ("_accept", "_boundary", "_local", "_room")

    def __init__(self, door: Door, entrance: StreamEntrance, room: Room) -> None:
        self._room = room
        self._boundary = door.boundary
        self._accept = entrance.accept
        host = door.endpoint.host
        # A socket that is bound to one address needs no system call to tell where the client reached us.
        self._local = None if isinstance(host, str) or host.is_unspecified else Address(host, door.endpoint.port)

    def serve(self, stream: SocketStream, name: Any) -> None:
        try:
            self._boundary.stream(self._accept, stream, name, self._local)
        finally:
            self._room.leave()


def _packet_server(door: Door, entrance: PacketEntrance, sock: socket, room: Room) -> Demux:
    def serve(conn: ClientConn, source: Address) -> None:
        try:
            door.boundary.packets(entrance.accept, conn, source, demux.local, conn.dscp)
        finally:
            room.leave()

    demux = Demux(sock, serve, room=room, admit=entrance.admit, marked=door.boundary.marked)
    return demux
