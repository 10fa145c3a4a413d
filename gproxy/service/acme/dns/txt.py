"""Asking a name server for TXT records (RFC 1035 section 4.1), as far as it takes to see whether one is there.

    0       2       4       6       8       10      12
    +-------+-------+-------+-------+-------+-------+----------------------+--------------
    | id    | flags | asked | found | ...   | ...   | name 00 | 0010 | 0001 | found records
    +-------+-------+-------+-------+-------+-------+----------------------+--------------
    record  name | type 2 | class 2 | ttl 4 | length 2 | ( length 1 | text ) ...

Names in records are skipped, not followed: an alias (CNAME) stands before the records of its target, and any TXT
record of the answer counts.
"""

from __future__ import annotations

import struct
from typing import Final

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor, Incomplete

MOST: Final = 4096
"""Bytes of an answer: without an agreement on more, datagrams of DNS have 512."""

_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_OTHERS: Final = 4  # how many records there are in the sections behind the answer
_KIND_AND_CLASS: Final = 4
_RECURSE: Final = 0x0100
_ANSWER: Final = 0x8000
_TXT, _INTERNET = 16, 1
_POINTER: Final = 0xC0
_LABEL: Final = 63


def encode_question(name: str, number: int) -> bytes:
    """A question for the TXT records of a domain; `number` is what its answer has. Raises ValueError for no domain."""
    labels = name.encode("ascii").split(b".")
    if not all(0 < len(label) <= _LABEL for label in labels):
        raise ValueError(f"not a domain: {name}")
    asked = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEAD.pack(number, _RECURSE, 1, 0, 0, 0) + asked + struct.pack("!HH", _TXT, _INTERNET)


def texts_in(datagram: bytes, number: int) -> list[bytes]:
    """The texts in the answer to that question. Raises ProtocolError for what is none."""
    try:
        found, texts = decode_answer(Cursor(datagram))
    except Incomplete as error:
        raise ProtocolError("a DNS answer that is cut off") from error
    if found != number:
        raise ProtocolError("the answer to another question")
    return texts


def decode_answer(cursor: Cursor) -> tuple[int, list[bytes]]:
    """A Decode for the first two sections of an answer: its question's number, and the texts. Raises ProtocolError."""
    start = cursor.at
    try:
        return _answer(cursor)
    except Incomplete:
        if len(cursor.data) - start >= MOST:
            raise TooLarge(f"a DNS answer of more than {MOST} bytes") from None
        raise


def _answer(cursor: Cursor) -> tuple[int, list[bytes]]:
    number, flags = cursor.u16(), cursor.u16()
    if not flags & _ANSWER:
        raise ProtocolError("not an answer")
    asked, found = cursor.u16(), cursor.u16()
    cursor.take(_OTHERS)
    for _ in range(asked):
        _skip_name(cursor)
        cursor.take(_KIND_AND_CLASS)
    texts: list[bytes] = []
    for _ in range(found):
        _skip_name(cursor)
        kind, _, _, length = _RECORD.unpack(cursor.take(_RECORD.size))
        data = cursor.take(length)
        if kind == _TXT:
            texts.append(_text(data))
    return number, texts


def _skip_name(cursor: Cursor) -> None:
    while True:
        length = cursor.u8()
        if length & _POINTER == _POINTER:
            cursor.u8()
            return
        if not length:
            return
        cursor.take(length)


def _text(data: bytes) -> bytes:
    """One record's strings make one text."""
    cursor, parts = Cursor(data), []
    try:
        while cursor.left():
            parts.append(cursor.take(cursor.u8()))
    except Incomplete as error:
        raise ProtocolError("a text that is longer than its record") from error
    return b"".join(parts)
