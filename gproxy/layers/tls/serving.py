"""What an inbound shows to whom, and how long its sessions can be resumed.

A session is resumed by a ticket, which is sealed with the key of the context that its connection begins with. OpenSSL
makes that key with the context, and lets nobody set it. So these contexts are made before the workers are forked, one
for each day of a month; the clock, which all workers share, says whose day it is. What was sealed the day before
can't be opened any more. When the month is over, each worker makes contexts, and so keys, of its own.

A renewed certificate is put into the context of the day. Where there are several, the others have contexts of their
own, to which a connection is handed over when the client has said whom it wants.
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from OpenSSL import SSL
from OpenSSL.crypto import X509

from gproxy.base.clock import now
from gproxy.layers.tls.bindings import NO_AUTO_CHAIN, PRIORITIZE_CHACHA
from gproxy.layers.tls.certificate import Certificate, Source
from gproxy.layers.tls.context import key_hash, new_context, trust
from gproxy.layers.tls.selfmade import SelfMade
from gproxy.schema.tls import TlsInbound

DAY: Final = 24 * 60 * 60.0
"""How long a ticket's key is used, in seconds."""

DAYS: Final = 32
"""How many keys all workers have in common."""

_CLIENTS: Final = {
    "request": SSL.VERIFY_PEER,
    "require-any": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
    "verify-if-given": SSL.VERIFY_PEER,
    "require-and-verify": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

_Shown = tuple[Certificate, ...]


class Serving:
    """The contexts of an inbound."""

    def __init__(self, options: TlsInbound, source: Source | None = None) -> None:
        """`source`: has the certificate, if the options have none. Raises ConfigError."""
        self._options = options
        if source is None and options.insecure and not options.shows():
            source = SelfMade(options.server_name)
        first = [Certificate(options, (), source)] if source is not None or options.shows() else []
        self.certificates = first + [Certificate(each, each.server_names) for each in options.certificates]
        self._days = deque(self._new() for _ in range(DAYS))
        self._until = now() + DAY
        self._exact: dict[str, SSL.Context] = {}
        self._wild: dict[str, SSL.Context] = {}  # by what stands behind the first label
        self._kinds: list[str] = []
        self._arrange()

    def context(self) -> SSL.Context:
        """What a connection begins with now."""
        if now() >= self._until:
            self._next_day()
        renewed = [each.renewed() for each in self.certificates]
        if any(renewed):
            self._arrange()
        return self._days[0]

    def _next_day(self) -> None:
        while now() >= self._until:
            self._days.popleft()
            if not self._days:
                self._days.append(self._new())
            self._until += DAY
        self._arrange()

    def _arrange(self) -> None:
        """Put all certificates where they belong."""
        by_name = self._by_name()
        default = self._default(by_name)
        kinds = [each.kind for each in default]
        if self._kinds and kinds != self._kinds:  # nothing takes a key out of a context
            self._days[0] = self._new()
        self._kinds = kinds
        base = self._days[0]
        _put(default, base)
        made = {default: base}
        self._exact, self._wild = {}, {}
        for name, shown in by_name.items():
            if shown not in made:
                made[shown] = self._new()
                _put(shown, made[shown])
            where, key = (self._wild, name[2:]) if name.startswith("*.") else (self._exact, name)
            where[key] = made[shown]

    def _by_name(self) -> dict[str, _Shown]:
        """What is shown for each name: the first certificate of each kind that has it."""
        by_name: dict[str, dict[str, Certificate]] = {}
        for each in self.certificates:
            for name in each.names:
                by_name.setdefault(name, {}).setdefault(each.kind, each)
        return {name: tuple(kinds.values()) for name, kinds in by_name.items()}

    def _default(self, by_name: dict[str, _Shown]) -> _Shown:
        """The first certificate, and those of other kinds that have all of its names."""
        first = self.certificates[0]
        beside = {each.kind: each for each in reversed(self.certificates) if first.names and each.names >= first.names}
        beside.pop(first.kind, None)
        return (first, *(each for each in self.certificates if each in beside.values()))

    def _choose(self, connection: SSL.Connection) -> None:
        """The client has said whom it wants."""
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        if not name:
            return
        context = self._exact.get(name) or self._wild.get(name.partition(".")[2])
        if context is not None and context is not connection.get_context():
            connection.set_context(context)

    def _new(self) -> SSL.Context:
        """A context that shows nothing yet."""
        options = self._options
        context = new_context(SSL.TLS_SERVER_METHOD, options)
        context.set_mode(NO_AUTO_CHAIN)
        context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | PRIORITIZE_CHACHA)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets carry the sessions: any worker can resume them
        context.set_session_id(b"gproxy")
        if options.alpn:
            context.set_alpn_select_callback(_selecting([name.encode() for name in options.alpn]))
        must = options.clients_must()
        if must in ("request", "require-any"):
            context.set_verify(_CLIENTS[must], _accept_any)
        elif options.client_certificate_public_key_sha256:
            context.set_verify(_CLIENTS[must], _pinned(options.client_certificate_public_key_sha256))
        elif must != "no":
            context.set_verify(_CLIENTS[must])
            trust(context, options.client_certificate, options.client_certificate_path)
        if len(self.certificates) > 1:
            context.set_tlsext_servername_callback(self._choose)
        if any(each.staples for each in self.certificates):
            context.set_ocsp_server_callback(self._staple)
        return context

    def _staple(self, connection: SSL.Connection, _data: object) -> bytes:
        """What the authority says of the certificate that was chosen for this connection."""
        if len(self.certificates) == 1:
            return self.certificates[0].staple()
        shown = connection.get_certificate(as_cryptography=True)
        return next((each.staple() for each in self.certificates if each.chain and each.chain[0] == shown), b"")


def _put(shown: _Shown, context: SSL.Context) -> None:
    for each in shown:
        each.put(context)


def _selecting(
    offered: Sequence[bytes],
) -> Callable[[SSL.Connection, list[bytes]], bytes | SSL._NoOverlappingProtocols]:
    def select(_connection: SSL.Connection, wanted: list[bytes]) -> bytes | SSL._NoOverlappingProtocols:
        for name in offered:
            if name in wanted:
                return name
        return SSL.NO_OVERLAPPING_PROTOCOLS

    return select


def _accept_any(_connection: SSL.Connection, _certificate: X509, _error: int, _depth: int, _ok: int) -> bool:
    return True


def _pinned(texts: Sequence[str]) -> Callable[[SSL.Connection, X509, int, int, int], bool]:
    pins = {base64.b64decode(text) for text in texts}

    def verify(_connection: SSL.Connection, certificate: X509, _error: int, depth: int, _ok: int) -> bool:
        return depth > 0 or key_hash(certificate.to_cryptography()) in pins

    return verify
