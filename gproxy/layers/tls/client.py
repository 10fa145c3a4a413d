"""TLS towards a server: who it is, and what is kept of the last session with it."""

from __future__ import annotations

import base64
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL

from gproxy.base.address import Host, parse_host
from gproxy.base.errors import ConfigError, DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Connect, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.bindings import expect_name, use_key, verify_result
from gproxy.layers.tls.context import certificates_in, key_in, new_context, show_chain, text_of, trust
from gproxy.layers.tls.handshake import Handshake, reason_of
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsOutbound


class TlsClient:
    """TLS towards a server (see ClientLayer)."""

    def __init__(self, options: TlsOutbound, server: Host) -> None:
        """`server`: whose name it must prove to have, unless the options say another. Raises ConfigError."""
        self._context = _context_for(options)
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
            opened = Handshake(connection, stream, self._keep).run()
        except SSL.Error as error:
            refused = verify_result(connection) if self._verifies else ""
            why = f"the certificate of {self._name} is refused: {refused}" if refused else f"TLS: {reason_of(error)}"
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


def _context_for(options: TlsOutbound) -> SSL.Context:
    """The context of an outbound. Raises ConfigError."""
    context = new_context(SSL.TLS_CLIENT_METHOD, options)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if options.alpn:
        context.set_alpn_protos([name.encode() for name in options.alpn])
    if options.insecure or options.certificate_public_key_sha256:
        context.set_verify(SSL.VERIFY_NONE)
    else:
        context.set_verify(SSL.VERIFY_PEER)
        if options.certificate or options.certificate_path:
            trust(context, options.certificate, [options.certificate_path] if options.certificate_path else [])
        else:
            context.set_default_verify_paths()
    if options.client_certificate or options.client_certificate_path:
        _show(context, options)
    return context


def _show(context: SSL.Context, options: TlsOutbound) -> None:
    text = text_of(options.client_certificate, options.client_certificate_path, "client_certificate")
    certificates_in(text, "client_certificate")
    show_chain(context, text)
    try:
        use_key(context, key_in(text_of(options.client_key, options.client_key_path, "client_key")))
    except ValueError as error:
        raise ConfigError("tls: client_key is not that of client_certificate") from error
