"""TLS towards a server: who it is, and what is kept of the last sessions with it."""

from __future__ import annotations

import base64
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import load_der_x509_certificate
from OpenSSL import SSL

from gproxy.base.address import Host, parse_host
from gproxy.base.clock import now, wall
from gproxy.base.errors import ConfigError, DialError, DialReason, ProtocolError, StreamClosed
from gproxy.base.iface import Connect, Record, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.bindings import (
    TlsFault,
    expect_name,
    is_resumed,
    new_connection,
    shown_by,
    staple_of,
    use_key,
    verify_result,
)
from gproxy.layers.tls.context import certificates_in, key_hash, key_in, new_context, show_chain, text_of
from gproxy.layers.tls.fragment import Cutter
from gproxy.layers.tls.handshake import Handshake
from gproxy.layers.tls.trust import Trust
from gproxy.net.around import Around
from gproxy.net.framed import Framed
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsOutbound

_log = logging.getLogger("gproxy.layers.tls")

# How many sessions with one server are kept to go on with, and for how long, in seconds: what is gone on with is not
# verified again. Each is gone on with once, since a ticket that comes twice tells that it is the same client's.
_SESSIONS: Final = 16
_KEPT_FOR: Final = 3600.0

# OpenSSL's X509_V_ERR_… in words.
_REFUSALS: Final[dict[int, tuple[DialReason, str]]] = {
    9: ("tls-not-yet", "is not valid yet"),
    10: ("tls-expired", "has expired"),
    18: ("tls-self-signed", "is signed by itself"),
    **dict.fromkeys((2, 19, 20, 21, 27, 33), ("tls-untrusted", "comes from an unknown authority")),
    **dict.fromkeys((62, 64), ("tls-name", "is for another name")),
    **dict.fromkeys((24, 26, 28, 32, 79), ("tls-purpose", "is not for a server, or its authority's is not for that")),
}


class TlsClient:
    """TLS towards a server (see ClientLayer).

    It belongs to one outbound: sessions are kept for this server, this name and this way only.
    """

    def __init__(self, options: TlsOutbound, server: Host, trust: Trust | None = None, *, strict: bool = False) -> None:
        """`server`: whose name it must prove to have, unless the options say another.

        `trust`: the authorities, unless the options say others; by itself the system's. `strict`: an end that the
        server has not said itself is no end, but `truncated`. Raises ConfigError.
        """
        self._strict = strict
        self._context = _context_for(options)
        self._timeout = float(options.handshake_timeout)
        self._name: Host = parse_host(options.server_name) if options.server_name else server
        self._tells_name = not options.disable_sni and isinstance(self._name, str)
        self._pins = frozenset(base64.b64decode(text) for text in options.certificate_public_key_sha256)
        self._trust = None if options.insecure or self._pins else _trust_of(options, trust)
        self._turn = self._trust.give(self._context) if self._trust is not None else 0
        cutter = _cutter_for(options, self._tells_name)
        self._send = cutter.send if cutter is not None else None
        self._sessions: deque[tuple[float, SSL.Session]] = deque(maxlen=_SESSIONS)

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            stream = via(session)
            try:
                with deadline(self._timeout, DialError("no TLS handshake in time", reason="timeout")):
                    return self.open(stream)
            except BaseException:  # a deadline, too, must not leave the stream behind
                stream.close()
                raise

        return connect

    def open(self, stream: Stream) -> Stream:
        """The stream within, after the handshake. Raises DialError, and leaves the stream to its owner."""
        self._renew()
        connection = self._connection()
        try:
            opened = Handshake(connection, stream, self._send).run_to(TlsStream)
        except TlsFault as error:
            raise self._refusal(connection, error) from error
        except (ProtocolError, StreamClosed) as error:
            raise DialError(f"TLS: {error}", reason="tls") from error
        if self._pins and _pin(connection) not in self._pins:
            raise DialError(f"the public key of {self._name} is none of those that are pinned", reason="tls-pin")
        if self._trust is not None and not is_resumed(connection):
            self._check_revocation(connection)
        opened.at_end = partial(self._keep, connection)
        opened.alpn = connection.get_alpn_proto_negotiated().decode("ascii", "replace")
        return _Whole(opened, opened.heard) if self._strict else opened

    def _connection(self) -> SSL.Connection:
        connection = new_connection(self._context)
        connection.set_connect_state()
        connection.request_ocsp()
        if self._tells_name:
            connection.set_tlsext_host_name(str(self._name).encode())
        if self._trust is not None:
            expect_name(connection, self._name)
        while self._sessions:
            until, session = self._sessions.pop()
            if now() < until:
                connection.set_session(session)
                break
        return connection

    def _renew(self) -> None:
        """Believe the authorities of now; what was begun when they were others does not go on."""
        if self._trust is None:
            return
        self._trust.look()
        if self._turn != self._trust.turn:
            self._turn = self._trust.give(self._context)
            self._sessions.clear()

    def _refusal(self, connection: SSL.Connection, error: TlsFault) -> DialError:
        code, words = verify_result(connection) if self._trust is not None else (0, "")
        if not code:
            return DialError(f"TLS: {error}", reason="tls")
        reason, why = _REFUSALS.get(code, ("tls-certificate", f"is refused: {words}"))
        return DialError(f"the certificate of {self._name} {why}", reason=reason)

    def _check_revocation(self, connection: SSL.Connection) -> None:
        """Hear what its authority says of the certificate, if the server has brought that along, as some have to."""
        from gproxy.layers.tls.ocsp import Unusable, must_staple, revoked

        staple, shown = staple_of(connection), shown_by(connection)
        why = "came"
        try:
            if staple:
                chain = connection.get_verified_chain(as_cryptography=True)
                assert chain, "a server that was verified has one"
                if revoked(staple, chain[0], chain[min(1, len(chain) - 1)], wall()):
                    raise DialError(f"the certificate of {self._name} was revoked", reason="tls-revoked")
                return
        except (Unusable, ValueError) as error:  # ValueError: a certificate that OpenSSL alone can read
            why = f"that counts: {error}"
            _log.debug("the OCSP response of %s does not count: %s", self._name, error)
        if must_staple(shown):
            raise DialError(
                f"the certificate of {self._name} must come with an OCSP response, and none {why}", reason="tls-staple"
            )

    def _keep(self, connection: SSL.Connection) -> None:
        # OpenSSL takes a session for broken whose end was not said. Many servers don't say it.
        connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)
        session = connection.get_session()
        if session is not None:
            self._sessions.append((now() + _KEPT_FOR, session))


