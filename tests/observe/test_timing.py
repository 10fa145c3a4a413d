from __future__ import annotations

from gproxy.observe.timing import BOUNDS, Timing


def test_what_takes_as_long_as_a_bound_is_within_it() -> None:
    timing = Timing()
    timing.observe(BOUNDS[0])
    timing.observe(BOUNDS[0] * 1.01)
    assert timing.counts[:3] == [1, 1, 0]


def test_what_takes_longer_than_all_bounds_is_counted_too() -> None:
    timing = Timing()
    timing.observe(60.0)
    assert timing.values() == (*[0] * len(BOUNDS), 1, 60_000_000)
