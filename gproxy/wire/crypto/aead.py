"""AEAD ciphers, from buffer to buffer.

Each is made once for a key. The nonce is the caller's: 12 bytes, 24 for XChaCha20. The libraries' own objects are given
out as they are, since one more call would cost as much as a short message: what they raise for a wrong tag is
`WrongTag`, which every opener maps to an error of its own protocol.

RFC 5116 (AES-GCM), RFC 8439 (ChaCha20-Poly1305), draft-irtf-cfrg-xchacha-03 (XChaCha20-Poly1305).
"""

from __future__ import annotations

from typing import Final, Protocol

from cryptography.exceptions import InvalidTag as WrongTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from gproxy.base.iface import Buffer

__all__ = ["TAG", "Aead", "AESGCM", "ChaCha20Poly1305", "WrongTag", "XChaCha20Poly1305"]

TAG: Final = 16
"""Bytes that sealing adds."""


class Aead(Protocol):
    """A cipher with its key."""

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """The ciphertext with its tag."""

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """The plaintext. Raises WrongTag."""

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int:
        """The same into a buffer of exactly the right size."""

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int:
        """The same into a buffer of exactly the right size. Raises WrongTag."""


_CONSTANTS = b"expand 32-byte k"
_ZEROS = bytes(64)
_TOPS = int.from_bytes(b"\0\0\0\x80" * 8, "little")  # the highest bit of each of eight words
_RESTS = int.from_bytes(b"\xff\xff\xff\x7f" * 8, "little")


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """HChaCha20: a subkey of 32 bytes from a key of 32 and a nonce of 16.

    ChaCha20 adds its first state to its last; taking that away again leaves the rounds alone, which is HChaCha20. All
    eight words are subtracted at once: with their highest bits set, and those of the others not, none borrows from the
    next; what the highest bits should have been is put right afterwards.
    """
    block = Cipher(algorithms.ChaCha20(key, nonce), None).encryptor().update(_ZEROS)
    last = int.from_bytes(block[:16] + block[48:], "little")
    first = int.from_bytes(_CONSTANTS + nonce, "little")
    difference = ((last | _TOPS) - (first & _RESTS)) ^ ((last ^ first ^ _TOPS) & _TOPS)
    return difference.to_bytes(32, "little")


class XChaCha20Poly1305:
    """XChaCha20-Poly1305, of which the library has the halves."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = bytes(key)

    def _one(self, nonce: Buffer) -> tuple[ChaCha20Poly1305, bytes]:
        nonce = bytes(nonce)
        return ChaCha20Poly1305(hchacha20(self._key, nonce[:16])), bytes(4) + nonce[16:]

    def encrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """See Aead."""
        cipher, short = self._one(nonce)
        return cipher.encrypt(short, data, associated_data)

    def decrypt(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """See Aead."""
        cipher, short = self._one(nonce)
        return cipher.decrypt(short, data, associated_data)

    def encrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int:
        """See Aead."""
        cipher, short = self._one(nonce)
        return cipher.encrypt_into(short, data, associated_data, buf)

    def decrypt_into(self, nonce: Buffer, data: Buffer, associated_data: Buffer | None, buf: Buffer, /) -> int:
        """See Aead."""
        cipher, short = self._one(nonce)
        return cipher.decrypt_into(short, data, associated_data, buf)
