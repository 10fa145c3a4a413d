"""One UDP socket, many clients: each gets a PacketConn of its own, so that UDP handlers read like TCP handlers."""

from __future__ import annotations

import errno
import logging
from _socket import socket
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from gproxy.base.address import Address, parse_ip
from gproxy.base.defaults import DATAGRAM_BURST, MAX_DATAGRAM, UDP_INBOX, UDP_SESSIONS
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Admit, Buffer, Take
from gproxy.limit.room import Room
from gproxy.net import dscp
from gproxy.net.handover import Link, make_link
from gproxy.net.outbox import OUTBOX
from gproxy.rt.crew import launch
from gproxy.rt.sockets import READ, Gate, watch

_log = logging.getLogger("gproxy.net.demux")

_scratch = bytearray(MAX_DATAGRAM)
_view = memoryview(_scratch)

_DEAD = frozenset({errno.EBADF, errno.ENOTSOCK})


class ClientConn:
    """One client of a shared socket, as a PacketConn in the server direction.

    Answers leave from the shared socket whoever they are from; a protocol that tells the client more wraps this.
    """

    __slots__ = ("_closed", "_demux", "_gate", "_inbox", "_name", "_take", "dropped", "dscp")

    def __init__(self, demux: Demux, name: Any) -> None:
        self._demux = demux
        self._name = name
        self._inbox: deque[bytes] = deque()
        self._gate = Gate()
        self._closed = False
        self._take: Take | None = None
        self.dropped = 0
        self.dscp = 0  # of the first datagram, if the Demux looks at it

    def deliver(self, data: bytes) -> None:
        """A datagram for this client; dropped when its inbox is full."""
        if len(self._inbox) >= UDP_INBOX:
            self.dropped += 1
            return
        if self._take is not None and self._take(data, self._demux.local):
            return
        self._inbox.append(data)
        self._gate.open()

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn: the address is the one that the client sent to."""
        while not self._inbox:
            if self._closed:
                raise StreamClosed("closed here", reason="local")
            self._gate.wait()
        return self._inbox.popleft(), self._demux.local

    def offer(self, take: Take | None, /) -> None:
        """See Prompt."""
        self._take = take

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        if self._closed:
            raise StreamClosed("closed here", reason="local")
        self._demux.send(data, self._name)

    def prompt(self, to: Address, /) -> bool:
        """See Prompt: always."""
        return True

    def close(self) -> None:
        """See PacketConn."""
        if not self._closed:
            self._closed = True
            self._take = None
            self._demux.forget(self._name)
            if self.dropped:
                _log.info("%s:%s: %d datagrams were dropped, its inbox was full", *self._name[:2], self.dropped)
            self._inbox.clear()
            self._gate.open()


class Demux:
    """Reads one UDP socket in bursts. The socket stays its owner's: stopping leaves it open.

    Without a place in the room, the datagrams of new clients are dropped; those that are served go on. `serve` gives
    the place back. What `admit` turns down begins no session. `marked`: each client's code point is looked at.
    """

    def __init__(
        self,
        sock: socket,
        serve: Callable[[ClientConn, Address], None],
        sessions: int = UDP_SESSIONS,
        room: Room | None = None,
        admit: Admit | None = None,
        *,
        marked: bool = False,
    ) -> None:
        self._sock = sock
        self._serve = serve
        self._admit = admit
        self._room = room or Room()
        self._most = sessions
        self._clients: OrderedDict[Any, ClientConn] = OrderedDict()  # the longest idle first
        self._watcher = watch(sock.fileno(), READ)
        self._stopped = False
        self._marked = marked
        if marked:
            dscp.hear(sock)
        self._foreign: dict[Any, Link] = {}  # clients whose flows an older plane goes on serving
        self._flows: Counter[Link] = Counter()  # how many each of these planes has left
        self._far_end: socket | None = None
        self._feed: Link | None = None  # where our own clients' datagrams come from after a newer plane has taken over
        name = sock.getsockname()
        self.local = Address(parse_ip(name[0]), name[1])

    def start(self) -> None:
        """Begin to read, or begin again after a stop."""
        if self._stopped:
            self._stopped = False
            self._watcher = watch(self._sock.fileno(), READ)
        if self._feed is not None:  # the plane that was to take over did not come so far
            self._feed.close()
            self._feed = None
        self._watcher.start(self._readable)

    def stop(self) -> None:
        """Read no more; sessions go on answering until they end. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._watcher.stop()
            self._watcher.close()

    def _readable(self) -> None:
        OUTBOX.gather(self._burst)

    def _burst(self) -> None:
        clients = self._clients
        for _ in range(DATAGRAM_BURST):
            try:
                if self._marked:
                    size, beside, _, name = self._sock.recvmsg_into((_scratch,), dscp.ANCILLARY)
                    point = dscp.of_datagram(beside)
                else:
                    size, name = self._sock.recvfrom_into(_scratch)
                    point = 0
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _DEAD:
                    self.stop()
                    return
                continue  # an ICMP error for some earlier answer
            if name in clients:
                clients.move_to_end(name)
                clients[name].deliver(bytes(_view[:size]))
            elif name in self._foreign:
                self._foreign[name].say(name, _view[:size])
            else:
                self._begin(name, bytes(_view[:size]), point)

    def _begin(self, name: Any, data: bytes, point: int = 0) -> None:
        """The first datagram of a session, if there is room for one more."""
        if self._room.taken >= self._room.most:
            self._room.turn_away()
        elif self._admit is None or self._admit(data, name[0]):
            client = self._welcome(name)
            client.dscp = point
            client.deliver(data)

    def _welcome(self, name: Any) -> ClientConn:
        if len(self._clients) >= self._most:
            longest_idle = next(iter(self._clients.values()))
            longest_idle.close()
        self._room.taken += 1
        client = self._clients[name] = ClientConn(self, name)
        launch(self._serve, client, Address(parse_ip(name[0]), name[1]))
        return client

    def send(self, data: Buffer, name: Any) -> None:
        """Answer a client. What can't be sent now is lost."""
        if OUTBOX.open:
            OUTBOX.put(self._sock, data, name)
            return
        try:
            self._sock.sendto(data, name)
        except OSError as error:
            _log.debug("an answer to %s was lost: %s", name[0], error.strerror)

    def forget(self, name: Any) -> None:
        """The next datagram from there begins a new session."""
        self._clients.pop(name, None)
        if self._feed is not None:
            self._feed.say(name)

    def adopt(self, clients: Iterable[Any], sock: socket) -> None:
        """Before the start: send these clients' datagrams down a link, to the plane that serves them."""
        link = Link(sock, heard=self._given_back, gone=lambda: self._disown_all(link))
        for name in clients:
            self._foreign[name] = link
            self._flows[link] += 1

    def _given_back(self, name: Any, data: bytes) -> None:
        """The older plane has done with a client; what it got for it after that begins a session here."""
        self._disown(name)
        if data:
            self._begin(name, data)

    def _disown(self, name: Any) -> None:
        link = self._foreign.pop(name, None)
        if link is None:
            return
        self._flows[link] -= 1
        if not self._flows[link]:
            del self._flows[link]
            link.close()

    def _disown_all(self, gone: Link) -> None:
        self._foreign = {name: link for name, link in self._foreign.items() if link is not gone}
        del self._flows[gone]

    def hand_over(self) -> list[tuple[list[Any], int]]:
        """Read no more; which clients go on, each group with the descriptor of the link to their plane.

        Call `handed_over` when the descriptors have been passed on. Raises OSError when there is no descriptor left.
        """
        self.stop()
        groups: list[tuple[list[Any], int]] = []
        for link in self._flows:
            groups.append(([name for name, its in self._foreign.items() if its is link], link.fileno()))
        if self._clients:
            ours, self._far_end = make_link()
            self._feed = Link(ours, heard=self._fed, gone=self._starve)
            groups.append((list(self._clients), self._far_end.fileno()))
        return groups

    def handed_over(self) -> None:
        """The links that were passed on are the new plane's alone."""
        for link in self._flows:
            link.close()
        self._flows.clear()
        self._foreign.clear()
        if self._far_end is not None:
            self._far_end.close()
            self._far_end = None

    def _fed(self, name: Any, data: bytes) -> None:
        client = self._clients.get(name)
        if client is not None:
            client.deliver(data)
        elif self._feed is not None:
            self._feed.say(name, data)

    def _starve(self) -> None:
        """Nobody brings datagrams any more: end the sessions."""
        for client in list(self._clients.values()):
            client.close()

    def __len__(self) -> int:
        return len(self._clients)
