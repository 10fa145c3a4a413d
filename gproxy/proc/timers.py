"""Things to do later, in a loop without a hub. Standard library only."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

from gproxy.base.clock import now


class Timers:
    """Calls that are due at some time. They can't be taken back: a call looks whether it still makes sense."""

    def __init__(self, clock: Callable[[], float] = now) -> None:
        self._clock = clock
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call it then."""
        heapq.heappush(self._queue, (self._clock() + seconds, next(self._order), call))

    def next_in(self) -> float | None:
        """Seconds until the next call, None if there is none."""
        return max(0.0, self._queue[0][0] - self._clock()) if self._queue else None

    def run_due(self) -> None:
        """Make the calls whose time has come."""
        while self._queue and self._queue[0][0] <= self._clock():
            heapq.heappop(self._queue)[2]()
