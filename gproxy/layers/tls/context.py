"""From options to OpenSSL's contexts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from OpenSSL.crypto import X509, PKey

from gproxy.base.errors import ConfigError
from gproxy.layers.tls.bindings import set_groups, use_chain, use_key, write_all
from gproxy.schema.tls import SUITES, Tls

_VERSIONS: Final = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_GROUPS: Final = {"P256": "P-256", "P384": "P-384", "P521": "P-521"}

# All that can be chosen. A client begins with what has a star; a server takes what a client has begun with, where that
# is as good: a slash ends those that are equally good.
_ALL_GROUPS: Final = "*X25519MLKEM768/*X25519:P-256/P-384:P-521"

# The first one costs least: its hash is fast in hardware, and a handshake hashes much.
_SUITES_OF_1_3: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"


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
    chosen_groups = ":".join(_GROUPS.get(name, name) for name in options.curve_preferences)
    set_groups(context, chosen_groups or _ALL_GROUPS)
    return context


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


def show_pair(context: SSL.Context, chain: bytes, key: PKey) -> None:
    """Show this chain (PEM), whose key this is. Raises ConfigError."""
    show_chain(context, chain)
    try:
        use_key(context, key)
    except ValueError as error:
        raise ConfigError("tls: key: not that of the certificate") from error


def trust(context: SSL.Context, lines: Iterable[str], paths: Iterable[str]) -> None:
    """Certificates in lines of PEM, and in files, are authorities from now on. Raises ConfigError."""
    texts = ["\n".join(lines).encode()] if lines else []
    for text in (*texts, *(text_of((), path, "certificate_path") for path in paths)):
        add_authorities(context, text, "certificate")


def add_authorities(context: SSL.Context, text: bytes, what: str) -> None:
    """Believe the certificates in PEM, too. Raises ConfigError, which says `what` they should have been."""
    store = context.get_cert_store()
    assert store is not None, "a context has a store"
    for each in certificates_in(text, what):
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


def key_hash(certificate: x509.Certificate) -> bytes:
    """What pins are compared with: the SHA-256 of the public key, as it stands in the certificate."""
    return sha256(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
