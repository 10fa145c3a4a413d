"""Deadlines of many that all have the same time: one timer does for them."""

from __future__ import annotations

from typing import Final, Protocol

from gproxy.base.clock import now
from gproxy.rt.sockets import Timer

_LEAST: Final = 0.001  # seconds: a timer and the clock may differ by less


class Late(Protocol):
    """Whoever has only so much time."""

    def late(self) -> None:
        """It is over. It is called in the hub, and neither waits nor raises."""


class Due:
    """Those whose time runs, in the order in which it ends."""

    __slots__ = ("_ends", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        """`seconds`: what each of them has."""
        self._seconds = seconds
        self._ends: dict[Late, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, one: Late, began: float) -> None:
        """Its time has begun just now: `began`, by `now`."""
        self._ends[one] = began + self._seconds
        if self._timer is None:
            self._timer = Timer(self._seconds, self._look)

    def drop(self, one: Late) -> None:
        """It has been in time. Idempotent."""
        self._ends.pop(one, None)

    def _look(self) -> None:
        """In the hub, when the time of the first one was to end."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        time = now()
        over = []
        for one, end in self._ends.items():
            if end > time:
                self._timer = Timer(max(end - time, _LEAST), self._look)
                break
            over.append(one)
        for one in over:
            del self._ends[one]
        for one in over:
            one.late()
