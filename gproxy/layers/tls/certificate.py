"""A certificate that an inbound shows, its key, and what its authority says of it: kept as new as their files."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import PKey

from gproxy.base.clock import now, wall
from gproxy.base.errors import ConfigError
from gproxy.layers.tls.context import certificates_in, key_in, show_pair, text_of
from gproxy.layers.tls.ocsp import Unusable, revoked
from gproxy.layers.tls.watch import Watch
from gproxy.schema.tls import OwnCertificate

_log = logging.getLogger("gproxy.layers.tls")

# How long a verdict on a staple lasts, in seconds: it may be out of date after that.
_VERDICT: Final = 60.0

# More than any authority's response has, in bytes.
_LONGEST_STAPLE: Final = 64 * 1024


class Source(Protocol):
    """Whoever has an inbound's certificate, if its options have none."""

    number: int  # of the certificate that is the newest; 0 if there is none yet
    chain: bytes  # it, and its key, in PEM
    key: bytes


class Certificate:
    """A chain and its key. There may be none yet, where a source has them."""

    def __init__(self, options: OwnCertificate, names: Iterable[str] = (), source: Source | None = None) -> None:
        """`names`: whom it is for, unless its own are to be taken. Raises ConfigError for what can't be used."""
        self._options = options
        self._names = frozenset(name.lower() for name in names)
        self._source = source
        self._number = 0  # of the source's certificate that is shown
        self._watch = Watch(path for path in (options.certificate_path, options.key_path) if path)
        self._staple = Staple(options.ocsp_staple_path) if options.ocsp_staple_path else None
        self._text = b""
        self._key: PKey | None = None
        self.chain: list[x509.Certificate] = []
        self._load()

    @property
    def kind(self) -> str:
        """What its key is for: a context shows one of each kind."""
        return type(self.chain[0].public_key()).__name__ if self.chain else ""

    @property
    def names(self) -> frozenset[str]:
        """Whom it is shown for: the names in the options, or else its own; in lower case."""
        return self._names or frozenset(_own_names(self.chain[0]) if self.chain else ())

    @property
    def ends(self) -> datetime.datetime | None:
        """When it is over: the first of the chain that is; None if there is none yet."""
        return min((each.not_valid_after_utc for each in self.chain), default=None)

    def renewed(self) -> bool:
        """Whether there is another one now. One that can't be used is logged, and the old one goes on."""
        if self._source is not None:
            if self._source.number == self._number:
                return False
        elif not self._watch.changed():
            return False
        try:
            self._load()
        except ConfigError as error:
            _log.error("the new certificate can't be used, the old one goes on: %s", error)
            return False
        path = self._options.certificate_path
        _log.info("the certificate was %s", f"read again: {path}" if path else "exchanged")
        return True

    def _load(self) -> None:
        """Take what there is now. Raises ConfigError, and it is what it was before."""
        options, source = self._options, self._source
        if source is None:
            text = text_of(options.certificate, options.certificate_path, "certificate")
            key = key_in(text_of(options.key, options.key_path, "key"))
        elif not source.number:
            return
        else:
            self._number = source.number
            text, key = source.chain, key_in(source.key)
        chain = certificates_in(text, "certificate")
        show_pair(SSL.Context(SSL.TLS_SERVER_METHOD), text, key)  # for trial
        self._text, self._key, self.chain = text, key, chain
        if self._staple is not None:
            self._staple.forget()

    def put(self, context: SSL.Context) -> None:
        """Let the context show it, instead of another one of its kind."""
        if self._key is not None:
            show_pair(context, self._text, self._key)

    @property
    def staples(self) -> bool:
        """Whether there may be a staple."""
        return self._staple is not None

    def staple(self) -> bytes:
        """What its authority says of it, if that is to be shown; else nothing."""
        return self._staple.response(self.chain) if self._staple is not None else b""


def _own_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]


class Staple:
    """An OCSP response in a file. It is shown as long as it proves something about the certificate."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._watch = Watch([path])
        self._response = b""
        self._until = 0.0  # how long the verdict lasts
        self._said = ""

    def forget(self) -> None:
        """Judge anew when it is asked for next: the certificate is another one."""
        self._until = 0.0

    def response(self, chain: list[x509.Certificate]) -> bytes:
        """What is to be shown with this chain; nothing, if there is nothing good."""
        at = now()
        if self._watch.changed() or at >= self._until:
            self._until = at + _VERDICT
            self._response = self._judged(chain)
        return self._response

    def _judged(self, chain: list[x509.Certificate]) -> bytes:
        if not chain:
            return b""
        try:
            response = Path(self._path).read_bytes()
            if len(response) > _LONGEST_STAPLE:
                raise Unusable("it is too long")
            is_revoked = revoked(response, chain[0], _issuer(chain), wall())
        except OSError as error:
            self._say(f"can't be read, nothing is stapled: {error.strerror}")
            return b""
        except Unusable as error:
            self._say(f"{error}, and is not stapled")
            return b""
        self._say("the certificate is revoked" if is_revoked else "")
        return response

    def _say(self, complaint: str) -> None:
        """Once, until there is something else to say."""
        if complaint and complaint != self._said:
            _log.error("%s: %s", self._path, complaint)
        self._said = complaint


def _issuer(chain: list[x509.Certificate]) -> x509.Certificate:
    """Raises Unusable if it is not known."""
    for each in (*chain[1:2], chain[0]):
        if each.subject == chain[0].issuer:
            return each
    raise Unusable("nothing tells whether it is genuine, as the issuer is not in the chain")
