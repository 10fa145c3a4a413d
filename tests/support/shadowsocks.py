"""Shadowsocks by hand, apart from the product: what a client says first, byte by byte, true or twisted.

For SIP004, SIP022 and SIP023, with nothing of gproxy in it: a misreading of the specification there would have to be
made here again to go unnoticed.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Protocol

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

TAG = 16
BLOCK = 16
CHUNK = 0x3FFF
"""Payload bytes of SIP004's largest chunk; the 2022 edition takes it too."""

_KEY_SIZES = {
    "aes-128-gcm": 16,
    "aes-192-gcm": 24,
    "aes-256-gcm": 32,
    "chacha20-ietf-poly1305": 32,
    "2022-blake3-aes-128-gcm": 16,
    "2022-blake3-aes-256-gcm": 32,
}
METHODS = tuple(_KEY_SIZES)
"""What is spoken here."""


class Aead(Protocol):
    """What the ciphers of cryptography have in common."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes: ...


def new_key(method: str) -> str:
    """A key for a 2022 method, in base64."""
    return base64.b64encode(os.urandom(_KEY_SIZES.get(method, 32))).decode()


def address(host: str, port: int) -> bytes:
    """A target as a SOCKS address."""
    try:
        packed = b"\x01" + socket.inet_pton(socket.AF_INET, host)
    except OSError:
        try:
            packed = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            packed = b"\x03" + bytes([len(host)]) + host.encode()
    return packed + struct.pack("!H", port)


@dataclass(frozen=True)
class Key:
    """A method and the keys for it: for 2022 one for each hop, the last being the user's own."""

    method: str
    keys: tuple[bytes, ...]

    @property
    def modern(self) -> bool:
        """Whether it is of the 2022 edition."""
        return self.method.startswith("2022-")

    @property
    def salt_size(self) -> int:
        """Bytes of a salt."""
        return _KEY_SIZES[self.method]

    def aead(self, salt: bytes) -> Aead:
        """The cipher of a session with this salt; of a 2022 UDP session, whose id is the salt."""
        own = self.keys[-1]
        if self.modern:
            key = blake3(own + salt, derive_key_context="shadowsocks 2022 session subkey").digest(len(own))
        else:
            key = HKDF(SHA1(), len(own), salt, b"ss-subkey").derive(own)
        return ChaCha20Poly1305(key) if "chacha20" in self.method else AESGCM(key)

    def identity(self, salt: bytes) -> bytes:
        """The identity headers of a TCP request."""
        parts = []
        for hop, following in itertools.pairwise(self.keys):
            subkey = blake3(hop + salt, derive_key_context="shadowsocks 2022 identity subkey").digest(len(hop))
            parts.append(_block(subkey, blake3(following).digest(BLOCK)))
        return b"".join(parts)


def key_of(method: str, password: str) -> Key:
    """The keys that a password means."""
    if method.startswith("2022-"):
        return Key(method, tuple(base64.b64decode(part) for part in password.split(":")))
    key = digest = b""
    while len(key) < _KEY_SIZES[method]:
        digest = hashlib.md5(digest + password.encode(), usedforsecurity=False).digest()
        key += digest
    return Key(method, (key[: _KEY_SIZES[method]],))


class Chunks:
    """One direction of a stream: seals, or opens, and counts."""

    def __init__(self, cipher: Aead) -> None:
        self._cipher = cipher
        self._number = 0

    def seal(self, data: bytes) -> bytes:
        """One sealed piece."""
        return self._cipher.encrypt(self._nonce(), data, None)

    def open(self, data: bytes) -> bytes:
        """One opened piece. Raises cryptography's InvalidTag."""
        return self._cipher.decrypt(self._nonce(), data, None)

    def chunks(self, payload: bytes) -> bytes:
        """Payload as chunks."""
        sealed = bytearray()
        for start in range(0, len(payload), CHUNK):
            piece = payload[start : start + CHUNK]
            sealed += self.seal(struct.pack("!H", len(piece))) + self.seal(piece)
        return bytes(sealed)

    def _nonce(self) -> bytes:
        nonce = self._number.to_bytes(12, "little")
        self._number += 1
        return nonce


