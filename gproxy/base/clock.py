"""The two clocks. Code asks these and not `time`, so that a test can hold them still."""

from __future__ import annotations

import time
from collections.abc import Callable


class _Clock:
    """A clock that reads the system's unless a test has put another reading in its place."""

    __slots__ = ("_read", "_system")

    def __init__(self, system: Callable[[], float]) -> None:
        self._system = system
        self._read = system

    def __call__(self) -> float:
        return self._read()

    def hold(self, read: Callable[[], float]) -> None:
        """Read this clock from `read` until `release`."""
        self._read = read

    def release(self) -> None:
        self._read = self._system


now = _Clock(time.monotonic)
"""Seconds that never go back: for durations and deadlines."""

wall = _Clock(time.time)
"""Seconds since the epoch: for log lines and timestamps on the wire."""
