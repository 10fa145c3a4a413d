"""Certificates that come while gproxy runs: what inbounds show, and what proves a name to an authority."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from OpenSSL import SSL

from gproxy.base.errors import GproxyError, ProtocolError
from gproxy.base.iface import Stream
from gproxy.layers.tls.bindings import TlsFault
from gproxy.layers.tls.context import certificates_in, key_in, show_pair
from gproxy.layers.tls.handshake import Handshake
from gproxy.layers.tls.hello import ACME, INTERNAL_ERROR, peek_hello
from gproxy.net.buffered import Buffered

_log = logging.getLogger("gproxy.layers.tls")

_BEGIN = "-----BEGIN CERTIFICATE-----"


class NoCertificate(GproxyError):
    """A handshake that can't be made, since the certificate has not been issued yet."""

    status = "no-certificate"
    blame = "operator"

    def __init__(self) -> None:
        super().__init__("there is no certificate yet")


class Supply:
    """What one provider has handed out last. All inbounds that show it share this."""

    def __init__(self, pem: str = "") -> None:
        """`pem`: see `take`."""
        self.number = 0  # of the certificate that is the last: 0 if there was none
        self.chain = b""
        self.key = b""
        self._challenges: dict[str, bytes] = {}
        self.take(pem, {})

    def take(self, pem: str, challenges: Mapping[str, str]) -> None:
        """This is the certificate now: a private key and a chain in PEM; empty: it is what it was.

        `challenges` are such pairs by the name that an authority asks for; those of before are forgotten.
        """
        self._challenges = {name: pair.encode("ascii") for name, pair in challenges.items()}
        key, begin, rest = pem.partition(_BEGIN)
        if begin and (self.key, self.chain) != (key.encode(), (begin + rest).encode()):
            self.key, self.chain = key.encode(), (begin + rest).encode()
            self.number += 1

    @property
    def busy(self) -> bool:
        """Whether handshakes are to be looked into: an authority may be asking, or there is nothing to show."""
        return not self.number or bool(self._challenges)

    def proves(self, name: str) -> bool:
        """Whether an authority may ask for this name now."""
        return name in self._challenges

    def look_into(self, stream: Stream, *, alone: bool = True) -> Stream | None:
        """The stream, with its first words not read yet, if there is a client and something to show; None if it was an
        authority's, which has got what it wanted. `alone`: nobody else has a certificate for it.

        Raises NoCertificate and ProtocolError.
        """
        ahead, hello = peek_hello(stream)
        if hello is None:
            raise ProtocolError("not TLS", reason="tls")
        if ACME in hello.alpn:
            self._prove(Buffered(stream, ahead), hello.server_name)
            return None
        if not self.number and alone:
            stream.sendall(INTERNAL_ERROR)
            raise NoCertificate
        return Buffered(stream, ahead)

    def _prove(self, stream: Stream, name: str) -> None:
        pair = self._challenges.get(name)
        if pair is None:
            stream.sendall(INTERNAL_ERROR)
            raise ProtocolError(f"an authority asks for {name}, of which nothing is to be proved", reason="acme")
        connection = SSL.Connection(_proving(pair), None)
        connection.set_accept_state()
        try:
            Handshake(connection, stream, serves=True).run()
        except TlsFault as error:
            raise ProtocolError(f"TLS: {error}", reason="acme") from error
        _log.info("an authority has looked at the proof for %s", name)


def _proving(pair: bytes) -> SSL.Context:
    """A context for one handshake."""
    key, begin, rest = pair.partition(_BEGIN.encode())
    chain = begin + rest
    certificates_in(chain, "certificate")
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_alpn_select_callback(lambda _connection, _wanted: ACME)
    show_pair(context, chain, key_in(key))
    return context
