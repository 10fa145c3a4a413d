"""The circuit breaker: whoever has failed again and again is left alone for a while, and then tried by one alone.

closed ── failures within the window ──▸ open ── its time is over ──▸ half-open ── a success ──▸ closed
   ▴                                      ▴                               │
   └─ a success forgets all failures      └──── a failure: twice as long ─┘
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from gproxy.base.clock import now

State = Literal["closed", "open", "half-open"]


class Breaker:
    """One for each way. Times are in seconds. `failures` within `window` open it for `pause`, at most for `longest`."""

    __slots__ = ("_failures", "_longest", "_most", "_pause", "_trial", "_until", "_window", "opened", "pause")

    def __init__(self, failures: int, window: float, pause: float, longest: float) -> None:
        self._most = failures
        self._window = window
        self._pause = self.pause = pause
        self._longest = longest
        self._failures: deque[float] = deque(maxlen=failures)
        self._until = 0.0  # when it is open: for how long
        self._trial = 0.0  # when it is half-open: since when somebody tries
        self.opened = 0  # how many times, so far

    @property
    def state(self) -> State:
        """What it does now."""
        if not self._until:
            return "closed"
        return "open" if now() < self._until else "half-open"

    def left(self) -> float:
        """Seconds until it lets somebody try."""
        return max(0.0, self._until - now())

    def admit(self) -> bool:
        """Whether the way may be tried. Whoever is let in says how it went, with `succeeded` or `failed`."""
        if not self._until:
            return True
        at = now()
        if at < self._until or (self._trial and at - self._trial < self._pause):
            return False
        self._trial = at  # one that never says how it went holds up the others for a pause only
        return True

    def succeeded(self) -> bool:
        """The way is open; whether that is news."""
        self._failures.clear()
        if not self._until:
            return False
        self._until = self._trial = 0.0
        self.pause = self._pause
        return True

    def failed(self) -> bool:
        """It is not; whether the breaker has opened for that, for `pause` seconds."""
        at = now()
        if self._until:
            if at < self._until:
                return False  # one who was let in before it opened
            self.pause = min(2 * self.pause, self._longest)
        else:
            self._failures.append(at)
            if len(self._failures) < self._most or at - self._failures[0] > self._window:
                return False
        self._failures.clear()
        self._trial = 0.0
        self._until = at + self.pause
        self.opened += 1
        return True

    def gave_up(self) -> None:
        """Who was let in has left before it could be told how it went."""
        self._trial = 0.0
