"""When memory is short and when it no longer is: the decisions, without any action."""

from __future__ import annotations

import math

# Enough has been freed when this part of the limit is free again.
_SPAN = 10

# Sessions that may be ended at one look: a quarter of all, so that a wrong guess does not end everything at once; a
# few are nothing to be careful about.
_QUARTER = 4
_FEW = 64

# Looks after which memory that does not come back is taken for holes.
_PATIENCE = 3


class Gate:
    """Closed from the moment when more than `limit` bytes are in use until less than nine tenths of it are.

    Or, after some looks, when the limit is kept again and as many sessions have ended as needed a tenth of it: what
    they needed may stay with the process, in holes that the next ones fill, and ending more would not change that.

    `used` at the beginning is what the process needs without clients: the rest is taken to be theirs.
    """

    __slots__ = ("_base", "_ending", "_high", "_limit", "_looks", "_low", "_needed", "_peak", "_span", "closed")

    def __init__(self, limit: int, used: int) -> None:
        self._limit = self._high = limit
        self._span = limit // _SPAN
        self._low = limit - self._span
        self._base = used
        self._peak = 0
        self._ending = 0
        self._needed = 0
        self._looks = 0
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
        self._looks += 1
        if not self.closed:
            if used <= self._high:
                return 0
            self.closed = True
            self._looks = 0
            self._peak, self._ending = used, 0
            self._needed = self._wanted(used, sessions) if sessions else 0
        elif not self.near(used) or (sessions and self._is_all_holes(used)):
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

    def _is_all_holes(self, used: int) -> bool:
        return self._looks > _PATIENCE and used <= self._high and self._ending >= self._needed

    def _hold(self, limit: int) -> None:
        self._high, self._low = limit, limit - self._span

    def _count(self, used: int, sessions: int) -> int:
        """As many as it takes, by what those ended so far gave back: less than they used, since memory has holes."""
        return max(1, min(self._wanted(used, sessions), sessions, max(_FEW, sessions // _QUARTER)))

    def _wanted(self, used: int, sessions: int) -> int:
        each = (self._peak - used) / self._ending if self._ending else (used - self._base) / sessions
        return math.ceil((used - self._low) / max(each, 1.0))
