from __future__ import annotations

import time

from gproxy.base import clock
from tests.support.clock import START, START_WALL, HeldClock


def test_the_clocks_are_the_systems() -> None:
    before = time.monotonic(), time.time()
    read = clock.now(), clock.wall()
    after = time.monotonic(), time.time()
    assert before[0] <= read[0] <= after[0]
    assert before[1] <= read[1] <= after[1]


def test_a_held_clock_stands_still(held_clock: HeldClock) -> None:
    assert (clock.now(), clock.wall()) == (START, START_WALL)
    held_clock.advance(2.5)
    assert (clock.now(), clock.wall()) == (START + 2.5, START_WALL + 2.5)


def test_a_released_clock_runs_again() -> None:
    clock.now.hold(lambda: -1.0)
    try:
        assert clock.now() == -1.0
    finally:
        clock.now.release()
    assert clock.now() > 0
