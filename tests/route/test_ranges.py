"""gproxy.route.ranges against the plain meaning of a range."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.ranges import Ranges, WideRanges, boundaries, merged


def spans(limit: int):
    near = st.one_of(st.integers(0, 40), st.integers(limit - 40, limit - 1), st.integers(0, limit - 1))
    return st.lists(st.tuples(near, near).map(lambda ends: (min(ends), max(ends))), max_size=12)


def probes(ranges, limit):
    edges = {edge + step for span in ranges for edge in span for step in (-1, 0, 1)}
    return [value for value in edges | {0, 1, limit - 1} if 0 <= value < limit]


@given(spans(2**32))
def test_ports_and_ipv4(ranges):
    found = Ranges(ranges)
    for value in probes(ranges, 2**32):
        assert (value in found) == any(low <= value <= high for low, high in ranges)


@given(st.one_of(spans(2**128), spans(2**65), spans(2**64 + 8)))
def test_ipv6(ranges):
    found = WideRanges(ranges)
    for value in [*probes(ranges, 2**128), 2**64 - 1, 2**64, 2**64 + 1]:
        assert (value in found) == any(low <= value <= high for low, high in ranges)


@given(spans(200))
def test_merged_ranges_are_few_and_in_order(ranges):
    result = list(merged(ranges))
    assert all(low <= high for low, high in result)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(result))
    assert {v for low, high in result for v in range(low, high + 1)} == {
        v for low, high in ranges for v in range(low, high + 1)
    }


def test_ranges_that_touch_become_one():
    assert list(merged([(5, 9), (1, 4), (11, 12)])) == [(1, 9), (11, 12)]


def test_a_range_that_begins_at_zero():
    assert list(merged([(0, 0)])) == [(0, 0)]
    assert 0 in Ranges([(0, 0)])
    assert 1 not in Ranges([(0, 0)])


@pytest.mark.parametrize("kind", [Ranges, WideRanges])
def test_nothing_is_in_no_ranges(kind):
    assert 0 not in kind([])
    assert 2**32 - 1 not in kind([])


def test_the_end_of_the_numbers_needs_no_boundary():
    assert list(boundaries([(3, 255)], 8)) == [3]
    assert 2**32 - 1 in Ranges([(7, 2**32 - 1)])
    assert 2**128 - 1 in WideRanges([(7, 2**128 - 1)])
