"""Packets of the 2022 edition, SIP022, with identity headers by SIP023.

AES methods:
+------------------------------+---------------------+-------------------------+-----+
| one block: session id (8) |  | identity headers    | sealed: head | payload  | tag |
|            packet id (8)     | 16 for each         |                         |     |
+------------------------------+---------------------+-------------------------+-----+
The block is encrypted with the first key. What is sealed has the last 12 octets of the plain block as its nonce, and
the key of a session whose salt is the session id. An identity header names the next key: that key's hash, exclusive-or
the plain block, encrypted with the key before. The server's packets have none, and their block is encrypted with the
client's own key.

2022-blake3-chacha20-poly1305, by XChaCha20-Poly1305 with the key itself:
+------------+-----------------------------------------------------------+-----+
| nonce (24) | sealed: session id (8) | packet id (8) | head | payload   | tag |
+------------+-----------------------------------------------------------+-----+

head, client's: type = 0 (1) | time, s since 1970 (8) | length of the padding (2) | padding | target address
head, server's: type = 1 (1) | time (8) | the client's session id (8) | length (2) | padding | source address

Packet ids count up from 0. Times may differ by 30 seconds at most.
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from itertools import pairwise
from random import randrange
from typing import Final, Protocol

from gproxy.base.address import Address
from gproxy.base.clock import wall
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.wire.keys import BLOCK, block_cipher, key_hash, session_key_2022
from gproxy.protocol.shadowsocks.wire.methods import Method
from gproxy.protocol.shadowsocks.wire.packets import split
from gproxy.protocol.shadowsocks.wire.stream2022 import MOST_PADDING
from gproxy.wire.crypto.aead import TAG, Aead, WrongTag, XChaCha20Poly1305

SESSION_ID: Final = 8

_NONCE: Final = 24
_CLIENT: Final = 0
_SERVER: Final = 1
_REQUEST = struct.Struct(">BQH")
_ANSWER = struct.Struct(">BQ8sH")
_DNS: Final = b"\0\x35"  # how an address ends whose port is 53


class Blocks:
    """AES under one key, block by block."""

    __slots__ = ("decrypt", "encrypt")

    def __init__(self, key: bytes) -> None:
        cipher = block_cipher(key)
        self.encrypt = cipher.encryptor().update  # these never end, since no block depends on the one before
        self.decrypt = cipher.decryptor().update


@lru_cache(1024)
def blocks(key: bytes) -> Blocks:
    """The blocks of a key: making a cipher costs twenty times as much as a block."""
    return Blocks(key)


def exclusive_or(one: bytes, other: bytes) -> bytes:
    """Of two blocks."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(BLOCK, "big")


# -- heads -------------------------------------------------------------------------------------------------------------


def request_head(address: bytes, size: int) -> bytes:
    """The client's head before a payload of `size` bytes, without the address that ends it."""
    padding = _padding(address, size)
    return _REQUEST.pack(_CLIENT, int(wall()), padding) + bytes(padding)


def answer_head(session: bytes, address: bytes, size: int) -> bytes:
    """The server's head likewise; `session` is the client's."""
    padding = _padding(address, size)
    return _ANSWER.pack(_SERVER, int(wall()), session, padding) + bytes(padding)


def _padding(address: bytes, size: int) -> int:
    """How much padding hides a payload's size: that of DNS tells the most, and is small enough to be hidden."""
    if size >= MOST_PADDING or not address.endswith(_DNS):
        return 0
    return randrange(1, MOST_PADDING - size + 1)  # noqa: S311 - a length, no secret


def read_request(content: bytes, at: int) -> tuple[int, bytes, Address]:
    """Time, payload and target of a client's packet, whose head begins at `at`. Raises ProtocolError."""
    try:
        kind, time, padding = _REQUEST.unpack_from(content, at)
    except struct.error:
        raise ProtocolError("a packet that ends within its head") from None
    if kind != _CLIENT:
        raise ProtocolError(f"not a client's packet: its type is {kind}")
    payload, target = split(content, at + _REQUEST.size + padding)
    return time, payload, target


def read_answer(content: bytes, at: int) -> tuple[int, bytes, bytes, Address]:
    """Time, the client's session id, payload and source of a server's packet likewise."""
    try:
        kind, time, session, padding = _ANSWER.unpack_from(content, at)
    except struct.error:
        raise ProtocolError("a packet that ends within its head") from None
    if kind != _SERVER:
        raise ProtocolError(f"not a server's packet: its type is {kind}")
    payload, source = split(content, at + _ANSWER.size + padding)
    return time, session, payload, source


# -- packets -----------------------------------------------------------------------------------------------------------


class Format(Protocol):
    """How packets are opened."""

    def begin(self, packet: bytes, /) -> tuple[bytes, bytes]:
        """The plain block, session id and packet id, and what `finish` wants. Raises ProtocolError, AuthError."""

    def cipher(self, key: bytes, session: bytes, /) -> Aead | None:
        """What opens the packets of a session; None where its key does."""

    def finish(self, block: bytes, rest: bytes, cipher: Aead | None, /) -> tuple[bytes, int]:
        """What holds head and payload, and where these begin. Raises AuthError if another key has sealed them."""


