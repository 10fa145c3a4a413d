"""The clients that are being served, and the one way to end them from outside."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.base.session import Session
from gproxy.rt.sockets import Task, call_soon, current


class Table:
    """Live sessions by id, each with the greenlet that serves it."""

    def __init__(self) -> None:
        self._live: dict[int, tuple[Session, Task]] = {}
        self._last = 0
        self._step = 1

    def number(self, worker: int, workers: int) -> None:
        """Give out the ids of one of several workers: no two of them give out the same."""
        self._last = worker + 1 - workers
        self._step = workers

    def next_id(self) -> int:
        """Ids count up, from 1 in a process of its own, and are never used again."""
        self._last += self._step
        return self._last

    def add(self, session: Session) -> None:
        """The running greenlet serves this session."""
        self._live[session.id] = (session, current())

    def remove(self, session: Session) -> None:
        """It is over."""
        del self._live[session.id]

    def __len__(self) -> int:
        return len(self._live)

    def busy(self) -> int:
        """How many there are besides links that only carry others."""
        return sum(not session.carries for session, _ in self._live.values())

    def end(self, session_id: int, reason: CloseReason) -> bool:
        """Make a session end where it waits; False if there is none of that id."""
        if session_id not in self._live:
            return False
        call_soon(self._end, session_id, reason)
        return True

    def end_those(self, which: Callable[[Session], bool], reason: CloseReason) -> int:
        """End the sessions that this is true of; how many there were."""
        ids = [session_id for session_id, (session, _) in self._live.items() if which(session)]
        return sum(self.end(session_id, reason) for session_id in ids)

    def _end(self, session_id: int, reason: CloseReason) -> None:
        """In the hub. A session that is over by now has no greenlet any more: that may be serving another one."""
        entry = self._live.get(session_id)
        if entry is not None:
            entry[1].throw(StreamClosed(f"ended here: {reason}", reason=reason))

    def end_all(self, reason: CloseReason) -> int:
        """End every session; how many there were."""
        return sum(self.end(session_id, reason) for session_id in list(self._live))

    def end_first(self, count: int, rank: Callable[[Task], float], reason: CloseReason) -> int:
        """End the sessions whose greenlets rank lowest, the older of equal ones; how many there were."""
        lowest = heapq.nsmallest(count, self._live, lambda session_id: rank(self._live[session_id][1]))
        return sum(self.end(session_id, reason) for session_id in lowest)
