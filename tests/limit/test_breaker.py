from __future__ import annotations

import pytest

from gproxy.limit.breaker import Breaker
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]


@pytest.fixture
def breaker(held_clock: HeldClock) -> Breaker:
    return Breaker(failures=3, window=10.0, pause=5.0, longest=20.0)


def fail(breaker: Breaker, count: int = 1) -> list[bool]:
    return [breaker.failed() for _ in range(count)]


def test_failures_in_a_window_open_it(breaker: Breaker, held_clock: HeldClock) -> None:
    assert breaker.admit()
    assert fail(breaker, 2) == [False, False]
    held_clock.advance(11)
    assert fail(breaker, 2) == [False, False], "the first ones were too long ago"
    assert breaker.admit()
    assert fail(breaker) == [True]
    assert (breaker.state, breaker.admit(), breaker.left(), breaker.opened) == ("open", False, 5.0, 1)


def test_a_success_forgets_them(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert not breaker.succeeded()
    assert fail(breaker, 2) == [False, False]
    assert breaker.state == "closed"


def test_one_alone_tries(breaker: Breaker, held_clock: HeldClock) -> None:
    fail(breaker, 3)
    held_clock.advance(5)
    assert breaker.state == "half-open"
    assert [breaker.admit() for _ in range(3)] == [True, False, False]
    assert breaker.succeeded()
    assert (breaker.state, breaker.admit(), breaker.admit()) == ("closed", True, True)


def test_each_failed_trial_makes_it_longer(breaker: Breaker, held_clock: HeldClock) -> None:
    fail(breaker, 3)
    for pause in (10.0, 20.0, 20.0):
        held_clock.advance(breaker.left())
        assert breaker.admit()
        assert breaker.failed()
        assert breaker.left() == breaker.pause == pause
        assert not breaker.admit()
    held_clock.advance(20)
    assert breaker.admit()
    breaker.succeeded()
    fail(breaker, 3)
    assert breaker.left() == 5.0, "it begins anew"


def test_who_was_let_in_before_says_nothing_new(breaker: Breaker, held_clock: HeldClock) -> None:
    fail(breaker, 3)
    assert fail(breaker, 5) == [False] * 5
    assert breaker.left() == 5.0
    assert breaker.succeeded(), "but it opens the way"


def test_a_trial_that_says_nothing_does_not_hold_it_for_ever(breaker: Breaker, held_clock: HeldClock) -> None:
    fail(breaker, 3)
    held_clock.advance(5)
    assert breaker.admit()
    held_clock.advance(4)
    assert not breaker.admit()
    held_clock.advance(1)
    assert breaker.admit()
    assert not breaker.admit()
    breaker.gave_up()
    assert breaker.admit()
