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

from gproxy.base.errors import ProtocolError
from gproxy.wire.cursor import Cursor, Incomplete

_HEAD = struct.Struct("!HHHHHH")
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


def decode_answer(datagram: bytes, number: int) -> list[bytes]:
    """The texts in the answer to that question. Raises ProtocolError for what is none."""
    cursor = Cursor(datagram)
    try:
        found, flags, asked, count, _, _ = _HEAD.unpack(cursor.take(_HEAD.size))
        if found != number or not flags & _ANSWER:
            raise ProtocolError("not the answer to this question")
        for _ in range(asked):
            _skip_name(cursor)
            cursor.take(4)
        texts: list[bytes] = []
        for _ in range(count):
            _skip_name(cursor)
            kind, _, _, length = struct.unpack("!HHIH", cursor.take(10))
            data = cursor.take(length)
            if kind == _TXT:
                texts.append(_text(data))
    except Incomplete as error:
        raise ProtocolError("a DNS answer that is cut off") from error
    return texts


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
    while cursor.left():
        parts.append(cursor.take(cursor.u8()))
    return b"".join(parts)
