"""From passwords to keys, and from keys to session keys.

SIP004: the key is EVP_BytesToKey(MD5) of the password; a session's is HKDF-SHA1(key, salt, "ss-subkey").
SIP022: the password *is* the key, in base64; a session's is BLAKE3 derive_key("shadowsocks 2022 session subkey",
key + salt). SIP023: several keys stand in a row, from the first server's to the user's own; an identity header is one
block of AES under BLAKE3 derive_key("shadowsocks 2022 identity subkey", key + salt).
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from hashlib import md5, sha1
from itertools import pairwise

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gproxy.protocol.shadowsocks.wire.methods import Method

_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))

BLOCK = 16
"""Bytes of an AES block: of an identity header, and of the hash by which a key is named there."""


def key_of_password(method: Method, password: str) -> bytes:
    """The key of a method that is not of the 2022 edition."""
    key = block = b""
    while len(key) < method.key_size:
        block = md5(block + password.encode(), usedforsecurity=False).digest()
        key += block
    return key[: method.key_size]


def keys_of_password(method: Method, password: str) -> list[bytes]:
    """The keys that a password of the 2022 edition holds, from the first server's to the user's own.

    Raises ValueError with what is wrong, without the password.
    """
    keys = []
    for text in password.split(":"):
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError("expected a key in base64, as `gproxy generate ss-key` makes it") from error
        if len(key) != method.key_size:
            raise ValueError(f"expected a key of {method.key_size} bytes in base64, got {len(key)} bytes")
        keys.append(key)
    if len(keys) > 1 and not method.block:
        raise ValueError(f"{method.name} has no identity headers: expected a single key")
    return keys


def session_key_aead(key: bytes, salt: bytes) -> bytes:
    """HKDF-SHA1 (RFC 5869) with the info of SIP004. Each packet has a key of its own, so this must be fast."""
    secret = _hmac_sha1(salt, key)
    made = _hmac_sha1(secret, b"ss-subkey\x01")
    if len(key) > len(made):
        made += _hmac_sha1(secret, made + b"ss-subkey\x02")
    return made[: len(key)]


def _hmac_sha1(key: bytes, data: bytes) -> bytes:
    """RFC 2104, for keys of at most 64 bytes. Between two system calls the libraries' own take twice as long."""
    inner = sha1(key.translate(_INNER).ljust(64, b"\x36") + data, usedforsecurity=False)
    return sha1(key.translate(_OUTER).ljust(64, b"\x5c") + inner.digest(), usedforsecurity=False).digest()


def session_key_2022(key: bytes, salt: bytes) -> bytes:
    """The session key of SIP022; for packets the salt is the session id."""
    return blake3(key + salt, derive_key_context="shadowsocks 2022 session subkey").digest(len(key))


def identity_key(key: bytes, salt: bytes) -> bytes:
    """The key of an identity header in a stream (SIP023)."""
    return blake3(key + salt, derive_key_context="shadowsocks 2022 identity subkey").digest(len(key))


@lru_cache(4096)
def key_hash(key: bytes) -> bytes:
    """How an identity header names a key: the first block of its BLAKE3 hash."""
    return blake3(key).digest(BLOCK)


def block_cipher(key: bytes) -> Cipher[modes.ECB]:
    """AES, for single blocks."""
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305 - the specifications want single blocks


def encrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of AES."""
    return block_cipher(key).encryptor().update(block)


def decrypt_block(key: bytes, block: bytes) -> bytes:
    """One block of AES, back."""
    return block_cipher(key).decryptor().update(block)


def identity_headers(keys: list[bytes], salt: bytes) -> bytes:
    """The identity headers of a stream: one for each key but the last, naming the key after it."""
    return b"".join(encrypt_block(identity_key(key, salt), key_hash(following)) for key, following in pairwise(keys))