class Request:
    """What a client says on one connection: `first`, then what `more` makes of payload."""

    def __init__(
        self, key: Key, target: bytes, payload: bytes, *, late: float = 0, kind: int = 0, padding: bytes = b""
    ) -> None:
        """`target` as `address` makes it. For 2022: `late` seconds from now, `kind` of header, `padding`."""
        self.key = key
        self.salt = os.urandom(key.salt_size)
        self._sealer = Chunks(key.aead(self.salt))
        if key.modern:
            variable = target + struct.pack("!H", len(padding)) + padding + payload
            fixed = struct.pack(">BQH", kind, int(time.time() + late), len(variable))
            head = key.identity(self.salt) + self._sealer.seal(fixed) + self._sealer.seal(variable)
        else:
            head = self._sealer.chunks(target + payload)
        self.first = self.salt + head

    def more(self, payload: bytes) -> bytes:
        """Further payload, sealed."""
        return self._sealer.chunks(payload)

    def twisted(self, *pieces: bytes) -> bytes:
        """Pieces, each sealed as it is, in the place of a chunk's length and payload."""
        return b"".join(map(self._sealer.seal, pieces))

    def answer(self) -> Response:
        """What opens the answer."""
        return Response(self.key, self.salt)

    def answer_size(self, payload: int) -> int:
        """Bytes of an answer of one chunk."""
        size = self.key.salt_size + payload + TAG
        return size + (1 + 8 + self.key.salt_size + 2 if self.key.modern else 2) + TAG


class Response:
    """Opens what a server answers."""

    def __init__(self, key: Key, request_salt: bytes) -> None:
        self._key = key
        self._request_salt = request_salt
        self._data = b""
        self._opener: Chunks | None = None
        self._length = -1

    def feed(self, data: bytes) -> bytes:
        """Take what has come; the payload that is whole. Raises InvalidTag, AssertionError."""
        self._data += data
        payload = b""
        while (step := self._step()) is not None:
            payload += step
        return payload

    def _step(self) -> bytes | None:
        if self._opener is None:
            return self._begin()
        size = (2 if self._length < 0 else self._length) + TAG
        if len(self._data) < size:
            return None
        piece = self._opener.open(self._take(size))
        if self._length >= 0:
            self._length = -1
            return piece
        (self._length,) = struct.unpack("!H", piece)
        return b""

    def _begin(self) -> bytes | None:
        salt_size = self._key.salt_size
        header_size = (1 + 8 + salt_size + 2 + TAG) if self._key.modern else 0
        if len(self._data) < salt_size + header_size:
            return None
        self._opener = Chunks(self._key.aead(self._take(salt_size)))
        if header_size:
            header = self._opener.open(self._take(header_size))
            kind, moment = struct.unpack_from(">BQ", header)
            assert kind == 1
            assert abs(moment - time.time()) < 30
            assert header[9:-2] == self._request_salt
            (self._length,) = struct.unpack("!H", header[-2:])
        return b""

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken


class Packets:
    """What a client says by UDP: packets of one session."""

    def __init__(self, key: Key, *, session: bytes | None = None) -> None:
        self._key = key
        self.session = session or os.urandom(8)
        self._number = 0
        if key.modern:
            self._cipher = key.aead(self.session)

    def seal(
        self, target: bytes, payload: bytes, *, late: float = 0, number: int | None = None, kind: int = 0
    ) -> bytes:
        """One packet. For 2022: `late` seconds from now, with a packet `number` of one's own, `kind` of packet."""
        key = self._key
        if not key.modern:
            salt = os.urandom(key.salt_size)
            return salt + key.aead(salt).encrypt(bytes(12), target + payload, None)
        if number is None:
            number = self._number
            self._number += 1
        header = self.session + struct.pack(">Q", number)
        body = struct.pack(">BQH", kind, int(time.time() + late), 0) + target + payload
        return _block(key.keys[0], header) + self._identity(header) + self._cipher.encrypt(header[4:], body, None)

    def _identity(self, header: bytes) -> bytes:
        return b"".join(
            _block(hop, bytes(a ^ b for a, b in zip(blake3(following).digest(BLOCK), header, strict=True)))
            for hop, following in itertools.pairwise(self._key.keys)
        )

    def open(self, packet: bytes) -> tuple[bytes, bytes]:
        """Source address (as it is on the wire) and payload of a server's packet. Raises InvalidTag, AssertionError."""
        key = self._key
        if not key.modern:
            salt = packet[: key.salt_size]
            body = key.aead(salt).decrypt(bytes(12), packet[key.salt_size :], None)
        else:
            header = _unblock(key.keys[-1], packet[:BLOCK])
            body = key.aead(header[:8]).decrypt(header[4:], packet[BLOCK:], None)
            kind, _, session, padding = struct.unpack_from(">BQ8sH", body)
            assert kind == 1
            assert session == self.session
            body = body[1 + 8 + 8 + 2 + padding :]
        end = {1: 7, 4: 19}.get(body[0]) or 4 + body[1]
        return body[:end], body[end:]


def _block(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(data)


def _unblock(key: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(data)
