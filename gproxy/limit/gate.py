"""When memory is short and when it no longer is: the decisions, without any action."""

from __future__ import annotations

import math

# Enough has been freed when this part of the limit is free again.
_SPAN = 10

# Sessions that may be ended at one look: a quarter of all, so that a wrong guess does not end everything at once; a
# few are nothing to be careful about.
_QUARTER = 4
_FEW = 64


class Gate:
    """Closed from the moment when more than `limit` bytes are in use until less than nine tenths of it are.

    `used` at the beginning is what the process needs without clients: the rest is taken to be theirs.
    """

    __slots__ = ("_base", "_ending", "_high", "_limit", "_low", "_peak", "_span", "closed")

    def __init__(self, limit: int, used: int) -> None:
        self._limit = self._high = limit
        self._span = limit // _SPAN
        self._low = limit - self._span
        self._base = used
        self._peak = 0
        self._ending = 0
        self.closed = False

    @property
    def beyond(self) -> bool:
        """Whether the limit can't be kept, and a higher one holds meanwhile."""
        return self._high > self._limit

    def near(self, used: int) -> bool:
        """Whether it may close soon, with so many bytes in use."""
        return used >= self._low

    def look(self, used: int, sessions: int) -> int:
        """Open or close for so many bytes in use by so many sessions; how many of them should be ended now."""
        if self.beyond and used < self._limit - self._span:
            self._hold(self._limit)
        if not self.closed:
            if used <= self._high:
                return 0
            self.closed = True
            self._peak, self._ending = used, 0
        elif not self.near(used):
            self.closed = False
            return 0
        elif not sessions:
            # Nobody is left, and no more can be freed: serving nobody for ever would help nobody.
            self._hold(used + 2 * self._span)
            self.closed = False
            return 0
        count = self._count(used, sessions) if sessions else 0
        self._ending += count
        return count

    def _hold(self, limit: int) -> None:
        self._high, self._low = limit, limit - self._span

    def _count(self, used: int, sessions: int) -> int:
        """As many as it takes, by what those ended so far gave back: less than they used, since memory has holes."""
        each = (self._peak - used) / self._ending if self._ending else (used - self._base) / sessions
        wanted = math.ceil((used - self._low) / max(each, 1.0))
        return max(1, min(wanted, sessions, max(_FEW, sessions // _QUARTER)))
