"""Solo mode: both planes in one process. The same planes, the same messages, an in-process channel."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping

from gproxy import __version__
from gproxy.app.build import House, build
from gproxy.app.data import DataPlane
from gproxy.app.messages import (
    Prepared,
    Reopen,
    Serve,
    Serving,
    Snapshot,
    Stop,
    StopNow,
    Stopped,
    Supplied,
    Traffic,
    Users,
)
from gproxy.app.services import ServicePlane
from gproxy.base.errors import ConfigError
from gproxy.config.root import Root
from gproxy.layers.plugin.keeper import Keeper
from gproxy.limit.memory import Memory
from gproxy.limit.room import share
from gproxy.observe import access, audit
from gproxy.observe.books import Row
from gproxy.observe.log import setup
from gproxy.observe.rotation import rotations
from gproxy.observe.rotor import Rotor
from gproxy.observe.sink import Sink
from gproxy.proc.acts import Act
from gproxy.proc.admin import default_path
from gproxy.proc.desk import SoloBans, SoloDesk
from gproxy.proc.heap import settle
from gproxy.proc.limits import Limits, raise_descriptor_limit
from gproxy.proc.local import LocalChannel
from gproxy.proc.notify import Notifier, inherited
from gproxy.proc.slots import Slots
from gproxy.rt.group import Group
from gproxy.rt.signals import on_signal
from gproxy.rt.sync import sleep

_log = logging.getLogger("gproxy")


def run(root: Root, *, colour: bool = True) -> None:
    """Serve until SIGTERM or SIGINT, and return when all is closed.

    Raises ConfigError, before anything is served, when a socket or the log can't be opened.
    """
    try:
        sink = setup(root.log, colour=colour)
    except OSError as error:
        raise ConfigError(f"can't open the log {root.log.output}: {error.strerror}") from error
    access.probe(root.log.access)
    audit.probe(root.log.audit)
    access.setup(root.log.access, root.log.clients)
    audit.setup(root.log.audit, root.log.clients)
    raise_descriptor_limit()
    limits = Limits.find(root.runtime.max_connections, root.runtime.memory_limit)
    memory = Memory()
    house = build(root, memory)
    house.room.allow(share(limits.connections, 0, 1))
    slots = Slots()
    bans = root.bans is not None and root.bans.enabled
    allow = list(map(str, root.bans.allow)) if root.bans is not None else []
    control = Control(house, slots, sink, limits, root, SoloBans(memory, allow) if bans else None)
    slots.inherit(inherited())
    control.heed_signals()  # before there is anything that one of them could leave behind
    slots.open(house.endpoints())
    settle()
    try:
        control.run()
    finally:
        slots.close()
        access.close()
        audit.close()
        sink.close()


class Control:
    """The control plane of solo mode: turns signals into messages."""

    def __init__(
        self, house: House, slots: Slots, sink: Sink, limits: Limits, root: Root, bans: SoloBans | None = None
    ) -> None:
        self._bans = bans
        self._house = house
        self._slots = slots
        self._sink = sink
        self._limits = limits
        self._stop_grace = root.runtime.stop_grace
        self._control = root.runtime.control
        self._channel = LocalChannel()
        self._notifier = Notifier()
        self._stopping = False
        self._management = house.services.management
        self._rotor = Rotor(rotations([root.log.access, root.log.audit]), self._reopen)

    def heed_signals(self) -> None:
        """From now on a signal is a message, which waits for the data plane if need be."""
        on_signal(signal.SIGTERM, self._stop_signalled)
        on_signal(signal.SIGINT, self._stop_signalled)
        on_signal(signal.SIGUSR1, self._reopen_signalled)
        on_signal(signal.SIGHUP, lambda: _cannot_reload("reload"))
        on_signal(signal.SIGUSR2, lambda: _cannot_reload("upgrade"))

    def run(self) -> None:
        """Start the data plane and stay until it has stopped."""
        self._sink.start()
        access.start()
        audit.start()
        sockets = {endpoint: dict(enumerate(self._slots.of(endpoint))) for endpoint in self._slots.endpoints()}
        plane = DataPlane(self._house, sockets, self._sink, self._limits.memory_each())
        manager = self._house.certificates.manager
        services = ServicePlane(self._house.services, sockets, manager, self._house.updates)
        self._management.attach(self)
        if self._house.counting is not None:
            self._house.counting.join(self._house, 0, 1, alone=True)
        if manager is not None:
            manager.attach(self)
        desk = SoloDesk(plane.snapshot, self._listening, self._stop, plane.look, self._bans)
        self._open(desk)
        with Group("planes") as planes, Keeper(self._house.plugins) as keeper, services:
            planes.spawn(plane.serve, self._channel)
            planes.spawn(self._pat)
            try:
                self._rule(keeper, services)
            finally:
                desk.close()

    def _listening(self) -> list[str]:
        return list(map(str, self._slots.endpoints()))

    def _open(self, desk: SoloDesk) -> None:
        """The control socket: where the configuration wants it, or in a folder that the service manager has made.

        Several processes of one user may run alone, so that there is no usual place for it.
        """
        path = self._control or (default_path() if os.environ.get("RUNTIME_DIRECTORY") else "")
        if not path:
            return
        try:
            desk.listen(path)
        except OSError as error:
            if self._control:
                raise ConfigError(f"no control socket at {path}: {error.strerror}") from error
            _log.warning("no control socket at %s: %s", path, error.strerror)

    def tell_users(self, inbound: str, users: Mapping[str, str]) -> None:
        """See Outlet."""
        self._channel.order(Users(inbound, [[name, password] for name, password in users.items()]))

    def tell_traffic(self, rows: list[Row]) -> None:
        """See Outlet. Nobody else keeps books here."""

    def tell_certificates(self, provider: str, certificate: str, challenges: Mapping[str, str]) -> None:
        """See gproxy.service.acme.manager."""
        self._channel.order(Supplied(provider, certificate, dict(challenges)))

    def _rule(self, keeper: Keeper, services: ServicePlane) -> None:
        last: Snapshot | None = None
        while True:
            message = self._channel.hear()
            if isinstance(message, Prepared):
                services.load(self._management.inbounds())
                self._channel.order(Serve())
                keeper.start()
            elif isinstance(message, Serving):
                services.start()
                self._rotor.start()
                self._say_ready()
            elif isinstance(message, Traffic):
                self._management.books.add(message.rows)
            elif isinstance(message, Snapshot):
                last = message
            elif isinstance(message, Stopped):
                self._rotor.stop()
                _say_stopped(message, last)
                return

    def _stop(self) -> None:
        """Once: let sessions end by themselves for a while. Twice: now."""
        self._notifier.stopping(self._stop_grace)
        self._channel.order(StopNow() if self._stopping else Stop(self._stop_grace))
        self._stopping = True

    def _stop_signalled(self) -> None:
        Act(audit.write, "stop").answer(ok=True)
        self._stop()

    def _reopen(self) -> None:
        self._channel.order(Reopen())

    def _reopen_signalled(self) -> None:
        self._reopen()
        Act(audit.write, "reopen").answer(ok=True)

    def _say_ready(self) -> None:
        for endpoint in self._slots.endpoints():
            _log.info("listening on %s", endpoint)
        _log.info("limits: %s", self._limits)
        _log.info("gproxy %s is ready", __version__)
        Act(audit.write, "start", by="start").answer(ok=True)
        self._slots.store(self._notifier)
        self._notifier.ready(", ".join(map(str, self._slots.endpoints())))

    def _pat(self) -> None:
        """Show the service manager, where it asks for that, that the hub turns."""
        interval = self._notifier.watchdog_interval()
        while interval is not None:
            self._notifier.watchdog()
            sleep(interval)


def _cannot_reload(event: str) -> None:
    """A generation is made of processes: there is nothing here that could take over without losing sessions."""
    _log.warning("reload and upgrade need worker processes (runtime.workers): nothing has changed")
    Act(audit.write, event).answer(ok=False, error="it needs worker processes (runtime.workers)")


def _say_stopped(message: Stopped, last: Snapshot | None) -> None:
    if last is not None:
        _log.info(
            "stopped: %d clients served, %d bytes up, %d bytes down, %d sessions ended early",
            last.opened, last.up, last.down, message.ended,
        )  # fmt: skip
