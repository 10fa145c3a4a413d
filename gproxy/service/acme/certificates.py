"""Keys and certificates: what is asked for, what came back, when it should be renewed, and what proves a name."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from gproxy.base.clock import wall
from gproxy.schema.acme import KeyType
from gproxy.service.acme.jws import b64

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # RFC 8737 section 3
_DIGEST: Final = b"\x04\x20"  # an OCTET STRING of 32
_DAY: Final = datetime.timedelta(days=1)

# A certificate is renewed when a third of its life is left, and up to so much of its life earlier: those that were made
# in one night are not renewed in one night.
_LEFT: Final = 1 / 3
_EARLIER: Final = 0.03

# What reading a certificate may raise.
_UNREADABLE: Final = (
    ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Issued:
    """A private key and a chain that belongs to it, in PEM, and what is in its first certificate."""

    key: bytes = field(repr=False)
    chain: bytes
    begins: float  # seconds since the epoch
    ends: float
    renewal_id: str  # its name in renewal information; empty if it has none

    @classmethod
    def read(cls, key: bytes, chain: bytes, names: Sequence[str]) -> Issued:
        """Raises ValueError unless the chain is the key's and has all these names."""
        try:
            leaf = x509.load_pem_x509_certificates(chain)[0]
            private = load_pem_private_key(key, None)
            theirs = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            found = _names_in(leaf)
            begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
            renewal_id = _renewal_id(leaf)
        except _UNREADABLE as error:
            raise ValueError("not a chain of certificates with a key") from error
        if theirs != private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo):
            raise ValueError("a certificate of another key")
        if missing := set(names) - found:
            raise ValueError(f"a certificate without {', '.join(sorted(missing))}")
        return cls(key, chain, begins, ends, renewal_id)

    def renewal(self, dice: Random) -> float:
        """When it should be renewed, in seconds since the epoch, if the authority does not say."""
        life = self.ends - self.begins
        return self.ends - life * (_LEFT + _EARLIER * dice.random())

    def latest_renewal(self) -> float:
        """When it should have been renewed, whoever says what."""
        return self.ends - (self.ends - self.begins) * _EARLIER

    def expired(self) -> bool:
        """Whether nobody takes it any more."""
        return wall() >= self.ends


def _names_in(leaf: x509.Certificate) -> set[str]:
    try:
        general = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    domains = {name.lower() for name in general.get_values_for_type(x509.DNSName)}
    return domains | {str(address) for address in general.get_values_for_type(x509.IPAddress)}


def _renewal_id(leaf: x509.Certificate) -> str:
    """RFC 9773 section 4.1: the issuer's key and the serial number, as they are written in the certificate."""
    try:
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{b64(issuer)}.{b64(serial)}" if issuer else ""


def new_key(kind: KeyType) -> Private:
    """A new private key."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in ("p256", "p384"):
        return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())
    return rsa.generate_private_key(65537, 2048 if kind == "rsa2048" else 4096)


def key_pem(private: Private) -> bytes:
    """It in PEM."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request(private: Private, names: Sequence[str]) -> bytes:
    """A request for a certificate with these names (PKCS #10), in DER."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return builder.sign(private, _hash(private)).public_bytes(Encoding.DER)


def _hash(private: Private) -> hashes.SHA256 | None:
    return None if isinstance(private, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def proving(name: str, answer: str) -> bytes:
    """The certificate that proves a name in a handshake (RFC 8737), with its key, in PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    today = datetime.datetime.fromtimestamp(wall(), datetime.UTC)
    digest = x509.UnrecognizedExtension(_ACME_IDENTIFIER, _DIGEST + sha256(answer.encode()).digest())
    builder = x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - _DAY).not_valid_after(today + 7 * _DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([_general(name)]), critical=False)
    certificate = builder.add_extension(digest, critical=True).sign(private, hashes.SHA256())
    return key_pem(private) + certificate.public_bytes(Encoding.PEM)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def asked_name(name: str) -> str:
    """What an authority asks for in a handshake: an address is asked for as its name in the DNS (RFC 8738)."""
    try:
        return ipaddress.ip_address(name).reverse_pointer
    except ValueError:
        return name