class TlsStream(Framed):
    """A stream whose session is kept when it ends."""

    __slots__ = ("alpn", "at_end")

    at_end: Callable[[], None]
    alpn: str
    """The application protocol that was agreed on; empty if none was."""

    def close(self) -> None:
        """See Stream."""
        self.at_end()
        self.at_end = _nothing
        super().close()

    def heard(self) -> bool:
        """Whether the server has said that no more will come."""
        return self._ending is not None and self._ending.heard


def _nothing() -> None:
    """What is left to do when all has been done."""


class _Whole(Around):
    """A stream whose end the server has to say."""

    __slots__ = ("_heard",)

    def __init__(self, inner: Stream, heard: Callable[[], bool]) -> None:
        super().__init__(inner)
        self._heard = heard

    def recv(self) -> bytes:
        """See Stream. Raises StreamClosed also for an end that nobody has said."""
        data = self._inner.recv()
        if not data and not self._heard():
            raise StreamClosed("the stream ended without a word of it (close_notify)", reason="truncated")
        return data

    def record(self) -> Record | None:
        """See Stream: the end is looked at here."""
        return None


def _pin(connection: SSL.Connection) -> bytes:
    """The hash of the public key that was shown; of nothing, if that can't be read."""
    try:
        return key_hash(load_der_x509_certificate(shown_by(connection)))
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _context_for(options: TlsOutbound) -> SSL.Context:
    """The context of an outbound. Raises ConfigError."""
    context = new_context(SSL.TLS_CLIENT_METHOD, options)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if options.alpn:
        context.set_alpn_protos([name.encode() for name in options.alpn])
    verifies = not options.insecure and not options.certificate_public_key_sha256
    context.set_verify(SSL.VERIFY_PEER if verifies else SSL.VERIFY_NONE)
    if options.client_certificate or options.client_certificate_path:
        _show(context, options)
    return context


def _trust_of(options: TlsOutbound, otherwise: Trust | None) -> Trust:
    if options.certificate or options.certificate_path:
        return Trust(options.certificate, [options.certificate_path] if options.certificate_path else [])
    return otherwise if otherwise is not None else Trust(system=True)


def _cutter_for(options: TlsOutbound, tells_name: bool) -> Cutter | None:
    if not options.fragment and not options.record_fragment:
        return None
    if not tells_name:
        raise ConfigError("tls: fragment: an address is not told to the server: there is no name to be cut")
    delay = float(options.fragment_fallback_delay)
    return Cutter(packets=options.fragment, records=options.record_fragment, delay=delay)


def _show(context: SSL.Context, options: TlsOutbound) -> None:
    text = text_of(options.client_certificate, options.client_certificate_path, "client_certificate")
    certificates_in(text, "client_certificate")
    show_chain(context, text)
    try:
        use_key(context, key_in(text_of(options.client_key, options.client_key_path, "client_key")))
    except ValueError as error:
        raise ConfigError("tls: client_key is not that of client_certificate") from error
