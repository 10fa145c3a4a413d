"""An inbound whose streams go on to another inbound instead of to a target (`detour` among the listen fields)."""

from __future__ import annotations

from gproxy.base.errors import DialError, Unsupported
from gproxy.base.iface import Accept, PacketConn, Reply, Stream
from gproxy.base.session import Session
from gproxy.wire import uot


class DetourDispatcher:
    """Says yes to the client and hands its stream to the other inbound. Loops are refused with the configuration."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._accept: Accept | None = None

    def connect(self, accept: Accept) -> None:
        """Tell which door it leads to, once all inbounds are built."""
        self._accept = accept

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher. A stream of datagrams is refused like datagrams."""
        assert self._accept is not None, "the assembly connects every detour"
        if uot.version_of(session.target) is not None:
            why = DialError(f"inbound {self._tag} takes no datagrams", reason="declined")
            reply.reject(why)
            raise why
        reply.accept()
        session.inbound = self._tag
        self._accept(stream, session)

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher: datagrams can't take a detour."""
        raise Unsupported(f"inbound {self._tag} takes streams only")
