"""How many clients there is room for. Whoever lets them in counts them; who finds no place waits for one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from gproxy.base.clock import now
from gproxy.limit.bucket import TokenBucket

_log = logging.getLogger("gproxy.limit")

UNLIMITED = sys.maxsize

# A full house that empties and fills again all the time is told about so often: at once, then every so many seconds.
_SAY_EVERY, _SAY_BURST = 10.0, 3


def share(most: int, worker: int, workers: int) -> int:
    """This worker's part of `most` clients; the parts add up to it, but each worker has one place at least.

    0 stands for no limit, and gives UNLIMITED.
    """
    if not most:
        return UNLIMITED
    return max(1, most // workers + (worker < most % workers))


class Room:
    """The places of one process.

    To let somebody in: `if room.taken >= room.most`, wait or turn away; else `room.taken += 1`, and `leave()` later.
    Those two numbers are attributes, since they are compared for each connection.
    """

    __slots__ = ("_allowed", "_bucket", "_full", "_said", "_since", "_waiting", "most", "taken")

    def __init__(self, allowed: int = UNLIMITED) -> None:
        self.taken = 0
        self.most = self._allowed = allowed
        self._full = False
        self._since = 0.0
        self._said = False
        self._bucket = TokenBucket(1 / _SAY_EVERY, _SAY_BURST)
        self._waiting: dict[Callable[[], None], None] = {}

    def allow(self, most: int) -> None:
        """From now on there are so many places, 1 at least."""
        self.most = self._allowed = most

    def wait(self, resume: Callable[[], None]) -> None:
        """No place was found: `resume` is called, once, when there are some again."""
        self._waiting[resume] = None
        self.turn_away()

    def turn_away(self) -> None:
        """No place was found, and whoever came does not wait."""
        if not self._full:
            self._full = True
            self._since = now()
            # While it is closed, whoever closed it has said why.
            self._said = self.most > 0 and self._bucket.take()
            if self._said:
                _log.warning("all %d places are taken: new clients wait until some have left", self.most)

    def leave(self) -> None:
        """Somebody has gone. Not the first but the twentieth part of all places ends a wait."""
        self.taken -= 1
        if self._full and self.taken <= self.most - max(1, self.most // 20):
            self._invite()

    def close(self) -> None:
        """Let nobody in, however many places are free."""
        self.most = 0

    def reopen(self) -> None:
        """The end of `close`."""
        self.most = self._allowed
        if self._full and self.taken < self.most:
            self._invite()

    def _invite(self) -> None:
        self._full = False
        if self._said:
            _log.info("%d of %d places are taken: accepting goes on, after %.1f s",
                      self.taken, self.most, now() - self._since)  # fmt: skip
        waiting, self._waiting = self._waiting, {}
        for resume in waiting:
            resume()
