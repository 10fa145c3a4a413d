"""What a TLS client says first, as far as anybody but its server needs it: RFC 8446 sections 4.1.2 and 5.1.

It lies in one record or in several, cut anywhere:

    record       | 16 | 03 xx | length 2 | fragment: 1 to 2^14 octets of the message
    message      | 01 | length 3 | version 2 | random 32 | n session n | n2 suites n | n compression n | n2 extensions n
    extension    | kind 2 | length 2 | …
      0  name    | list 2 | 00 | length 2 | host name, ASCII                                      RFC 6066 section 3
      10 groups, 13 signatures | list 2 | ( number 2 ) …                               RFC 8446 sections 4.2.7, 4.2.3
      16 alpn    | list 2 | ( length 1 | protocol ) …                                             RFC 7301 section 3.1
      43 vers.   | list 1 | ( version 2 ) …                                                       RFC 8446 section 4.2.1

All other fields may hold anything: whoever reads this far decides by what the client wants, not by who made it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor, Incomplete

RECORD_HEAD: Final = 5
"""Octets before a record's fragment."""

MOST: Final = 1 << 14
"""The longest message, and the longest fragment."""

MOST_RECORDS: Final = 64
"""More pieces than anybody cuts a hello into."""

MAX_CLIENT_HELLO: Final = MOST + MOST_RECORDS * RECORD_HEAD
"""Octets on the wire."""

_RECORD: Final = 22
_HELLO: Final = 1
_MESSAGE_HEAD: Final = 4
_RANDOM: Final = 32
_NAME, _GROUPS, _SIGNATURES, _ALPN, _VERSIONS = 0, 10, 13, 16, 43
_LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What the client wants.

    `server_name`: in lower case, empty if it names none. `name_at`: where that name begins and ends in the message,
    which is what the fragments make together; in a hello of one record, RECORD_HEAD is to be added. (0, 0) if there is
    none. `versions`: as on the wire, 0x0304 for TLS 1.3, with whatever else the client lists.
    """

    server_name: str = ""
    name_at: tuple[int, int] = (0, 0)
    alpn: tuple[bytes, ...] = ()
    versions: tuple[int, ...] = ()


def decode_client_hello(cursor: Cursor) -> ClientHello:
    """A Decode for all records of a hello; there must be nothing else in them. Raises TooLarge for very many."""
    return read_client_hello(_message(cursor))


def read_client_hello(message: bytes) -> ClientHello:
    """What a whole message says: the records are taken away, or there were none, as in QUIC. Raises ProtocolError."""
    try:
        return _hello(message)
    except Incomplete:
        raise _wrong("its lengths") from None


@dataclass(frozen=True, slots=True)
class Habits:
    """What tells programs apart: numbers as on the wire, in the client's order. Empty: it does not say."""

    suites: tuple[int, ...] = ()
    extensions: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    signatures: tuple[int, ...] = ()


def read_habits(message: bytes) -> Habits:
    """The habits of whoever wrote this message. Raises ProtocolError."""
    try:
        cursor = Cursor(message, _MESSAGE_HEAD + 2 + _RANDOM)
        cursor.take(cursor.u8())
        suites = _numbers(cursor.take(cursor.u16()))
        cursor.take(cursor.u8())
        found = _extensions(cursor) if cursor.left() else {}
        groups, signatures = (_listed(found[kind][0]) if kind in found else () for kind in (_GROUPS, _SIGNATURES))
    except Incomplete:
        raise _wrong("its lengths") from None
    return Habits(suites, tuple(found), groups, signatures)


def _listed(data: bytes) -> tuple[int, ...]:
    cursor = Cursor(data)
    if cursor.u16() != cursor.left():
        raise _wrong("the length of a list")
    return _numbers(cursor.rest())


def _numbers(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise _wrong("the length of a list")
    return struct.unpack(f"!{len(data) // 2}H", data)


def _message(cursor: Cursor) -> bytes:
    pieces: list[bytes] = []
    have, end = 0, 0  # `end` is known from the message's head on
    while not end or have < end:
        if len(pieces) == MOST_RECORDS:
            raise TooLarge(f"a ClientHello in more than {MOST_RECORDS} records")
        pieces.append(_fragment(cursor, end - have if end else MOST))
        have += len(pieces[-1])
        if not end and have >= _MESSAGE_HEAD:
            end = _end(b"".join(pieces))
            if have > end:
                raise _wrong("more behind it in its record")
    return b"".join(pieces)


def _fragment(cursor: Cursor, most: int) -> bytes:
    """What the next record holds; one that is not the hello's is refused as soon as that can be seen."""
    if cursor.u8() != _RECORD or cursor.u8() != 3:
        raise _wrong("no record of a handshake")
    cursor.u8()
    length = cursor.u16()
    if not 0 < length <= most:
        raise _wrong("the length of a record")
    return cursor.take(length)


def _end(message: bytes) -> int:
    """How long it is, by its head."""
    if message[0] != _HELLO:
        raise _wrong("another message")
    end = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD], "big")
    if end > MOST:
        raise TooLarge(f"a ClientHello of more than {MOST} bytes")
    return end


def _hello(message: bytes) -> ClientHello:
    cursor = Cursor(message, _MESSAGE_HEAD)
    version = cursor.u16()
    cursor.take(_RANDOM)
    cursor.take(cursor.u8())
    cursor.take(cursor.u16())
    cursor.take(cursor.u8())
    found = _extensions(cursor) if cursor.left() else {}
    name, name_at = _server_name(*found[_NAME]) if _NAME in found else ("", (0, 0))
    alpn = _protocols(found[_ALPN][0]) if _ALPN in found else ()
    versions = _versions(found[_VERSIONS][0]) if _VERSIONS in found else (version,)
    return ClientHello(name, name_at, alpn, versions)


def _extensions(cursor: Cursor) -> dict[int, tuple[bytes, int]]:
    """What is in each, and where that begins in the message."""
    if cursor.u16() != cursor.left():
        raise _wrong("the length of its extensions")
    found: dict[int, tuple[bytes, int]] = {}
    while cursor.left():
        kind, length = cursor.u16(), cursor.u16()
        if kind in found:
            raise _wrong("an extension twice")
        at = cursor.at
        found[kind] = cursor.take(length), at
    return found


def _server_name(data: bytes, at: int) -> tuple[str, tuple[int, int]]:
    cursor = Cursor(data)
    length, kind, size = cursor.u16(), cursor.u8(), cursor.u16()
    start = cursor.at
    name = cursor.take(size)
    right = kind == 0 and length == size + 3 and not cursor.left() and 0 < size <= _LONGEST_NAME
    if not right or not all(0x20 < octet < 0x7F for octet in name):
        raise _wrong("the server's name")
    return name.decode("ascii").lower(), (at + start, at + start + size)


def _protocols(data: bytes) -> tuple[bytes, ...]:
    cursor = Cursor(data)
    names: list[bytes] = []
    if cursor.u16() != cursor.left():
        raise _wrong("the length of its protocols")
    while cursor.left():
        names.append(cursor.take(cursor.u8()))
    if not all(names):
        raise _wrong("a protocol without a name")
    return tuple(names)


def _versions(data: bytes) -> tuple[int, ...]:
    cursor = Cursor(data)
    if cursor.u8() != cursor.left() or not cursor.left() or cursor.left() % 2:
        raise _wrong("the length of its versions")
    return tuple(cursor.u16() for _ in range(cursor.left() // 2))


def _wrong(what: str) -> ProtocolError:
    return ProtocolError(f"not a ClientHello: {what}", reason="tls")
