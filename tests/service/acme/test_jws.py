from __future__ import annotations

import hmac
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gproxy.service.acme.jws import Key, b64
from tests.service.acme.authority import unb64, verify

# RFC 7638 section 3.1: a key and its thumbprint.
RFC_N = (
    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3ok"
    "njhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHz"
    "u6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU"
    "8awapJzKnqDKgw"
)
RFC_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def pem(private) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


KEYS = {
    "p256": Key.new(),
    "p384": Key.read(pem(ec.generate_private_key(ec.SECP384R1()))),
    "rsa": Key.read(pem(rsa.generate_private_key(65537, 2048))),
}


def test_the_thumbprint_of_the_rfc(monkeypatch) -> None:
    monkeypatch.setattr(Key, "jwk", lambda self: {"e": "AQAB", "kty": "RSA", "n": RFC_N})
    assert KEYS["rsa"].thumbprint() == RFC_THUMBPRINT


@pytest.mark.parametrize("kind", KEYS)
def test_a_signed_request(kind: str) -> None:
    key = KEYS[kind]
    table = json.loads(key.sign("https://ca.test/x", "nonce", {"a": "ü"}))
    header = json.loads(unb64(table["protected"]))
    assert header == {"alg": header["alg"], "nonce": "nonce", "url": "https://ca.test/x", "jwk": key.jwk()}
    assert json.loads(unb64(table["payload"])) == {"a": "ü"}
    signature, signed = unb64(table["signature"]), f"{table['protected']}.{table['payload']}".encode()
    verify(key.jwk(), header["alg"], signature, signed)
    with pytest.raises(InvalidSignature):
        verify(key.jwk(), header["alg"], signature, signed + b"x")


def test_with_an_account_the_key_is_not_shown_and_a_question_has_no_payload() -> None:
    table = json.loads(KEYS["p256"].sign("https://ca.test/x", "n", None, "https://ca.test/account/1"))
    assert table["payload"] == ""
    assert json.loads(unb64(table["protected"])) == {
        "alg": "ES256", "nonce": "n", "url": "https://ca.test/x", "kid": "https://ca.test/account/1",
    }  # fmt: skip


def test_numbers_keep_their_leading_zeros() -> None:
    """A coordinate that begins with a zero comes once in 128 keys."""
    keys = [Key(ec.derive_private_key(number, ec.SECP256R1())) for number in range(1, 600)]
    assert {len(unb64(key.jwk()[name])) for key in keys for name in ("x", "y")} == {32}
    assert any(unb64(key.jwk()["x"])[0] == 0 for key in keys)


def test_binding_to_an_external_account() -> None:
    bound = KEYS["p256"].bind("kid-1", b"secret", "https://ca.test/new-account")
    header = json.loads(unb64(bound["protected"]))
    assert header == {"alg": "HS256", "kid": "kid-1", "url": "https://ca.test/new-account"}
    assert json.loads(unb64(bound["payload"])) == KEYS["p256"].jwk()
    signed = f"{bound['protected']}.{bound['payload']}".encode()
    assert unb64(bound["signature"]) == hmac.digest(b"secret", signed, "sha256")


@pytest.mark.parametrize("kind", KEYS)
def test_there_and_back(kind: str) -> None:
    assert Key.read(KEYS[kind].pem()).jwk() == KEYS[kind].jwk()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"nonsense", pem(ed25519.Ed25519PrivateKey.generate()), pem(ec.generate_private_key(ec.SECP521R1())),
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        ),
    ],
    ids=["empty", "nonsense", "ed25519", "p521", "encrypted"],
)  # fmt: skip
def test_keys_that_are_of_no_use(text: bytes) -> None:
    with pytest.raises(ValueError):
        Key.read(text)


def test_base64_has_no_padding() -> None:
    assert (b64(b""), b64(b"\xff"), b64(b"\xfb\xff")) == ("", "_w", "-_8")
