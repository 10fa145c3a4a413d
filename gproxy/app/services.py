"""Services: from options to wired objects, and the plane that serves them beside the control plane."""

from __future__ import annotations

import logging
from _socket import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gproxy.app.certificates import Certificates
from gproxy.app.listening import endpoints
from gproxy.base.address import UNSPECIFIED, Address, parse_ip
from gproxy.base.iface import Accept, Stream, StreamEntrance
from gproxy.base.session import Session
from gproxy.config.root import Root
from gproxy.limit.room import Room
from gproxy.net.bind import Endpoint
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.route.owner import credentials_of_peer
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.schema.groups import Manageable
from gproxy.schema.tls import TlsListen
from gproxy.service import SERVICES
from gproxy.service.management import NOBODY, Management, Peer, Service, ServiceWiring

if TYPE_CHECKING:
    from gproxy.service.acme.manager import Manager
    from gproxy.service.bans import BanKeeper
    from gproxy.service.expiry import Expiry
    from gproxy.service.metrics.view import View
    from gproxy.service.rule_sets.keeper import Updates

# More clients of one service at once wait in the queue of the listening socket.
_MOST_CLIENTS = 64

# How long nothing is served for the sake of rule sets of which nothing is known yet, in seconds.
_FIRST_RULE_SETS = 10.0

# How often what services know is saved, in seconds, beside at once when somebody has changed it.
_SAVE_EVERY = 60.0


class Answering(Protocol):
    """Whoever has clients of its own: a service, or who answers authorities."""

    def accept(self, stream: Stream, peer: Peer) -> None:
        """Serve one client; returns when that is over. The caller closes the stream. Raises GproxyError."""


@dataclass(frozen=True, slots=True)
class ServiceDoor:
    """A socket to be, and the service behind it."""

    endpoint: Endpoint
    service: Answering


@dataclass(frozen=True, slots=True)
class Services:
    """All that was built for services."""

    management: Management
    all: list[Service]
    doors: list[ServiceDoor]
    expiry: Expiry | None = None  # of certificates
    bans: BanKeeper | None = None


def build_services(
    root: Root, certificates: Certificates | None = None, bans: BanKeeper | None = None, view: View | None = None
) -> Services:
    """Wire up the services of a configuration; the doors of `certificates` are among theirs."""
    checks = {
        options.tag or str(index): options.user_problem
        for index, options in enumerate(root.inbounds)
        if isinstance(options, Manageable) and options.managed
    }
    services = Services(Management(checks), [], [], _expiry(root), bans)
    for index, options in enumerate(root.services):
        tag = options.tag or str(index)
        wiring = ServiceWiring(tag, services.management, logging.getLogger(f"gproxy.service.{tag}"), view)
        service: Service = SERVICES.row(options.type).build(options, wiring)
        services.all.append(service)
        places = endpoints(options, [StreamEntrance(_never)])
        behind = _behind_tls(options, service) if isinstance(options, TlsListen) and options.tls.enabled else service
        services.doors.extend(ServiceDoor(endpoint, behind) for endpoint, _ in places)
    if certificates is not None and certificates.manager is not None:
        manager = certificates.manager
        services.doors.extend(ServiceDoor(endpoint, manager) for endpoint in certificates.endpoints)
    return services


def _expiry(root: Root) -> Expiry | None:
    """What looks after the certificates that stand in options; the others are renewed by who orders them."""
    own = [
        (options.tag or str(index), each)
        for index, options in [*enumerate(root.inbounds), *enumerate(root.services)]
        if isinstance(options, TlsListen) and options.tls.enabled
        for each in (options.tls, *options.tls.certificates)
        if each.shows()
    ]
    if not own:
        return None
    from gproxy.service.expiry import Expiry, Watched

    return Expiry([Watched(tag, each) for tag, each in own])


class _Behind:
    """A service that clients reach by layers."""

    __slots__ = ("_accept", "_tag")

    def __init__(self, tag: str, accept: Accept) -> None:
        self._tag = tag
        self._accept = accept

    def accept(self, stream: Stream, peer: Peer) -> None:
        """See Answering."""
        self._accept(stream, Session(0, "tcp", self._tag, peer.source, UNSPECIFIED))


