"""QUIC's Initial packets, as anybody on the way can open them: RFC 9000, RFC 9001 section 5, RFC 9369.

Their keys are made of what stands in the clear in the first one, so that they hide nothing and prove little.

    packet    | first | version 4 | dcid n | scid n | token v | length v | number 1-4 | …
      first   1 1, type 2 bits, 0 0, the number's length less 1; its low four bits, and the number, are masked
    payload   ( frame ) …
      00      padding                          01  ping
      02, 03  ack                              06  crypto: offset v | length v | data
      1c      close: code v | frame v | length v | reason

`n` is a length of one octet and as many more; `v` is a number of 1, 2, 4 or 8 octets, which its first two bits tell.
What follows the packet in its datagram is another packet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hmac import digest
from typing import Final, NamedTuple

from gproxy.base.defaults import MAX_DATAGRAM
from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor, Incomplete

VERSION_1: Final = 0x00000001
VERSION_2: Final = 0x6B3343CF
DRAFT_29: Final = 0xFF00001D

PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0x00, 0x01, 0x02, 0x03, 0x06, 0x1C
"""The frames that an Initial packet may have."""

MOST_PIECES: Final = 512
"""More pieces of a handshake, or frames in a packet, than anybody makes."""

_MOST_RANGES: Final = 256  # of numbers in an acknowledgement

_LONGEST_ID: Final = 20
_LEAST_SAMPLED: Final = 20  # of the number and what follows it: what the mask is made of begins after four octets
_TAG: Final = 16


class _Version(NamedTuple):
    salt: bytes
    label: bytes  # what the labels of the keys begin with
    initial: int  # the type of Initial packets


_VERSIONS: Final = {
    VERSION_1: _Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic", 0),
    VERSION_2: _Version(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2", 1),
    DRAFT_29: _Version(bytes.fromhex("afbfec289993d24c9e9786f19c6111e04390a899"), b"quic", 0),
}


class Head(NamedTuple):
    """What of an Initial packet stands in the clear. `number_at` and `end`: places in the datagram."""

    version: int
    destination: bytes  # connection ids
    source: bytes
    token: bytes
    start: int
    number_at: int
    end: int


@dataclass(frozen=True, slots=True)
class Keys:
    """What seals and opens the Initial packets of one side."""

    key: bytes
    iv: bytes
    mask: bytes  # the key of the header's protection


class Frame(NamedTuple):
    """One frame; a run of padding is one. `offset` and `data` are those of `CRYPTO` frames."""

    kind: int
    size: int  # octets
    offset: int = 0
    data: bytes = b""


def decode_number(cursor: Cursor) -> int:
    """A number of variable length: RFC 9000 section 16."""
    first = cursor.u8()
    size = 1 << (first >> 6)
    if size == 1:
        return first & 0x3F
    return (first & 0x3F) << 8 * (size - 1) | int.from_bytes(cursor.take(size - 1), "big")


def decode_head(cursor: Cursor) -> Head:
    """A Decode for the whole packet: the cursor is behind it then. Raises ProtocolError."""
    start = cursor.at
    first = cursor.u8()
    if first & 0xC0 != 0xC0:
        raise _wrong("its first octet")
    number = cursor.u32()
    version = _VERSIONS.get(number)
    if version is None:
        raise _wrong("its version")
    if first >> 4 & 3 != version.initial:
        raise _wrong("its type")
    destination = _connection_id(cursor)
    source = _connection_id(cursor)
    size = decode_number(cursor)
    if size > MAX_DATAGRAM:
        raise _wrong("the length of its token")
    token = cursor.take(size)
    length = decode_number(cursor)
    if not _LEAST_SAMPLED <= length <= MAX_DATAGRAM:
        raise _wrong("its length")
    number_at = cursor.at
    if length > cursor.left():
        raise Incomplete
    cursor.at += length
    return Head(number, destination, source, token, start, number_at, cursor.at)


def _connection_id(cursor: Cursor) -> bytes:
    length = cursor.u8()
    if length > _LONGEST_ID:
        raise _wrong("the length of a connection id")
    return cursor.take(length)


def client_keys(version: int, destination: bytes) -> Keys:
    """The keys of the client's packets, by the destination of its first one. The version is one of those above."""
    return _keys(version, destination, b"client in")


def server_keys(version: int, destination: bytes) -> Keys:
    """The keys of the server's packets, by the destination of the client's first one."""
    return _keys(version, destination, b"server in")


