"""`tcp`: a server that is asked on TCP connections (RFC 7766)."""

from __future__ import annotations

from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask, ServerWiring, Told, UnderWay
from gproxy.dns.servers.asked import own_session
from gproxy.dns.servers.pipelined import Pool
from gproxy.dns.servers.remote import Remote
from gproxy.schema.registry import Row


class TcpOptions(Remote):
    """A server that is asked by TCP."""


class StreamServer:
    """See Server: one that is asked on streams, plain ones or those within TLS."""

    cacheable = True
    waits = True

    def __init__(self, options: Remote, wiring: ServerWiring) -> None:
        self._address = options.address
        self._reach = wiring.connect
        self._pool = Pool(self._connect, wiring.tag)

    def _connect(self, session: Session) -> Stream:
        return self._reach(own_session(session, "tcp", self._address))

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        return self._pool.exchange(ask)

    def start(self, message: bytes, question: bytes, told: Told, /) -> UnderWay | None:
        """See Starting."""
        return self._pool.start(message, question, told)

    def knows(self, name: str, /) -> bool:
        """See Server: it is one for all names."""
        return False

    def close(self) -> None:
        """See Server."""
        self._pool.close()


SERVER = Row(TcpOptions, StreamServer)
