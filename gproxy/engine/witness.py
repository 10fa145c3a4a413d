"""Who has shown who he is, for the audit log."""

from __future__ import annotations

from typing import Final

from gproxy.base.iface import Dispatcher, PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.observe import audit

# So many sessions are remembered of which that was written. One with as many others between two of its requests is
# written twice.
_MOST: Final = 1000


class Witness:
    """A dispatcher before another one: whoever comes here as a user is written down, once in each session."""

    __slots__ = ("_known", "_then")

    def __init__(self, then: Dispatcher) -> None:
        self._then = then
        self._known: dict[int, str] = {}

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher."""
        self._see(session)
        self._then.stream(session, stream, reply)

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self._see(session)
        self._then.packets(session, conn)

    def _see(self, session: Session) -> None:
        known, user = self._known, session.user
        if not user or known.get(session.id) == user:
            return
        if len(known) >= _MOST:
            del known[next(iter(known))]
        known[session.id] = user
        audit.met("auth-success", session, "ok")
