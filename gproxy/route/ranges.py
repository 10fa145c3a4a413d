"""Sets of integers that are made of ranges: a list of boundaries, and one binary search.

The boundaries are where membership changes: the first value of each range, and the first value after it. A value is a
member if an odd number of boundaries is not above it. Arrays of machine words hold them: large sets stay small.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Bounds = tuple[int, int]
"""The first and the last value of a range: both belong to it."""

_WORD = 2**64


def merged(ranges: Iterable[Bounds]) -> Iterator[Bounds]:
    """The same set as few ranges, in order, that neither overlap nor touch."""
    first, last = 0, -1
    for low, high in sorted(ranges):
        if low > last + 1:
            if first <= last:
                yield first, last
            first, last = low, high
        else:
            last = max(last, high)
    if first <= last:
        yield first, last


def boundaries(ranges: Iterable[Bounds], bits: int) -> Iterator[int]:
    """Where membership changes, for values of so many bits."""
    for low, high in merged(ranges):
        yield low
        if high + 1 < 2**bits:
            yield high + 1


class Ranges:
    """A set of integers below 2**32: ports, IPv4 addresses."""

    __slots__ = ("_bounds",)

    def __init__(self, ranges: Iterable[Bounds]) -> None:
        self._bounds = array("I", boundaries(ranges, 32))

    def __contains__(self, value: int) -> bool:
        return bisect_right(self._bounds, value) & 1 == 1


class WideRanges:
    """A set of integers below 2**128: IPv6 addresses. Boundaries are kept as halves, in the order of the wholes."""

    __slots__ = ("high", "low")

    def __init__(self, ranges: Iterable[Bounds]) -> None:
        bounds = list(boundaries(ranges, 128))
        self.high = array("Q", (bound // _WORD for bound in bounds))
        self.low = array("Q", (bound % _WORD for bound in bounds))

    @classmethod
    def sorted(cls, high: array[int], low: array[int]) -> WideRanges:
        """The set of these boundaries, as another one had them."""
        made = cls.__new__(cls)
        made.high, made.low = high, low
        return made

    def __contains__(self, value: int) -> bool:
        high = value >> 64
        start = bisect_left(self.high, high)
        end = bisect_right(self.high, high, start)
        if start == end:  # nearly always: a prefix seldom begins or ends just here
            return start & 1 == 1
        return bisect_right(self.low, value & (_WORD - 1), start, end) & 1 == 1
