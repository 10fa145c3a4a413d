"""A Dispatcher that remembers what it was handed, for tests of inbounds."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import GproxyError, StreamClosed
from gproxy.base.iface import PacketConn, Reply, Stream
from gproxy.base.session import Session


class RecordingDispatcher:
    """Accepts every session and sends back what comes, or rejects with `error`.

    `sessions` are all sessions in order, `session` is the only one, `received` is what the streams brought.
    """

    def __init__(self, *, error: GproxyError | None = None, bound: Address | None = None, echo: bool = True) -> None:
        self.error = error
        self.bound = bound
        self.echo = echo
        self.sessions: list[Session] = []
        self.received = bytearray()
        self.datagrams: list[tuple[bytes, Address]] = []

    @property
    def session(self) -> Session:
        """The session, if there was exactly one."""
        assert len(self.sessions) == 1, f"one session expected: {self.sessions}"
        return self.sessions[0]

    def stream(self, session: Session, stream: Stream, reply: Reply) -> None:
        """See Dispatcher."""
        self.sessions.append(session)
        if self.error is not None:
            reply.reject(self.error)
            return
        reply.accept(self.bound)
        try:
            while data := stream.recv():
                self.received += data
                if self.echo:
                    stream.sendall(data)
            stream.close_write()
        except StreamClosed:
            return

    def packets(self, session: Session, conn: PacketConn) -> None:
        """See Dispatcher."""
        self.sessions.append(session)
        try:
            while True:
                data, address = conn.recv_from()
                self.datagrams.append((bytes(data), address))
                if self.echo:
                    conn.send_to(bytes(data), address)
        except StreamClosed:
            return
