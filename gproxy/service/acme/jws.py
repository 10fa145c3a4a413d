"""Signed requests (RFC 7515, as RFC 8555 section 6.2 has them), and what stands for a key (RFC 7638).

    {"protected": base64url(header), "payload": base64url(payload), "signature": base64url(signature)}

The signature is over `protected "." payload`. The header is {"alg", "nonce", "url"} and either "jwk", the public key,
or "kid", the account's URL.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_CURVES: Final = {"secp256r1": ("P-256", "ES256", hashes.SHA256()), "secp384r1": ("P-384", "ES384", hashes.SHA384())}


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


class Key:
    """The private key of an account."""

    def __init__(self, private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
        self._private = private

    @classmethod
    def new(cls) -> Key:
        """A new one, on P-256."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, text: bytes) -> Key:
        """One in PEM. Raises ValueError for what is none, or of a kind that authorities don't take."""
        try:
            private = serialization.load_pem_private_key(text, None)
        except (TypeError, UnsupportedAlgorithm) as error:
            raise ValueError("a key that is encrypted, or of an unknown kind") from error
        if isinstance(private, rsa.RSAPrivateKey):
            return cls(private)
        if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
            return cls(private)
        raise ValueError("expected a key of RSA, P-256 or P-384")

    def pem(self) -> bytes:
        """It in PEM."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def jwk(self) -> dict[str, str]:
        """The public key, its members in the order of their names."""
        if isinstance(self._private, rsa.RSAPrivateKey):
            numbers = self._private.public_key().public_numbers()
            return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
        points = self._private.public_key().public_numbers()
        size = (self._private.key_size + 7) // 8
        name = _CURVES[self._private.curve.name][0]
        return {"crv": name, "kty": "EC", "x": _number(points.x, size), "y": _number(points.y, size)}

    def thumbprint(self) -> str:
        """What names the key in answers to challenges."""
        return b64(sha256(_json(self.jwk())).digest())

    def sign(self, url: str, nonce: str, payload: Mapping[str, Any] | None, account: str = "") -> bytes:
        """A request's body. Without a payload it only asks (POST-as-GET); without an account it shows the key."""
        header = {"alg": self._algorithm(), "nonce": nonce, "url": url}
        who = {"kid": account} if account else {"jwk": self.jwk()}
        return _joined({**header, **who}, b"" if payload is None else _json(payload), self._signature)

    def bind(self, key_id: str, mac: bytes, url: str) -> dict[str, Any]:
        """The external account's consent to the account of this key (RFC 8555 section 7.3.4)."""
        header = {"alg": "HS256", "kid": key_id, "url": url}
        bound: dict[str, Any] = json.loads(
            _joined(header, _json(self.jwk()), lambda data: hmac.digest(mac, data, "sha256"))
        )
        return bound

    def _algorithm(self) -> str:
        return "RS256" if isinstance(self._private, rsa.RSAPrivateKey) else _CURVES[self._private.curve.name][1]

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self._private.sign(data, ec.ECDSA(_CURVES[self._private.curve.name][2])))
        size = (self._private.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _joined(header: Mapping[str, Any], payload: bytes, sign: Any) -> bytes:
    protected, body = b64(_json(header)), b64(payload)
    signature: bytes = sign(f"{protected}.{body}".encode("ascii"))
    return _json({"payload": body, "protected": protected, "signature": b64(signature)})


def _json(value: Mapping[str, Any]) -> bytes:
    """As short as it can be: a thumbprint is made of just these bytes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _number(value: int, size: int = 0) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))
