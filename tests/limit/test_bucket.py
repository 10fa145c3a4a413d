from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.limit.bucket import TokenBucket
from tests.support.clock import HeldClock


def test_it_starts_full_and_fills_at_its_rate(held_clock: HeldClock) -> None:
    bucket = TokenBucket(rate=2, burst=3)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    held_clock.advance(0.49)
    assert not bucket.take()
    held_clock.advance(0.01)
    assert bucket.take()
    assert not bucket.take()


def test_it_saves_no_more_than_its_burst(held_clock: HeldClock) -> None:
    bucket = TokenBucket(rate=2, burst=3)
    held_clock.advance(1000)
    assert bucket.take(3)
    assert not bucket.take(0.1)


def test_more_than_the_burst_is_never_there(held_clock: HeldClock) -> None:
    bucket = TokenBucket(rate=1, burst=3)
    assert not bucket.take(4)
    assert bucket.take(3)


def test_a_debt_takes_its_time(held_clock: HeldClock) -> None:
    bucket = TokenBucket(rate=10, burst=10)
    assert bucket.borrow(10) == 0
    assert bucket.borrow(5) == pytest.approx(0.5)
    assert bucket.borrow(5) == pytest.approx(1.0)
    assert not bucket.take()
    held_clock.advance(1.0)
    assert not bucket.take()
    held_clock.advance(0.1)
    assert bucket.take()


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_it_must_be_able_to_hold_and_to_fill(rate: float, burst: float) -> None:
    with pytest.raises(ValueError):
        TokenBucket(rate, burst)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=40))
def test_what_is_taken_stays_within_rate_and_burst(steps: list[tuple[float, float]]) -> None:
    time = 0.0
    bucket = TokenBucket(rate=2, burst=5, clock=lambda: time)
    taken = 0.0
    for passed, wanted in steps:
        time += passed
        if bucket.take(wanted):
            taken += wanted
        assert taken <= 5 + 2 * time + 1e-6
