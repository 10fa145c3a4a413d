"""The control process of a generation: what is not a client's bytes.

It sums up what the workers count, keeps the plugins running that are programs of their own, and serves the services.
"""

from __future__ import annotations

import contextlib
import os
from _socket import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gproxy.app.build import House
from gproxy.app.messages import (
    AskDebug,
    Debugged,
    Prepared,
    Reopen,
    RuleSetChanged,
    Serve,
    Serving,
    Stop,
    StopNow,
    Supplied,
    Traffic,
    Users,
    Yield,
    Yielded,
)
from gproxy.app.rules import take_rule_set
from gproxy.app.services import ServicePlane
from gproxy.config.root import Root
from gproxy.layers.plugin.keeper import Keeper
from gproxy.net.bind import Endpoint
from gproxy.observe import audit, debug
from gproxy.observe.books import Row
from gproxy.observe.log import setup
from gproxy.observe.rotation import rotations
from gproxy.observe.rotor import Rotor
from gproxy.observe.sink import Sink
from gproxy.proc.orders import CONTROL, KINDS, AskStatus, Begin, Counted, Rotated, Status
from gproxy.proc.place import Place
from gproxy.proc.post import Post, PostClosed
from gproxy.proc.tally import breakers_of
from gproxy.rt.group import Group
from gproxy.rt.patch import begin_anew
from gproxy.rt.sockets import READ, WRITE, Readiness
from gproxy.rt.sync import Lock


