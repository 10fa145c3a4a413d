"""Time that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gproxy.base import clock

START = 1_000.0
START_WALL = 1_750_000_000.0


class HeldClock:
    """Both clocks of gproxy.base.clock, moved by hand."""

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> float:
        """What `clock.now()` says."""
        return START + self._passed

    def wall(self) -> float:
        """What `clock.wall()` says."""
        return START_WALL + self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass. Timers of the hub know nothing of it."""
        assert seconds >= 0, "time never goes back"
        self._passed += seconds


@pytest.fixture
def held_clock() -> Iterator[HeldClock]:
    """Holds `clock.now` and `clock.wall` for one test."""
    held = HeldClock()
    clock.now.hold(held.now)
    clock.wall.hold(held.wall)
    yield held
    clock.now.release()
    clock.wall.release()
