"""The handshake of either role: messages in complete records, and then a stream of records (gproxy.net.framed)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from OpenSSL import SSL

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.layers.tls.bindings import Pipes
from gproxy.layers.tls.records import HANDSHAKE, HEAD, TlsEnding, TlsOpener, TlsSealer, record_end
from gproxy.net.framed import Framed

_FLIGHT = 16 * 1024  # room for a flight of a handshake; a longer one, with many certificates, leaves in pieces


class Handshake:
    """Both sides' messages until the session stands."""

    def __init__(
        self, connection: SSL.Connection, stream: Stream, after: Callable[[SSL.Connection], None] | None = None
    ) -> None:
        """`after`: see TlsEnding."""
        self.pipes = Pipes(connection)
        self._after = after
        self._connection = connection
        self._stream = stream
        self._unread = b""

    def run(self) -> Framed:
        """The stream within. Raises SSL.Error, ProtocolError and StreamClosed; the peer has been told by then."""
        try:
            while not self._step():
                self._flush()
                self._feed()
        finally:
            with contextlib.suppress(StreamClosed):  # an alert that nobody hears any more
                self._flush()
        pipes = self.pipes
        ending = TlsEnding(pipes, self._after)
        return Framed(self._stream, TlsOpener(pipes), TlsSealer(pipes), self._unread, ending=ending)

    def _step(self) -> bool:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def _flush(self) -> None:
        target = bytearray(_FLIGHT)
        with memoryview(target) as view:
            while made := self.pipes.drain_into(view):
                self._stream.sendall(view[:made])

    def _feed(self) -> None:
        """One record more. What comes after the handshake's last one is not the handshake's."""
        while True:
            unread = self._unread
            if unread and unread[0] != HANDSHAKE and not 20 <= unread[0] <= 24:
                raise ProtocolError("not TLS", reason="tls")
            if len(unread) >= HEAD and len(unread) >= (end := record_end(unread, 0)):
                self.pipes.feed(unread[:end])
                self._unread = unread[end:]
                return
            data = self._stream.recv()
            if not data:
                raise ProtocolError(
                    "the stream ended inside the TLS handshake" if unread else "the stream ended before it began",
                    reason="truncated" if unread else "empty",
                )
            self._unread = unread + data


def reason_of(error: SSL.Error) -> str:
    """OpenSSL's words for the newest of its errors."""
    with contextlib.suppress(IndexError, TypeError):
        return str(error.args[0][-1][-1])
    return "the handshake failed"