def _keys(version: int, destination: bytes, side: bytes) -> Keys:
    salt, label, _ = _VERSIONS[version]
    secret = _expand(digest(salt, destination, "sha256"), side, 32)
    return Keys(
        _expand(secret, label + b" key", 16), _expand(secret, label + b" iv", 12), _expand(secret, label + b" hp", 16)
    )


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label with SHA-256 for up to 32 octets: RFC 8446 section 7.1."""
    label = b"tls13 " + label
    return digest(secret, size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0\1", "sha256")[:size]


def open_packet(datagram: bytes, head: Head, keys: Keys) -> bytes:
    """What is in the packet. Raises ProtocolError if it was not sealed with these keys."""
    # Imported with the first packet: rules name this sniffer also where nobody ever asks it.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    at = head.number_at
    mask = _mask(keys, datagram[at + 4 : at + 20])
    first = datagram[head.start] ^ mask[0] & 0x0F
    size = (first & 3) + 1
    number = bytes([octet ^ mask[1 + index] for index, octet in enumerate(datagram[at : at + size])])
    clear = bytes([first]) + datagram[head.start + 1 : at] + number
    try:
        return AESGCM(keys.key).decrypt(_nonce(keys, number), datagram[at + size : head.end], clear)
    except InvalidTag:
        raise _wrong("its seal") from None


def seal_packet(head: Head, number: int, payload: bytes, keys: Keys) -> bytes:
    """A packet with a number of four octets. `start`, `number_at` and `end` of the head are not looked at."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version = _VERSIONS[head.version]
    first = 0xC0 | version.initial << 4 | 3
    encoded = number.to_bytes(4, "big")
    clear = b"".join((
        bytes([first]), head.version.to_bytes(4, "big"),
        bytes([len(head.destination)]), head.destination, bytes([len(head.source)]), head.source,
        encode_number(len(head.token)), head.token, encode_number(4 + len(payload) + _TAG), encoded,
    ))  # fmt: skip
    sealed = AESGCM(keys.key).encrypt(_nonce(keys, encoded), payload, clear)
    mask = _mask(keys, sealed[:16])
    masked = bytes([octet ^ mask[1 + index] for index, octet in enumerate(encoded)])
    return bytes([first ^ mask[0] & 0x0F]) + clear[1:-4] + masked + sealed


def encode_number(value: int) -> bytes:
    """The shortest form. Raises OverflowError from 2**62 on."""
    for bits, size in enumerate((1, 2, 4, 8)):
        if value < 1 << 8 * size - 2:
            return (bits << 8 * size - 2 | value).to_bytes(size, "big")
    raise OverflowError("a number of more than 62 bits")


def _mask(keys: Keys, sample: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES(keys.mask), modes.ECB()).encryptor().update(sample)  # noqa: S305 - of one block


def _nonce(keys: Keys, number: bytes) -> bytes:
    return (int.from_bytes(keys.iv, "big") ^ int.from_bytes(number, "big")).to_bytes(12, "big")


_PADDING = re.compile(rb"\0+")


def frames(payload: bytes) -> Iterator[Frame]:
    """The frames of an opened packet.

    Raises ProtocolError for one that has no place there, or is cut off, and TooLarge for more than MOST_PIECES.
    """
    cursor = Cursor(payload)
    count = 0
    while cursor.left():
        count += 1
        if count > MOST_PIECES:
            raise TooLarge(f"more than {MOST_PIECES} frames")
        start = cursor.at
        padding = _PADDING.match(payload, start)
        try:
            if padding is not None:
                cursor.at = padding.end()
                yield Frame(PADDING, cursor.at - start)
            else:
                yield _frame(cursor, start)
        except Incomplete:
            raise _wrong("a frame that is cut off") from None


def _frame(cursor: Cursor, start: int) -> Frame:
    kind = cursor.u8()
    if kind == CRYPTO:
        offset = decode_number(cursor)
        data = cursor.take(decode_number(cursor))
        return Frame(CRYPTO, cursor.at - start, offset, data)
    if kind in (ACK, ACK_ECN):
        _skip_numbers(cursor, 2)
        ranges = decode_number(cursor)
        if ranges > _MOST_RANGES:
            raise TooLarge(f"an acknowledgement of more than {_MOST_RANGES} ranges")
        _skip_numbers(cursor, 1 + 2 * ranges + (3 if kind == ACK_ECN else 0))
    elif kind == CLOSE:
        _skip_numbers(cursor, 2)
        cursor.take(decode_number(cursor))
    elif kind != PING:
        raise _wrong(f"a frame of kind {kind}")
    return Frame(kind, cursor.at - start)


def _skip_numbers(cursor: Cursor, count: int) -> None:
    for _ in range(count):
        decode_number(cursor)


class Handshake:
    """What CRYPTO frames bring, in any order, put together; of `most` octets, and in MOST_PIECES pieces."""

    __slots__ = ("_count", "_most", "_pieces", "_whole")

    def __init__(self, most: int) -> None:
        self._most = most
        self._whole = bytearray()
        self._pieces: dict[int, bytes] = {}  # by offset: those that begin behind what is whole
        self._count = 0

    def add(self, offset: int, data: bytes) -> None:
        """Take one piece. Raises TooLarge."""
        if offset + len(data) > self._most:
            raise TooLarge(f"a handshake of more than {self._most} bytes")
        self._count += 1
        if self._count > MOST_PIECES:
            raise TooLarge(f"a handshake in more than {MOST_PIECES} pieces")
        if len(data) > len(self._pieces.get(offset, b"")):
            self._pieces[offset] = data

    def whole(self) -> bytes:
        """All that has come from the beginning to the first gap."""
        whole = self._whole
        for offset in sorted(self._pieces):
            if offset > len(whole):
                break
            data = self._pieces.pop(offset)
            whole += data[len(whole) - offset :]
        return bytes(whole)


def _wrong(what: str) -> ProtocolError:
    return ProtocolError(f"not an Initial packet of QUIC: {what}", reason="quic")
