"""The encryption methods by name: what kind each is, and the sizes of its key and salt.

`aead`: SIP004. `2022`: SIP022, the 2022 edition. `stream`: the retired ciphers, which prove nothing about who sent the
bytes (legacy.py). `none`: no encryption at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from gproxy.wire.crypto.aead import AESGCM, Aead, ChaCha20Poly1305, XChaCha20Poly1305

Kind = Literal["aead", "2022", "stream", "none"]


@dataclass(frozen=True, slots=True)
class Method:
    """One encryption method."""

    name: str
    kind: Kind
    key_size: int  # bytes
    salt_size: int = 0  # bytes at the beginning of a stream: a salt, or a stream cipher's IV
    aead: Callable[[bytes], Aead] | None = None
    block: bool = False  # 2022: packets have a header of one AES block, so there can be identity headers

    def cipher(self, key: bytes) -> Aead:
        """The cipher for a key. Only for methods that are AEAD."""
        assert self.aead is not None, f"{self.name} is no AEAD method"
        return self.aead(key)


def _stream(name: str, key_size: int, iv_size: int) -> Method:
    return Method(name, "stream", key_size, iv_size)


METHODS: Final[dict[str, Method]] = {
    method.name: method
    for method in (
        Method("none", "none", 0),
        Method("aes-128-gcm", "aead", 16, 16, AESGCM),
        Method("aes-192-gcm", "aead", 24, 24, AESGCM),
        Method("aes-256-gcm", "aead", 32, 32, AESGCM),
        Method("chacha20-ietf-poly1305", "aead", 32, 32, ChaCha20Poly1305),
        Method("xchacha20-ietf-poly1305", "aead", 32, 32, XChaCha20Poly1305),
        Method("2022-blake3-aes-128-gcm", "2022", 16, 16, AESGCM, block=True),
        Method("2022-blake3-aes-256-gcm", "2022", 32, 32, AESGCM, block=True),
        Method("2022-blake3-chacha20-poly1305", "2022", 32, 32, ChaCha20Poly1305),
        _stream("aes-128-ctr", 16, 16),
        _stream("aes-192-ctr", 24, 16),
        _stream("aes-256-ctr", 32, 16),
        _stream("aes-128-cfb", 16, 16),
        _stream("aes-192-cfb", 24, 16),
        _stream("aes-256-cfb", 32, 16),
        _stream("camellia-128-cfb", 16, 16),
        _stream("camellia-192-cfb", 24, 16),
        _stream("camellia-256-cfb", 32, 16),
        _stream("bf-cfb", 16, 8),
        _stream("rc4-md5", 16, 16),
        _stream("chacha20", 32, 8),
        _stream("chacha20-ietf", 32, 12),
        _stream("xchacha20", 32, 24),
        _stream("salsa20", 32, 8),
    )
}
"""Every method, by the name that configurations give it."""