class Ledger:
    """The counters of all workers, dead ones included, so that totals never fall."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, int], dict[str, Any]] = {}
        self._life: dict[int, int] = {}

    def note(self, counted: Counted) -> None:
        """The newest snapshot of a worker in one of its lives."""
        self._latest[counted.worker, counted.life] = counted.counters
        self._life[counted.worker] = max(counted.life, self._life.get(counted.worker, 0))

    def totals(self) -> dict[str, Any]:
        """Sums over all lives; `active`, and what breakers do, over the present ones."""
        statuses: Counter[str] = Counter()
        sums = {"opened": 0, "active": 0, "up": 0, "down": 0}
        present: list[dict[str, Any]] = []
        past: list[dict[str, Any]] = []
        for (worker, life), counters in self._latest.items():
            statuses.update(counters["statuses"])
            lives = life == self._life[worker]
            for name in sums:
                if name != "active" or lives:
                    sums[name] += counters[name]
            (present if lives else past).append(counters.get("breakers", {}))
        breakers = breakers_of(present, past)
        return {**sums, "statuses": dict(statuses), **({"breakers": breakers} if breakers else {})}


class Channel:
    """To the template, for several greenlets; where the changes go that services make (see Outlet)."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._turn = Lock()

    def tell(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Tell the template. One that has gone needs no telling."""
        with self._turn, contextlib.suppress(PostClosed):
            self._post.send(message, descriptors)

    def tell_users(self, inbound: str, users: Mapping[str, str]) -> None:
        """See Outlet."""
        self.tell(Users(inbound, [[name, password] for name, password in users.items()]))

    def tell_traffic(self, rows: list[Row]) -> None:
        """See Outlet."""
        self.tell(Traffic(rows))

    def tell_certificates(self, provider: str, certificate: str, challenges: Mapping[str, str]) -> None:
        """See gproxy.service.acme.manager."""
        self.tell(Supplied(provider, certificate, dict(challenges)))

    def tell_rule_set(self, tag: str, digest: str, descriptor: int) -> None:
        """See gproxy.service.rule_sets.keeper."""
        self.tell(RuleSetChanged(tag, digest), (descriptor,))


class Control:
    """Obeys the template."""

    def __init__(
        self, house: House, sink: Sink, keeper: Keeper, plane: ServicePlane, channel: Channel, rotor: Rotor
    ) -> None:
        self._house = house
        self._management = house.services.management
        self._sink = sink
        self._keeper = keeper
        self._plane = plane
        self._channel = channel
        self._rotor = rotor
        self._tasks = Group("control")
        self._ledger = Ledger()

    def obey(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """One message, and the descriptors that came with it."""
        if isinstance(message, Counted):
            self._ledger.note(message)
        elif isinstance(message, Traffic):
            self._management.books.add(message.rows)
        elif isinstance(message, Users):
            users = {name: password for name, password in message.users}  # noqa: C416 - JSON knows no pairs
            self._management.inherit(message.inbound, users)
        elif isinstance(message, RuleSetChanged):
            take_rule_set(self._house.rule_sets, message, descriptors[0])
        elif isinstance(message, AskDebug):
            self._tasks.spawn(self._look, message)
        elif isinstance(message, AskStatus):
            self.report(message.request)
        elif isinstance(message, Reopen):
            for reopen in (self._sink.reopen, audit.reopen):
                with contextlib.suppress(OSError):  # the workers say so
                    reopen()
        else:
            self._change(message)

    def _change(self, message: object) -> None:
        """Of what is done here."""
        if isinstance(message, Begin):
            self._plane.load(message.load)
            self._channel.tell(Prepared())
        elif isinstance(message, Serve):
            self._keeper.start()
            self._plane.start()
            self._rotor.start()
            self._channel.tell(Serving())
        elif isinstance(message, Yield):
            self._rotor.stop()
            self._plane.make_room()
            self._keeper.make_room()
            self._channel.tell(Yielded())
        elif isinstance(message, Stop | StopNow):
            self._plane.stop()

    def _look(self, message: AskDebug) -> None:
        self._channel.tell(Debugged(message.request, os.getpid(), debug.answer(message.what, message.seconds)))

    def report(self, request: int) -> None:
        """Tell the counters."""
        self._channel.tell(Status(request, self._ledger.totals()))


def main(place: Place, root: Root, house: House, descriptors: dict[tuple[int, int], int]) -> None:
    """Answer the template until it says no more; the last word are the final counters.

    `descriptors` are the sockets by the index of their door, the doors of services behind all others, and their slot.
    """
    begin_anew()
    sink = setup(root.log)
    audit.setup(root.log.audit, root.log.clients)
    sink.start()
    audit.start()
    readable, writable = Readiness(place.channel.fileno(), READ), Readiness(place.channel.fileno(), WRITE)
    post = Post(place.channel, KINDS, lambda _: readable.wait(), lambda _: writable.wait())
    channel = Channel(post)
    house.services.management.attach(channel)
    if house.counting is not None:
        house.counting.join(house, CONTROL, place.generation)
    if house.certificates.manager is not None:
        house.certificates.manager.attach(channel)
    if house.updates is not None:
        house.updates.attach(channel)
    sockets = _sockets(house, descriptors)
    manager, updates = house.certificates.manager, house.updates
    with Keeper(house.plugins) as keeper, ServicePlane(house.services, sockets, manager, updates) as plane:
        rotor = Rotor(rotations([root.log.access, root.log.audit]), lambda: channel.tell(Rotated()))
        control = Control(house, sink, keeper, plane, channel, rotor)
        with contextlib.suppress(PostClosed):
            while True:
                message, received = post.receive()
                control.obey(message, received)
    control.report(0)
    audit.close()
    sink.close()


def _sockets(house: House, descriptors: dict[tuple[int, int], int]) -> dict[Endpoint, dict[int, socket]]:
    """All slots of the services' doors; our copies of all others are closed."""
    found: dict[Endpoint, dict[int, socket]] = {door.endpoint: {} for door in house.services.doors}
    for (index, slot), fd in descriptors.items():
        if index < len(house.doors):
            os.close(fd)
        else:
            sock = found[house.services.doors[index - len(house.doors)].endpoint][slot] = socket(fileno=fd)
            sock.setblocking(False)
    return found
