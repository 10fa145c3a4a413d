"""A worker: one data plane in a process of its own, forked from the template with everything loaded."""

from __future__ import annotations

import faulthandler
import logging
import os
from _socket import socket

from gproxy.app.build import House
from gproxy.app.data import DataPlane
from gproxy.app.messages import Stop, Stopped, ToControl, ToData
from gproxy.config.root import Root
from gproxy.limit.room import share as share_places
from gproxy.net.bind import Endpoint
from gproxy.observe import access, audit
from gproxy.observe.log import setup
from gproxy.proc.beat import EVERY
from gproxy.proc.limits import Limits
from gproxy.proc.orders import KINDS
from gproxy.proc.place import Place
from gproxy.proc.post import Post, PostClosed
from gproxy.proc.slots import share
from gproxy.rt.group import Group
from gproxy.rt.patch import begin_anew
from gproxy.rt.sockets import READ, WRITE, Readiness
from gproxy.rt.sync import Event, Lock, sleep

_log = logging.getLogger("gproxy.proc")


def main(place: Place, root: Root, house: House, descriptors: dict[tuple[int, int], int]) -> None:
    """Serve until told to stop, and return. `descriptors` are the sockets by the index of their door and their slot."""
    begin_anew()
    sink = setup(root.log)
    # A hung worker is told to write down where it hangs: that goes where its log goes.
    faulthandler.enable(sink.fileno())
    access.setup(root.log.access, root.log.clients)
    audit.setup(root.log.audit, root.log.clients)
    sink.start()
    access.start()
    audit.start()
    house.table.number(place.worker, place.workers)
    if house.counting is not None:
        house.counting.join(house, place.worker, place.generation)
    limits = Limits.find(root.runtime.max_connections, root.runtime.memory_limit, place.workers)
    if place.worker == 0:  # the others have the same
        _log.info("limits: %s", limits)
    house.room.allow(share_places(limits.connections, place.worker, place.workers))
    channel = TemplateChannel(place.channel, root.runtime.stop_grace)
    plane = DataPlane(house, _sockets(place, house, descriptors), sink, limits.memory_each())
    with Group("worker") as group:
        group.spawn(_serve, plane, channel)
        group.spawn(_live, place, plane, channel)
        channel.stopped.wait()
    access.close()
    audit.close()
    sink.close()


def _serve(plane: DataPlane, channel: TemplateChannel) -> None:
    """A plane that ends for whatever reason ends the worker: it is replaced, and does not live on obeying nobody."""
    try:
        plane.serve(channel)
    finally:
        channel.stopped.set()


def _live(place: Place, plane: DataPlane, channel: TemplateChannel) -> None:
    """Beat, and tell what was counted, as long as the hub turns."""
    told = None
    while True:
        place.beats.beat(place.worker)
        snapshot = plane.snapshot()
        if snapshot != told:
            channel.tell(snapshot)
            told = snapshot
        sleep(EVERY)


def _sockets(place: Place, house: House, descriptors: dict[tuple[int, int], int]) -> dict[Endpoint, dict[int, socket]]:
    """The slots that this worker serves; its copies of all others are closed."""
    found: dict[Endpoint, dict[int, socket]] = {}
    for index, door in enumerate(house.doors):
        slots = sum(1 for endpoint, _ in descriptors if endpoint == index)
        mine = share(slots, place.worker, place.workers, stream=door.endpoint.kind == "stream")
        found[door.endpoint] = {slot: _socket(descriptors.pop((index, slot))) for slot in mine}
    for fd in descriptors.values():
        os.close(fd)
    return found


def _socket(fd: int) -> socket:
    sock = socket(fileno=fd)
    sock.setblocking(False)
    return sock


class TemplateChannel:
    """The data plane's end of the channel to the template (see DataEnd)."""

    def __init__(self, sock: socket, stop_grace: float) -> None:
        readable, writable = Readiness(sock.fileno(), READ), Readiness(sock.fileno(), WRITE)
        self._post = Post(sock, KINDS, lambda _: readable.wait(), lambda _: writable.wait())
        self._turn = Lock()
        self._alone: Stop | None = Stop(stop_grace)
        self.stopped = Event()

    def tell(self, message: ToControl, descriptor: int | None = None) -> None:
        """Tell the template. One that has gone needs no telling."""
        with self._turn:
            try:
                self._post.send(message, () if descriptor is None else (descriptor,))
            except PostClosed:
                pass
        if isinstance(message, Stopped):
            self.stopped.set()

    def receive(self) -> tuple[ToData, int | None]:
        """The next order. Without a template nobody would replace this worker: it finishes what it has."""
        try:
            message, descriptors = self._post.receive()
        except PostClosed:
            if self._alone is not None:
                order, self._alone = self._alone, None
                return order, None
            Event().wait()  # for the end of the process: there is nothing left to obey
            raise
        return message, descriptors[0] if descriptors else None
