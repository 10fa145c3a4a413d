"""Streams of sealed chunks: SIP004, and the part that the 2022 edition has in common with it.

+------+----------------+----------------------+----------------+----------------------+---
| salt | sealed length  | sealed payload       | sealed length  | sealed payload       | …
+------+----------------+----------------------+----------------+----------------------+---
| 16…32|  2 + 16 (tag)  |  length + 16 (tag)   |  2 + 16        |  length + 16         |

The session key is made from the salt (keys.py). The nonce counts the seals, from zero, as 12 or 24 bytes in
little-endian order. A length is at most 0x3FFF in SIP004, its upper two bits being reserved, and 0xFFFF in the 2022
edition. An empty chunk says nothing; Xray's clients send one when they have no payload yet. The payload that a client
sends begins with the target's address (gproxy.wire.socksaddr).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Buffer
from gproxy.wire.crypto.aead import TAG, Aead, WrongTag, XChaCha20Poly1305

MOST: Final = 0x3FFF
"""Payload bytes of the largest chunk in SIP004."""

SEALED_LENGTH: Final = 2 + TAG

_UNKNOWN: Final = -1


def nonce_size(cipher: Aead) -> int:
    """Bytes of the cipher's nonces."""
    return 24 if isinstance(cipher, XChaCha20Poly1305) else 12


class ChunkSealer:
    """Seals payload as chunks (see Sealer)."""

    __slots__ = ("_before", "_encrypt", "_head", "_most", "_nonce_size", "_number")

    def __init__(self, cipher: Aead, before: bytes, head: bytes = b"", *, most: int = MOST, number: int = 0) -> None:
        """`before` leaves first, as it is; `head` is sealed before the first payload. `number` seals were made."""
        self._encrypt = cipher.encrypt_into
        self._nonce_size = nonce_size(cipher)
        self._number = number
        self._most = most
        self._before = before
        self._head = head

    def room(self, size: int, /) -> int:
        """See Sealer."""
        size += len(self._head)
        chunks = size // self._most + 1
        return len(self._before) + size + chunks * (SEALED_LENGTH + TAG)

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer. Nothing makes no chunk, but what has to leave first leaves."""
        made = len(self._before)
        if made:
            target[:made] = self._before
            self._before = b""
        if self._head:
            source, self._head = b"".join((self._head, source)), b""
        return self._seal_chunks(memoryview(source), target, made)

    def _seal_chunks(self, source: memoryview, target: memoryview, made: int) -> int:
        encrypt, nonce_size, most, number = self._encrypt, self._nonce_size, self._most, self._number
        whole, rest = divmod(len(source), most)
        length, step, start = most.to_bytes(2, "big"), SEALED_LENGTH + most + TAG, 0
        for at in range(made, made + whole * step, step):  # bulk: nothing is worked out twice
            body = at + SEALED_LENGTH
            encrypt(number.to_bytes(nonce_size, "little"), length, None, target[at:body])
            piece = source[start : start + most]
            encrypt((number + 1).to_bytes(nonce_size, "little"), piece, None, target[body : at + step])
            number += 2
            start += most
        made += whole * step
        if rest:
            body = made + SEALED_LENGTH
            end = body + rest + TAG
            encrypt(number.to_bytes(nonce_size, "little"), rest.to_bytes(2, "big"), None, target[made:body])
            encrypt((number + 1).to_bytes(nonce_size, "little"), source[start:], None, target[body:end])
            number += 2
            made = end
        self._number = number
        return made


class ChunkOpener:
    """Opens chunks (see Opener). Raises AuthError for a wrong tag, ProtocolError for a length that can't be."""

    __slots__ = ("_before", "_decrypt", "_length", "_most", "_nonce_size", "_number", "_size")

    def __init__(self, cipher: Aead, *, most: int = MOST, number: int = 0, size: int = _UNKNOWN) -> None:
        """`number` seals were opened, the last of them the length `size` of the next chunk, if that is given."""
        self._begin(cipher)
        self._number = number
        self._most = most
        self._size = size
        self._before = 0  # bytes of the length, once it is opened and as long as its chunk has not come
        self._length = bytearray(2)

    def _begin(self, cipher: Aead) -> None:
        self._decrypt = cipher.decrypt_into
        self._nonce_size = nonce_size(cipher)

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        decrypt, nonce_size, number = self._decrypt, self._nonce_size, self._number
        size, before = self._size, self._before
        used, made, have, room = 0, 0, len(source), len(target)
        try:
            while True:
                if size < 0:
                    body = used + SEALED_LENGTH
                    if body > have:
                        break
                    decrypt(number.to_bytes(nonce_size, "little"), source[used:body], None, self._length)
                    number += 1
                    size = int.from_bytes(self._length, "big")
                    if size > self._most:
                        raise ProtocolError(f"a chunk of {size} bytes")
                    before = SEALED_LENGTH
                body = used + before
                end, filled = body + size + TAG, made + size
                if end > have or filled > room:
                    break
                decrypt(number.to_bytes(nonce_size, "little"), source[body:end], None, target[made:filled])
                number += 1
                used, made, size, before = end, filled, _UNKNOWN, 0
        except WrongTag as error:
            raise AuthError("a chunk fails its tag") from error
        self._number, self._size, self._before = number, size, before
        return used, made


class SaltedOpener(ChunkOpener):
    """Opens a stream from its salt on, as a client does."""

    __slots__ = ("_cipher_for", "_salt_size")

    def __init__(self, salt_size: int, cipher_for: Callable[[bytes], Aead]) -> None:
        """`cipher_for` makes the session's cipher from the salt."""
        self._cipher_for: Callable[[bytes], Aead] | None = cipher_for
        self._salt_size = salt_size
        self._number = 0
        self._most = MOST
        self._size = _UNKNOWN
        self._before = 0
        self._length = bytearray(2)

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        if self._cipher_for is None:
            return super().open_into(source, target)
        if len(source) < self._salt_size:
            return 0, 0
        self._begin(self._cipher_for(bytes(source[: self._salt_size])))
        self._cipher_for = None
        used, made = super().open_into(source[self._salt_size :], target)
        return self._salt_size + used, made


def open_length(cipher: Aead, sealed: bytes) -> int | None:
    """The length in the first seal of a stream, or None if another key has made it. Raises ProtocolError."""
    try:
        size = int.from_bytes(cipher.decrypt(bytes(nonce_size(cipher)), sealed, None), "big")
    except WrongTag:
        return None
    if size > MOST:
        raise ProtocolError(f"a chunk of {size} bytes")
    return size
