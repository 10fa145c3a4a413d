"""The client side of HTTP proxying: CONNECT."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.base.wiring import OutboundWiring
from gproxy.net.buffered import Buffered
from gproxy.protocol.http.options import HttpOutboundOptions
from gproxy.protocol.http.wire import encode_basic, encode_connect
from gproxy.rt.deadline import deadline
from gproxy.wire.http1 import MAX_HEAD, Fields, decode_response

# More interim responses than this before the answer to one CONNECT are a server's fault.
_MAX_INTERIM = 8


class HttpOutbound:
    """Asks an HTTP proxy for connections."""

    networks = frozenset({"tcp"})

    def __init__(self, options: HttpOutboundOptions, wiring: OutboundWiring) -> None:
        self._connect = wiring.connect
        self._path = options.path.encode("ascii")
        self._host = b""
        self._fields = Fields([])
        for name, values in options.headers.items():
            for value in values:
                if name.lower() == "host":
                    self._host = value.encode("ascii")
                else:
                    self._fields.add(name.encode("ascii"), value.encode("ascii"))
        if not self._fields.values(b"proxy-connection"):
            # No standard has it, but old proxies close without it.
            self._fields.add(b"Proxy-Connection", b"Keep-Alive")
        if options.username:
            self._fields.add(b"Proxy-Authorization", encode_basic(options.username, options.password.reveal()))

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer. What the server sent right after its answer is not lost."""
        server = Buffered(self._connect(session))
        try:
            with deadline(HANDSHAKE_TIMEOUT, DialError("no answer from the HTTP proxy in time", reason="timeout")):
                server.sendall(encode_connect(target, self._fields, self._host, self._path))
                self._await_yes(server)
        except (ProtocolError, StreamClosed) as error:
            server.close()
            raise DialError(f"the HTTP proxy broke off the handshake: {error}", reason="declined") from error
        except BaseException:  # a deadline, too, must not leave the stream behind
            server.close()
            raise
        return server

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer: there is no way to say it in HTTP/1.1."""
        raise DialError("an HTTP proxy carries no UDP", reason="declined")

    def close(self) -> None:
        """See Outbound: nothing is pooled."""

    @staticmethod
    def _await_yes(server: Buffered) -> None:
        for _ in range(_MAX_INTERIM):
            status = server.decode(decode_response, MAX_HEAD).status
            if 200 <= status < 300:
                return
            if status == 101 or status >= 300:
                needs = ": it wants other credentials" if status == 407 else ""
                raise DialError(f"the HTTP proxy answered {status}{needs}", reason="declined")
        raise ProtocolError("interim responses without end")
