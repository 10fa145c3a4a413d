"""The clients that are being served, and the one way to end them from outside."""

from __future__ import annotations

from greenlet import greenlet

from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.base.session import Session
from gproxy.rt.sockets import current, throw_into


class Table:
    """Live sessions by id, each with the greenlet that serves it."""

    def __init__(self) -> None:
        self._live: dict[int, tuple[Session, greenlet]] = {}
        self._last = 0

    def next_id(self) -> int:
        """Ids count up from 1 and are never used again."""
        self._last += 1
        return self._last

    def add(self, session: Session) -> None:
        """The running greenlet serves this session."""
        self._live[session.id] = (session, current())

    def remove(self, session: Session) -> None:
        """It is over."""
        del self._live[session.id]

    def __len__(self) -> int:
        return len(self._live)

    def end(self, session_id: int, reason: CloseReason) -> bool:
        """Make a session end where it waits; False if there is none of that id."""
        entry = self._live.get(session_id)
        if entry is None:
            return False
        throw_into(entry[1], StreamClosed(f"ended here: {reason}", reason=reason))
        return True

    def end_all(self, reason: CloseReason) -> int:
        """End every session; how many there were."""
        return sum(self.end(session_id, reason) for session_id in list(self._live))
