"""The handshake of either role: messages in complete records, and then a stream of records (gproxy.net.framed)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final, TypeVar

from OpenSSL import SSL

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, Stream
from gproxy.layers.tls.bindings import Pipes, TlsFault
from gproxy.layers.tls.records import TlsEnding, TlsOpener, TlsSealer, records_in
from gproxy.net.framed import Framed

# In TLS 1.3 a server that has heard the client's last message has nothing to say but tickets. Up to so many bytes, less
# than a TlsSealer has room for besides, they leave with the first payload: that is one packet less.
_TICKETS: Final = 1024
_TLS_1_3: Final = 0x0304

_F = TypeVar("_F", bound=Framed)


class Handshake:
    """Both sides' messages until the session stands."""

    def __init__(
        self,
        connection: SSL.Connection,
        stream: Stream,
        send: Callable[[Stream, Buffer], None] | None = None,
        *,
        serves: bool = False,
    ) -> None:
        """`send`: what sends a flight over the stream. `serves`: this is the server's side."""
        self.pipes = Pipes(connection)
        self._send = send
        self._serves = serves
        self._stream = stream
        self._fed = b""
        self._unread = b""

    def run(self) -> Framed:
        """The stream within. Raises TlsFault, ProtocolError and StreamClosed; the peer has been told by then."""
        return self.run_to(Framed)

    def run_to(self, kind: type[_F]) -> _F:
        """See `run`; the stream is of this kind."""
        pipes = self.pipes
        try:
            if self._serves:
                self._feed()
            while not pipes.shake():
                self._flush()
                self._feed()
        except (TlsFault, ProtocolError):
            with contextlib.suppress(StreamClosed):  # an alert that nobody hears any more
                self._flush()
            raise
        if not self._serves or pipes.version != _TLS_1_3 or pipes.waiting() > _TICKETS:
            self._flush()
        left = pipes.left()
        unopened = self._fed[len(self._fed) - left :] + self._unread
        return kind(self._stream, TlsOpener(pipes), TlsSealer(pipes), unopened, ending=TlsEnding(pipes))

    def _flush(self) -> None:
        if not (data := self.pipes.drain()):
            return
        if self._send is not None:
            self._send(self._stream, data)
        else:
            self._stream.sendall(data)

    def _feed(self) -> None:
        """All complete records. Those that come after the handshake's last one stay unread."""
        unread = self._unread
        while not (end := self._complete(unread)):
            data = self._stream.recv()
            if not data:
                raise ProtocolError(
                    "the stream ended inside the TLS handshake" if unread else "the stream ended before it began",
                    reason="truncated" if unread else "empty",
                )
            unread = unread + data if unread else data
        self._fed = fed = unread if end == len(unread) else unread[:end]
        self.pipes.feed(fed)
        self._unread = unread[end:]

    @staticmethod
    def _complete(unread: bytes) -> int:
        if unread and not 20 <= unread[0] <= 24:
            raise ProtocolError("not TLS", reason="tls")
        return records_in(unread, len(unread))
