"""How long things take, counted in fixed buckets."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: what took so long, or less, is in that bucket. What took longer is in one more."""


class Timing:
    """One histogram, which only grows."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Something took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def values(self) -> tuple[int, ...]:
        """The buckets, each without those before it, and the sum in microseconds."""
        return (*self.counts, int(self.seconds * 1e6))
