"""The token bucket: how often something may happen, with a burst."""

from __future__ import annotations

from collections.abc import Callable

from gproxy.base.clock import now


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up. It starts full. Raises ValueError unless both are above 0."""

    __slots__ = ("_burst", "_clock", "_rate", "_tokens", "_when")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = now) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError("a token bucket needs a rate and a burst above 0")
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst)
        self._when = clock()

    def _refill(self) -> None:
        at = self._clock()
        self._tokens = min(self._burst, self._tokens + (at - self._when) * self._rate)
        self._when = at

    def take(self, count: float = 1.0) -> bool:
        """Take `count` tokens if they are there."""
        self._refill()
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def borrow(self, count: float) -> float:
        """Take `count` tokens even if that goes into debt; seconds to wait until the debt is paid, 0 without one."""
        self._refill()
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)
