"""TLS as a layer, in both roles: a handshake, and then a stream of records (gproxy.net.framed)."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from gproxy.base.address import Host, parse_host
from gproxy.base.errors import AuthError, DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Accept, Connect, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.bindings import Pipes, expect_name, verify_result
from gproxy.layers.tls.context import client_context, server_context
from gproxy.layers.tls.records import HANDSHAKE, HEAD, TlsEnding, TlsOpener, TlsSealer, record_end
from gproxy.net.framed import Framed
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsInbound, TlsOutbound

_FLIGHT = 16 * 1024  # room for a flight of a handshake; a longer one, with many certificates, leaves in pieces


class _Handshake:
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


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for the newest of its errors."""
    with contextlib.suppress(IndexError, TypeError):
        return str(error.args[0][-1][-1])
    return "the handshake failed"


class TlsServer:
    """TLS towards clients (see ServerLayer)."""

    def __init__(self, options: TlsInbound) -> None:
        """Raises ConfigError for a certificate or a key that can't be used."""
        self._context, self._look = server_context(options)
        self._timeout = float(options.handshake_timeout)
        self._name = options.server_name.lower()

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer. A failed handshake raises ProtocolError."""

        def accept(stream: Stream, session: Session) -> None:
            self._look()
            with deadline(self._timeout, ProtocolError("no TLS handshake in time", reason="timeout")):
                opened = self._open(stream, session)
            then(opened, session)

        return accept

    def _open(self, stream: Stream, session: Session) -> Stream:
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        try:
            opened = _Handshake(connection, stream).run()
        except SSL.Error as error:
            raise ProtocolError(f"TLS: {_reason(error)}", reason="tls") from error
        if self._name and (connection.get_servername() or b"").decode("ascii", "replace").lower() != self._name:
            raise AuthError("a client that asks for another name", reason="server-name")
        session.alpn = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
        return opened


class TlsClient:
    """TLS towards a server (see ClientLayer)."""

    def __init__(self, options: TlsOutbound, server: Host) -> None:
        """`server`: whose name it must prove to have, unless the options say another. Raises ConfigError."""
        self._context = client_context(options)
        self._timeout = float(options.handshake_timeout)
        self._name: Host = parse_host(options.server_name) if options.server_name else server
        self._tells_name = not options.disable_sni and isinstance(self._name, str)
        self._pins = frozenset(base64.b64decode(text) for text in options.certificate_public_key_sha256)
        self._verifies = not options.insecure and not self._pins
        self._session: SSL.Session | None = None  # the last one, to go on with

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            stream = via(session)
            try:
                with deadline(self._timeout, DialError("no TLS handshake in time", reason="timeout")):
                    return self._open(stream)
            except BaseException:  # a deadline, too, must not leave the stream behind
                stream.close()
                raise

        return connect

    def _open(self, stream: Stream) -> Stream:
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        if self._tells_name:
            connection.set_tlsext_host_name(str(self._name).encode())
        if self._verifies:
            expect_name(connection, self._name)
        if self._session is not None:
            connection.set_session(self._session)
        try:
            opened = _Handshake(connection, stream, self._keep).run()
        except SSL.Error as error:
            refused = verify_result(connection) if self._verifies else ""
            why = f"the certificate of {self._name} is refused: {refused}" if refused else f"TLS: {_reason(error)}"
            raise DialError(why, reason="tls") from error
        except (ProtocolError, StreamClosed) as error:
            raise DialError(f"TLS: {error}", reason="tls") from error
        if self._pins and _pin(connection) not in self._pins:
            raise DialError(f"the public key of {self._name} is none of those that are pinned", reason="tls")
        return opened

    def _keep(self, connection: SSL.Connection) -> None:
        self._session = connection.get_session()


def _pin(connection: SSL.Connection) -> bytes:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    assert certificate is not None, "a server shows a certificate"
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(key).digest()