class BlockFormat:
    """The AES methods (see Format)."""

    __slots__ = ("_decrypt", "_make", "_sealed_at", "_shortest")

    def __init__(self, method: Method, key: bytes, identities: int) -> None:
        """`key` is the block's; `identities`: how many identity headers a packet has."""
        self._make = method.cipher
        self._decrypt = blocks(key).decrypt
        self._sealed_at = BLOCK + identities * BLOCK
        self._shortest = self._sealed_at + _REQUEST.size + TAG

    def begin(self, packet: bytes, /) -> tuple[bytes, bytes]:
        """See Format."""
        if len(packet) < self._shortest:
            raise ProtocolError("a packet shorter than its headers and tag")
        return self._decrypt(packet[:BLOCK]), packet[self._sealed_at :]

    def cipher(self, key: bytes, session: bytes, /) -> Aead:
        """See Format."""
        return self._make(session_key_2022(key, session))

    def finish(self, block: bytes, rest: bytes, cipher: Aead | None, /) -> tuple[bytes, int]:
        """See Format."""
        assert cipher is not None, "each session has its own"
        try:
            return cipher.decrypt(block[4:], rest, None), 0
        except WrongTag:
            raise AuthError("the packet was made with another key") from None

    def named(self, packet: bytes, block: bytes) -> bytes:
        """The hash of the key that the packet's first identity header names."""
        return exclusive_or(self._decrypt(packet[BLOCK : 2 * BLOCK]), block)


class NonceFormat:
    """2022-blake3-chacha20-poly1305 (see Format)."""

    __slots__ = ("_decrypt",)

    def __init__(self, key: bytes) -> None:
        self._decrypt = XChaCha20Poly1305(key).decrypt

    def begin(self, packet: bytes, /) -> tuple[bytes, bytes]:
        """See Format."""
        if len(packet) < _NONCE + BLOCK + _REQUEST.size + TAG:
            raise ProtocolError("a packet shorter than its headers and tag")
        try:
            content = self._decrypt(packet[:_NONCE], packet[_NONCE:], None)
        except WrongTag:
            raise AuthError("the packet was made with another key") from None
        return content[:BLOCK], content

    def cipher(self, key: bytes, session: bytes, /) -> None:
        """See Format."""

    def finish(self, block: bytes, rest: bytes, cipher: Aead | None, /) -> tuple[bytes, int]:
        """See Format."""
        return rest, BLOCK


class PacketSealer(Protocol):
    """Seals the packets of one session, and numbers them."""

    number: int  # the next packet's

    def seal(self, head: bytes, address: bytes, data: Buffer, /) -> bytes:
        """The next packet; its head is `head` and `address`."""


class _Numbered:
    __slots__ = ("_session", "number")

    def __init__(self, session: bytes, number: int) -> None:
        self._session = session
        self.number = number

    def _block(self) -> bytes:
        number = self.number
        self.number = number + 1
        return self._session + number.to_bytes(8, "big")


class BlockSealer(_Numbered):
    """The AES methods (see PacketSealer)."""

    __slots__ = ("_cipher", "_encrypt", "_identities")

    def __init__(self, method: Method, keys: list[bytes], session: bytes, number: int) -> None:
        """`keys`: from the first server's to the one's own that seals."""
        super().__init__(session, number)
        self._cipher = method.cipher(session_key_2022(keys[-1], session))
        self._encrypt = blocks(keys[0]).encrypt
        self._identities = [(blocks(key).encrypt, key_hash(following)) for key, following in pairwise(keys)]

    def seal(self, head: bytes, address: bytes, data: Buffer, /) -> bytes:
        """See PacketSealer."""
        block = self._block()
        sealed = self._cipher.encrypt(block[4:], b"".join((head, address, data)), None)
        if not self._identities:
            return self._encrypt(block) + sealed
        identities = (encrypt(exclusive_or(name, block)) for encrypt, name in self._identities)
        return b"".join((self._encrypt(block), *identities, sealed))


class NonceSealer(_Numbered):
    """2022-blake3-chacha20-poly1305 (see PacketSealer)."""

    __slots__ = ("_encrypt",)

    def __init__(self, key: bytes, session: bytes, number: int) -> None:
        super().__init__(session, number)
        self._encrypt = XChaCha20Poly1305(key).encrypt

    def seal(self, head: bytes, address: bytes, data: Buffer, /) -> bytes:
        """See PacketSealer."""
        nonce = os.urandom(_NONCE)
        return nonce + self._encrypt(nonce, b"".join((self._block(), head, address, data)), None)


def make_format(method: Method, key: bytes, identities: int = 0) -> BlockFormat | NonceFormat:
    """How packets of a method are opened: a client's by the server's key, a server's by the client's own."""
    return BlockFormat(method, key, identities) if method.block else NonceFormat(key)


def make_sealer(method: Method, keys: list[bytes], session: bytes, number: int = 0) -> BlockSealer | NonceSealer:
    """What seals a session's packets from a number on: a client's with all of its keys, a server's with that client's.

    Each session id is used once, and goes on with the number that comes next: the nonce depends on both.
    """
    return BlockSealer(method, keys, session, number) if method.block else NonceSealer(keys[-1], session, number)
