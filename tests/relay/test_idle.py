from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gproxy.base.clock import now
from gproxy.relay.idle import Sweeper
from gproxy.rt.group import Group
from tests.support.clock import HeldClock
from tests.support.wait import wait_until


class Thing:
    """Moves when it is told to."""

    def __init__(self, patience: float = 10.0) -> None:
        self.seen = 7
        self.since = 7.0
        self.total = 0
        self.bears = patience
        self.expired = 0

    def moved(self) -> int:
        return self.total

    def patience(self) -> float:
        return self.bears

    def expire(self) -> None:
        self.expired += 1


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    sweeper = Sweeper(every=3600)
    yield sweeper
    for thing in list(sweeper._all):
        sweeper.remove(thing)


def test_the_patience_counts_from_the_beginning(sweeper: Sweeper, held_clock: HeldClock) -> None:
    thing = Thing()
    sweeper.add(thing)
    held_clock.advance(5)
    sweeper.sweep()
    held_clock.advance(4.9)
    sweeper.sweep()
    assert thing.expired == 0
    held_clock.advance(0.1)
    sweeper.sweep()
    assert thing.expired == 1


def test_movement_begins_it_anew(sweeper: Sweeper, held_clock: HeldClock) -> None:
    thing = Thing()
    sweeper.add(thing)
    for _ in range(5):
        sweeper.sweep()
        held_clock.advance(9)
        thing.total += 1
    sweeper.sweep()
    held_clock.advance(9)
    sweeper.sweep()
    assert thing.expired == 0


def test_each_has_its_own_patience_and_may_change_it(sweeper: Sweeper, held_clock: HeldClock) -> None:
    one, other = Thing(5), Thing(50)
    sweeper.add(one)
    sweeper.add(other)
    sweeper.sweep()
    held_clock.advance(20)
    sweeper.sweep()
    assert (one.expired, other.expired) == (1, 0)
    other.bears = 20
    sweeper.sweep()
    assert other.expired == 1


def test_one_that_leaves_during_a_sweep(sweeper: Sweeper, held_clock: HeldClock) -> None:
    class Leaving(Thing):
        def expire(self) -> None:
            super().expire()
            sweeper.remove(self)

    things = [Leaving(1) for _ in range(3)]
    for thing in things:
        sweeper.add(thing)
    sweeper.sweep()
    held_clock.advance(1)
    sweeper.sweep()
    assert [thing.expired for thing in things] == [1, 1, 1]
    assert sweeper._timer is None


def test_the_timer_runs_while_there_is_something_to_look_at() -> None:
    sweeper, thing = Sweeper(every=0.001), Thing(0)
    sweeper.add(thing)
    wait_until(lambda: thing.expired, "nobody sweeps")
    sweeper.remove(thing)
    sweeper.remove(thing)
    assert sweeper._timer is None
    sweeper.add(thing)
    assert sweeper._timer is not None
    sweeper.remove(thing)


def test_it_tells_since_when_each_is_silent(sweeper: Sweeper, held_clock: HeldClock) -> None:
    silent, busy = Thing(), Thing()
    with Group("test") as group:
        tasks = [group.spawn(sweeper.add, thing) for thing in (silent, busy)]
        assert group.join(30)
    began = now()
    held_clock.advance(1)
    busy.total += 1
    assert sweeper.silent_since() == {tasks[0]: began, tasks[1]: began + 1}
    sweeper.remove(silent)
    assert sweeper.silent_since() == {tasks[1]: began + 1}


class Bytes(Thing):
    def traffic(self) -> tuple[int, int]:
        return self.total, 2 * self.total


@dataclass
class Account:
    up: int = 0
    down: int = 0


def test_an_account_may_come_later_and_is_the_only_one(sweeper: Sweeper) -> None:
    thing, first, second = Bytes(), Account(), Account()
    sweeper.add(thing)
    thing.total = 3
    sweeper.charge(thing, first)
    sweeper.charge(thing, second)
    sweeper.sweep()
    assert first == Account(3, 6), "also what has moved before"
    thing.total = 5
    sweeper.remove(thing)
    assert (first, second) == (Account(5, 10), Account())
