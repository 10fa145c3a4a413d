"""From options to OpenSSL's contexts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from gproxy.base.clock import now
from gproxy.base.errors import ConfigError
from gproxy.layers.tls.bindings import PRIORITIZE_CHACHA, set_groups, use_chain, use_key, write_all
from gproxy.schema.tls import SUITES, Tls, TlsInbound

_log = logging.getLogger("gproxy.layers.tls")

_VERSIONS: Final = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_GROUPS: Final = {"P256": "P-256", "P384": "P-384", "P521": "P-521"}

# The first one costs least: its hash is fast in hardware, and a handshake hashes much.
_SUITES_OF_1_3: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

_CLIENTS: Final = {
    "no": SSL.VERIFY_NONE,
    "request": SSL.VERIFY_PEER,
    "require-any": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
    "verify-if-given": SSL.VERIFY_PEER,
    "require-and-verify": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

# How often the files of a certificate are looked at, in seconds, when clients come.
_LOOK: Final = 1.0


def new_context(method: int, options: Tls) -> SSL.Context:
    """A context of either role, with what both have. Raises ValueError for groups that this OpenSSL has not."""
    context = SSL.Context(method)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    write_all(context)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_min_proto_version(_VERSIONS[options.min_version])
    context.set_max_proto_version(_VERSIONS[options.max_version])
    chosen = [SUITES[name] for name in options.cipher_suites if name in SUITES]
    suites = ":".join(chosen or SUITES.values())
    # The versions before 1.2 know none of these: who asks for them gets what they have.
    context.set_cipher_list((suites if options.min_version >= "1.2" else f"{suites}:ECDHE+AES@SECLEVEL=0").encode())
    context.set_tls13_ciphersuites(_SUITES_OF_1_3)
    if options.curve_preferences:
        set_groups(context, ":".join(_GROUPS.get(name, name) for name in options.curve_preferences))
    return context


class Source(Protocol):
    """Whoever has an inbound's certificate, if its options have none."""

    number: int  # of the certificate that is the newest; 0 if there is none yet
    chain: bytes  # it, and its key, in PEM
    key: bytes


def server_context(options: TlsInbound, source: Source | None = None) -> tuple[SSL.Context, Callable[[], None]]:
    """The context of an inbound, and what looks whether its certificate has changed. Raises ConfigError."""
    context = new_context(SSL.TLS_SERVER_METHOD, options)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | PRIORITIZE_CHACHA)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets carry the sessions, so that any worker can resume them
    context.set_session_id(b"gproxy")
    if options.alpn:
        context.set_alpn_select_callback(_selecting([name.encode() for name in options.alpn]))
    mode = _CLIENTS[options.client_authentication]
    if mode != SSL.VERIFY_NONE:
        any_will_do = options.client_authentication in ("request", "require-any")
        context.set_verify(mode, _accept_any if any_will_do else None)
        trust(context, options.client_certificate, options.client_certificate_path)
    certificate = Certificate(context, options, source)
    certificate.load()
    return context, certificate.look


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


class Certificate:
    """The certificate of an inbound and its key, kept as new as their files or their source."""

    def __init__(self, context: SSL.Context, options: TlsInbound, source: Source | None = None) -> None:
        self._context = context
        self._options = options
        self._source = source
        self._number = 0  # of the source's certificate that is shown
        self._paths = [path for path in (options.certificate_path, options.key_path) if path]
        self._looked = 0.0
        self._stamp = self._stamps()

    def load(self) -> None:
        """Take what there is now. Raises ConfigError, and the context has what it had before."""
        options, source = self._options, self._source
        if source is None:
            text = text_of(options.certificate, options.certificate_path, "certificate")
            key = key_in(text_of(options.key, options.key_path, "key"))
        elif not source.number:
            return
        else:
            self._number = source.number
            text, key = source.chain, key_in(source.key)
        certificates_in(text, "certificate")
        for context in (SSL.Context(SSL.TLS_SERVER_METHOD), self._context):  # the first one for trial
            show_chain(context, text)
            try:
                use_key(context, key)
            except ValueError as error:
                raise ConfigError("tls: key: not that of the certificate") from error

    def look(self) -> None:
        """Load again if a file, or the source, has changed. What can't be used is logged, and the old one goes on."""
        if self._source is not None:
            if self._source.number == self._number:
                return
        elif not self._files_changed():
            return
        try:
            self.load()
        except ConfigError as error:
            _log.error("the new certificate can't be used, the old one goes on: %s", error)
        else:
            _log.info("the certificate was %s", f"read again: {self._paths[0]}" if self._paths else "exchanged")

    def _files_changed(self) -> bool:
        at = now()
        if not self._paths or at - self._looked < _LOOK:
            return False
        self._looked = at
        before, self._stamp = self._stamp, self._stamps()
        return self._stamp != before

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(path) for path in self._paths]


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino


def show_chain(context: SSL.Context, text: bytes) -> None:
    """Only from a file does OpenSSL take a chain in the place of the one before."""
    fd = os.memfd_create("gproxy-chain", os.MFD_CLOEXEC)
    try:
        os.write(fd, text)
        use_chain(context, f"/proc/self/fd/{fd}")
    except ValueError as error:
        raise ConfigError("tls: certificate: OpenSSL can't use this chain") from error
    finally:
        os.close(fd)


def trust(context: SSL.Context, lines: Iterable[str], paths: Iterable[str]) -> None:
    """Certificates in lines of PEM, and in files, are authorities from now on. Raises ConfigError."""
    texts = ["\n".join(lines).encode()] if lines else []
    store = context.get_cert_store()
    assert store is not None, "a context has a store"
    for text in (*texts, *(text_of((), path, "certificate_path") for path in paths)):
        for each in certificates_in(text, "certificate"):
            store.add_cert(X509.from_cryptography(each))


def text_of(lines: Iterable[str], path: str, what: str) -> bytes:
    """What stands in lines, or else in a file. Raises ConfigError, which says `what` it should have been."""
    if not path:
        return "\n".join(lines).encode()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"tls: {what}: can't read {path}: {error.strerror}") from error


def certificates_in(text: bytes, what: str) -> list[x509.Certificate]:
    """The certificates in PEM, at least one. Raises ConfigError."""
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise ConfigError(f"tls: {what}: not PEM certificates") from error


def key_in(text: bytes) -> PKey:
    """The private key in PEM. Raises ConfigError."""
    try:
        key = serialization.load_pem_private_key(text, None)
    except (ValueError, TypeError) as error:
        raise ConfigError("tls: key: not a PEM private key without a passphrase") from error
    return PKey.from_cryptography_key(key)  # type: ignore[arg-type]  # OpenSSL says what it can't use