def _behind_tls(options: TlsListen, service: Service) -> _Behind:
    from gproxy.layers.tls.layer import TlsServer

    def accept(stream: Stream, session: Session) -> None:
        service.accept(stream, Peer(session.source))

    return _Behind("", TlsServer(options.tls).accepting(accept))


def _never(stream: Stream, session: Session) -> None:
    raise AssertionError("services have no sessions")


class ServicePlane:
    """Serves the doors of services, on sockets that somebody else opened and owns. Leaving the `with` block ends it."""

    def __init__(
        self,
        services: Services,
        sockets: Mapping[Endpoint, Mapping[int, socket]],
        manager: Manager | None = None,
        updates: Updates | None = None,
    ) -> None:
        """While this serves, `manager` orders certificates, and `updates` looks after rule sets."""
        self._updates = updates
        self._services = services.all
        self._expiry = services.expiry
        self._bans = services.bans
        self._manager = manager
        self._clients = Group("service clients")
        self._saver = Group("services")
        self._rooms = {id(door.service): Room(_MOST_CLIENTS) for door in services.doors}
        self._listeners = [
            StreamListener(sock, _Guest(door.service, self._clients, room).welcome, room)
            for door in services.doors
            for room in (self._rooms[id(door.service)],)
            for sock in sockets[door.endpoint].values()
        ]

    def load(self, inbounds: Collection[str]) -> None:
        """Take up what was saved about these inbounds, and fetch rule sets of which nothing is known."""
        if self._updates is not None:
            self._updates.fetch_lacking(_FIRST_RULE_SETS)
        for service in self._services:
            service.load(inbounds)

    def start(self) -> None:
        """Begin to serve, or begin again."""
        for service in self._services:
            service.go_on()
        for listener in self._listeners:
            listener.start()
        if self._services and not len(self._saver):
            self._saver.spawn(self._save_now_and_then)
        if self._manager is not None:
            self._manager.start()
        if self._expiry is not None:
            self._expiry.start()
        if self._bans is not None:
            self._bans.start()
        if self._updates is not None:
            self._updates.start()

    def make_room(self) -> None:
        """Another process is to serve instead: save all and change nothing any more."""
        self.stop()
        if self._manager is not None:
            self._manager.stop()
        if self._expiry is not None:
            self._expiry.stop()
        if self._bans is not None:
            self._bans.stop()
        if self._updates is not None:
            self._updates.stop()
        for service in self._services:
            service.hold()

    def stop(self) -> None:
        """Take no more clients."""
        for listener in self._listeners:
            listener.stop()

    def save(self) -> None:
        """Save what has changed, if it is still ours to save."""
        for service in self._services:
            service.save()

    def _save_now_and_then(self) -> None:
        while True:
            sleep(_SAVE_EVERY)
            self.save()

    def __enter__(self) -> ServicePlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._manager is not None:
            self._manager.stop()
        if self._expiry is not None:
            self._expiry.stop()
        if self._bans is not None:
            self._bans.stop()
        if self._updates is not None:
            self._updates.stop()
        self._clients.kill()
        self._saver.kill()
        self.save()


class _Guest:
    """Leads accepted streams to their service."""

    __slots__ = ("_clients", "_room", "_service")

    def __init__(self, service: Answering, clients: Group, room: Room) -> None:
        self._service = service
        self._clients = clients
        self._room = room

    def welcome(self, stream: SocketStream, name: Any) -> None:
        self._clients.spawn(self._serve, stream, name)

    def _serve(self, stream: SocketStream, name: Any) -> None:
        try:
            self._service.accept(stream, _peer(stream, name))
        finally:
            stream.close()
            self._room.leave()


def _peer(stream: SocketStream, name: Any) -> Peer:
    """Who has connected; `name` is the kernel's name of the peer."""
    if isinstance(name, tuple):
        return Peer(Address(parse_ip(name[0]), name[1]))
    fd = stream.bare()
    credentials = credentials_of_peer(fd) if fd is not None else None
    return Peer(uid=credentials[1], pid=credentials[0]) if credentials is not None else NOBODY
