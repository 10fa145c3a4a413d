"""Finding relays that nobody uses. One pass over all of them every second, and nothing at all on the data path."""

from __future__ import annotations

from typing import Protocol

from gproxy.base.clock import now
from gproxy.base.defaults import IDLE_SWEEP
from gproxy.rt.sockets import Task, Timer, current


class Idler(Protocol):
    """A relay, or a UDP session, that can be asked whether it is in use."""

    seen: int  # the sweeper's own: what `moved` was when it last looked
    since: float  # the sweeper's own: when it last saw that this had changed, or when it was added

    def moved(self) -> int:
        """How much so far, both ways: bytes, or datagrams."""

    def patience(self) -> float:
        """Seconds of silence that it may have now."""

    def expire(self) -> None:
        """It had more."""


class Sweeper:
    """Ends idle relays. Its timer runs only while there is something to look at."""

    def __init__(self, every: float = IDLE_SWEEP) -> None:
        self._every = every
        self._all: dict[Idler, Task] = {}  # each with the greenlet that runs it
        self._timer: Timer | None = None

    def add(self, idler: Idler) -> None:
        """Watch it until `remove`. The running greenlet is the one that runs it."""
        idler.seen = idler.moved()
        idler.since = now()
        self._all[idler] = current()
        if self._timer is None:
            self._timer = Timer(self._every, self.sweep, repeat=True)

    def remove(self, idler: Idler) -> None:
        """Idempotent."""
        self._all.pop(idler, None)
        if not self._all and self._timer is not None:
            self._timer.stop()
            self._timer = None

    def sweep(self) -> None:
        """One pass."""
        at = now()
        for idler in tuple(self._all):
            moved = idler.moved()
            if moved != idler.seen:
                idler.seen = moved
                idler.since = at
            elif at - idler.since >= idler.patience():
                idler.expire()

    def silent_since(self) -> dict[Task, float]:
        """Since when each relay has been seen to be silent, by the greenlet that runs it."""
        self.sweep()
        return {task: idler.since for idler, task in self._all.items()}


SWEEPER = Sweeper()
"""The worker's own."""
