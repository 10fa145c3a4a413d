"""Packets of SIP004, of the retired ciphers, and of `none`: each stands for itself.

SIP004:          +------+----------------------------+-----+
                 | salt | sealed: address | payload  | tag |
                 +------+----------------------------+-----+
retired ciphers: | IV   | encrypted: address | payload     |
none:            | address | payload                        |
                 +------------------------------------------+

The address is the target in the client's packets, and in the server's ones where the payload comes from. The key of a
sealed packet is that of a session with this salt, and the nonce is zero. Nothing keeps a packet from being replayed.
"""

from __future__ import annotations

import os
from typing import Protocol

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.wire import legacy
from gproxy.protocol.shadowsocks.wire.keys import session_key_aead
from gproxy.protocol.shadowsocks.wire.methods import Method
from gproxy.wire.crypto.aead import TAG, WrongTag, XChaCha20Poly1305
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.socksaddr import IPV4, address_from_packed, decode_address

_IPV4 = bytes((IPV4,))
_IPV4_SIZE = 7


class Codec(Protocol):
    """How the content of a packet, an address and the payload behind it, is kept from others."""

    def seal(self, key: bytes, head: bytes, data: Buffer, /) -> bytes:
        """The packet whose content is `head`, an encoded address, and `data`."""

    def open(self, key: bytes, packet: bytes, /) -> bytes:
        """The content. Raises AuthError if another key has made it, ProtocolError for what can't be a packet."""


class Sealed:
    """SIP004."""

    __slots__ = ("_aead", "_nonce", "_salt_size", "_shortest")

    def __init__(self, method: Method) -> None:
        assert method.aead is not None, f"{method.name} is no AEAD method"
        self._aead = method.aead
        self._nonce = bytes(24 if method.aead is XChaCha20Poly1305 else 12)
        self._salt_size = method.salt_size
        self._shortest = method.salt_size + TAG + 1

    def seal(self, key: bytes, head: bytes, data: Buffer, /) -> bytes:
        """See Codec."""
        salt = os.urandom(self._salt_size)
        cipher = self._aead(session_key_aead(key, salt))
        return salt + cipher.encrypt(self._nonce, b"".join((head, data)), None)

    def open(self, key: bytes, packet: bytes, /) -> bytes:
        """See Codec."""
        if len(packet) < self._shortest:
            raise ProtocolError("a packet shorter than its salt and tag")
        size = self._salt_size
        cipher = self._aead(session_key_aead(key, packet[:size]))
        try:
            return cipher.decrypt(self._nonce, packet[size:], None)
        except WrongTag:
            raise AuthError("the packet was made with another key") from None


class Retired:
    """The retired ciphers. They prove nothing: another key gives another content."""

    __slots__ = ("_method",)

    def __init__(self, method: Method) -> None:
        self._method = method

    def seal(self, key: bytes, head: bytes, data: Buffer, /) -> bytes:
        """See Codec."""
        return legacy.seal_packet(self._method, key, b"".join((head, data)))

    def open(self, key: bytes, packet: bytes, /) -> bytes:
        """See Codec. Never raises AuthError."""
        return legacy.open_packet(self._method, key, packet)


class Plain:
    """No encryption."""

    __slots__ = ()

    def seal(self, key: bytes, head: bytes, data: Buffer, /) -> bytes:
        """See Codec."""
        return b"".join((head, data))

    def open(self, key: bytes, packet: bytes, /) -> bytes:
        """See Codec. Never raises."""
        return packet


def codec(method: Method) -> Codec:
    """How a method that is not of the 2022 edition treats packets."""
    if method.kind == "aead":
        return Sealed(method)
    return Retired(method) if method.kind == "stream" else Plain()


def split(content: bytes, at: int = 0) -> tuple[bytes, Address]:
    """The payload, and the address that stands before it from `at` on. Raises ProtocolError."""
    end = at + _IPV4_SIZE
    if content[at : at + 1] == _IPV4 and len(content) >= end:  # most are, and this takes half the time
        address = address_from_packed(content[at + 1 : end])
    else:
        cursor = Cursor(content, at)
        try:
            address = decode_address(cursor)
        except Incomplete:
            raise ProtocolError("a packet that ends within its address") from None
        end = cursor.at
    if not address.port:
        raise ProtocolError("a packet for port 0")
    return content[end:], address
