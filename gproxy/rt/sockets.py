"""Waiting for descriptors: the data path's own cooperative sockets, right with or without the patch.

A Readiness is made once for a descriptor and direction, at its first wait, and lives as long as the descriptor does:
making a watcher for each wait would cost more than the wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gevent import get_hub, getcurrent
from greenlet import greenlet

Task = greenlet
"""A line of execution: what `current` gives."""

READ: Final = 1
WRITE: Final = 2


class Readiness:
    """One direction of one descriptor, for one waiter at a time."""

    __slots__ = ("_hub", "_waiting", "_watcher")

    def __init__(self, fd: int, event: int) -> None:
        self._hub = get_hub()
        self._watcher = self._hub.loop.io(fd, event)
        self._waiting: greenlet | None = None

    def wait(self) -> None:
        """Return when the descriptor is ready. Other greenlets run meanwhile."""
        me = getcurrent()
        self._waiting = me
        watcher = self._watcher
        watcher.start(me.switch)
        try:
            self._hub.switch()
        finally:
            watcher.stop()
            self._waiting = None

    def call(self, callback: Callable[[], object]) -> None:
        """From now on call back in the hub whenever the descriptor is ready, until `stop`. Nobody waits any more."""
        self._watcher.start(callback)

    def stop(self) -> None:
        """The end of `call`."""
        self._watcher.stop()

    def wake(self, error: BaseException) -> None:
        """Raise `error` in whoever waits."""
        if self._waiting is not None:
            self._watcher.stop()
            self._hub.loop.run_callback(self._throw, self._waiting, error)

    def _throw(self, waiter: greenlet, error: BaseException) -> None:
        if self._waiting is waiter:
            waiter.throw(error)

    def close(self) -> None:
        """Forget the descriptor. Call this before it is closed, and nothing afterwards."""
        self._watcher.stop()
        self._watcher.close()


def watch(fd: int, event: int) -> Any:
    """A bare watcher: `start(callback, *args)`, `stop()`, `close()`. Callbacks run in the hub: they never wait."""
    return get_hub().loop.io(fd, event)


def call_soon(call: Callable[..., object], /, *args: object) -> None:
    """Run `call(*args)` in the hub at its next turn."""
    get_hub().loop.run_callback(call, *args)


def current() -> greenlet:
    """The greenlet that runs now."""
    return getcurrent()


class Parking:
    """A greenlet that waits for callbacks to tell it that all is over."""

    __slots__ = ("_hub", "_parked", "done")

    def __init__(self) -> None:
        self._hub = get_hub()
        self._parked: greenlet | None = None
        self.done = False

    def park(self) -> None:
        """Wait for `release`. What is thrown into the greenlet comes out here."""
        if self.done:
            return
        self._parked = getcurrent()
        try:
            self._hub.switch()
        finally:
            self._parked = None

    def release(self) -> None:
        """Let the parked greenlet go on, once; quiet when repeated."""
        if not self.done:
            self.done = True
            if self._parked is not None:
                self._hub.loop.run_callback(self._resume)

    def _resume(self) -> None:
        if self._parked is not None:
            self._parked.switch()


class Gate:
    """One greenlet waits until another, or a callback, opens the gate. Opening is remembered until the next wait."""

    __slots__ = ("_hub", "_open", "_scheduled", "_waiting")

    def __init__(self) -> None:
        self._hub = get_hub()
        self._waiting: greenlet | None = None
        self._open = False
        self._scheduled = False

    def wait(self) -> None:
        """Return at once if the gate was opened since the last wait, else when it is."""
        if not self._open:
            self._waiting = getcurrent()
            try:
                self._hub.switch()
            finally:
                self._waiting = None
        self._open = False

    def open(self) -> None:
        """Let the waiter through; cheap to repeat."""
        self._open = True
        if self._waiting is not None and not self._scheduled:
            self._scheduled = True
            self._hub.loop.run_callback(self._resume)

    def _resume(self) -> None:
        self._scheduled = False
        if self._waiting is not None:
            self._waiting.switch()


class Timer:
    """Calls back in the hub once after some seconds, or again and again."""

    __slots__ = ("_timer",)

    def __init__(self, seconds: float, call: Callable[[], object], *, repeat: bool = False) -> None:
        self._timer = get_hub().loop.timer(seconds, seconds if repeat else 0.0)
        self._timer.start(call, update=True)

    def stop(self) -> None:
        """Idempotent."""
        self._timer.stop()
        self._timer.close()
