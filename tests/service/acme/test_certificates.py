from __future__ import annotations

import base64
from hashlib import sha256
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gproxy.service.acme.certificates import Issued, asked_name, key_pem, new_key, proving, request
from tests.service.acme.authority import DAY, Authority
from tests.support.clock import START_WALL, HeldClock, held_clock

__all__ = ["held_clock"]

NAMES = ("site.test", "*.site.test", "192.0.2.1")


def issued(*names: str, life: float = 90 * DAY) -> Issued:
    authority = Authority()
    authority.life = life
    private = new_key("p256")
    chain = authority._sign(x509.load_der_x509_csr(request(private, names)))
    return Issued.read(key_pem(private), chain, names)


@pytest.mark.parametrize(
    ("kind", "model", "size"),
    [("p256", ec.EllipticCurvePrivateKey, 256), ("p384", ec.EllipticCurvePrivateKey, 384),
     ("rsa2048", rsa.RSAPrivateKey, 2048), ("ed25519", ed25519.Ed25519PrivateKey, 0)],
)  # fmt: skip
def test_keys_and_what_is_asked_with_them(kind, model, size) -> None:
    private = new_key(kind)
    assert isinstance(load_pem_private_key(key_pem(private), None), model)
    assert size in (0, getattr(private, "key_size", 0))
    asked = x509.load_der_x509_csr(request(private, NAMES))
    assert asked.is_signature_valid
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["site.test", "*.site.test"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.1"]


def test_what_came_back(held_clock: HeldClock) -> None:
    found = issued(*NAMES)
    assert (found.begins, found.ends) == (START_WALL, START_WALL + 90 * DAY)
    assert not found.expired()
    held_clock.advance(90 * DAY)
    assert found.expired()
    assert "PRIVATE" not in repr(found)


def test_it_is_renewed_when_a_third_is_left(held_clock: HeldClock) -> None:
    found = issued("site.test")
    moments = {found.renewal(Random(seed)) - START_WALL for seed in range(50)}
    assert len(moments) > 40, "not all in one night"
    assert min(moments) >= 57.3 * DAY
    assert max(moments) <= 60 * DAY


def test_what_can_t_be_used() -> None:
    found, other = issued("site.test"), issued("site.test")
    for key, chain, names, message in (
        (other.key, found.chain, ["site.test"], "another key"),
        (found.key, found.chain, ["site.test", "b.test"], "without b.test"),
        (found.key, b"nonsense", ["site.test"], "not a chain"),
        (b"nonsense", found.chain, ["site.test"], "not a chain"),
        (found.key, b"", ["site.test"], "not a chain"),
    ):
        with pytest.raises(ValueError, match=message):
            Issued.read(key, chain, names)


def test_its_name_in_renewal_information() -> None:
    """RFC 9773 section 4.1: a serial number that begins with a set bit has a zero before it."""
    found = issued("site.test")
    issuer, serial = found.renewal_id.split(".")
    leaf = x509.load_pem_x509_certificate(found.chain)
    number = int.from_bytes(base64.urlsafe_b64decode(serial + "=="), "big", signed=True)
    assert number == leaf.serial_number
    key = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert base64.urlsafe_b64decode(issuer + "==") == key


def test_the_proof_in_a_handshake() -> None:
    """RFC 8737 section 3."""
    pair = proving("site.test", "token.thumbprint")
    leaf = x509.load_pem_x509_certificate(pair[pair.index(b"-----BEGIN CERTIFICATE") :])
    extension = leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
    assert extension.critical
    assert extension.value.value == b"\x04\x20" + sha256(b"token.thumbprint").digest()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["site.test"]


def test_how_an_address_is_asked_for() -> None:
    assert asked_name("site.test") == "site.test"
    assert asked_name("192.0.2.1") == "1.2.0.192.in-addr.arpa"
    assert asked_name("2001:db8::1").endswith(".8.b.d.0.1.0.0.2.ip6.arpa")
