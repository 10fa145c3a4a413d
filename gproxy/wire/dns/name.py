"""Domain names on the wire and as text (RFC 1035 sections 3.1, 4.1.4 and 5.1).

    +--------+-------+--------+-------+-----+---+        +-----------------+
    | length | label | length | label | ... | 0 |   or   | 11 | offset 14b |   in place of a length: go on there
    +--------+-------+--------+-------+-----+---+        +-----------------+

As text a name is in lower case and has no final dot; the root is the empty text. A dot or a backslash within a label
has a backslash before it; an octet that is no printable ASCII is written as a backslash and three decimal digits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gproxy.base.errors import ProtocolError

MAX_NAME: Final = 255
"""Octets of the longest name, the final zero among them."""

MAX_LABEL: Final = 63
"""Octets of the longest label."""

_POINTER: Final = 0xC0
_STEPS: Final = 256  # labels and pointers of one name: it has 127 labels at most, and who compresses points once
_HEAD: Final = 12  # no name stands in a message's head
_REMEMBERED: Final = 4096
_PLAIN: Final = bytes(set(range(0x21, 0x7F)) - set(b".\\"))
_ESCAPE: Final = re.compile(rb"[^\x21-\x2d\x2f-\x5b\x5d-\x7e]")
_ESCAPED: Final = re.compile(rb"\\([0-9]{3}|[^0-9])", re.DOTALL)


@lru_cache(_REMEMBERED)
def encode_name(name: str) -> bytes:
    """The name as it stands on the wire, uncompressed, with its letters' case; a final dot changes nothing.

    Raises ValueError for an empty label, one of more than 63 octets, a name of more than 255, and a bad escape.
    """
    if not name or name == ".":
        return b"\0"
    raw = name.encode("ascii")
    labels = _split(raw) if b"\\" in raw else raw.removesuffix(b".").split(b".")
    encoded = bytearray()
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL:
            raise ValueError(f"not a domain name: {name!r}")
        encoded.append(len(label))
        encoded += label
    encoded.append(0)
    if len(encoded) > MAX_NAME:
        raise ValueError(f"a domain name of more than {MAX_NAME} octets: {name!r}")
    return bytes(encoded)


def read_name(message: bytes, at: int) -> tuple[str, int]:
    """The name that begins at this offset of a whole message, as text, and the offset behind it.

    Pointers lead backwards only, to what ends before them. Raises ProtocolError.
    """
    labels, end = _labels(message, at)
    return _text(labels), end


def read_wire_name(message: bytes, at: int) -> tuple[bytes, int]:
    """The same as it stands on the wire, uncompressed, with its letters' case. Raises ProtocolError."""
    labels, end = _labels(message, at)
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0", end


def skip_name(message: bytes, at: int) -> int:
    """The offset behind the name that begins at this one. What a pointer leads to isn't read.

    Raises ProtocolError.
    """
    start = at
    try:
        length = message[at]
        while length:
            if length > MAX_LABEL:
                if length < _POINTER or not _HEAD <= (length & 0x3F) << 8 | message[at + 1] < start:
                    raise ProtocolError("a name with a bad length or pointer")
                return at + 2
            at += length + 1
            length = message[at]
    except IndexError:
        raise ProtocolError("a name that is cut off") from None
    if at - start >= MAX_NAME:
        raise ProtocolError("a name that is too long")
    return at + 1


def split_name(name: str) -> list[str]:
    """The labels of a name that is text, still escaped; the root has none."""
    if "\\" not in name:
        return name.split(".") if name else []
    return re.findall(r"(?:[^.\\]|\\[0-9]{3}|\\.)+", name, re.DOTALL)


def _labels(message: bytes, at: int) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    end = -1
    room = MAX_NAME - 1
    start, stop = at, len(message)  # of a piece: what a pointer leads to ends before the piece that it stands in
    for _ in range(_STEPS):
        if at >= stop:
            break
        length = message[at]
        if not length:
            return labels, at + 1 if end < 0 else end
        at += 1
        if length <= MAX_LABEL:
            room -= length + 1
            if room < 0:
                raise ProtocolError("a name that is too long")
            labels.append(message[at : at + length])
            at += length
        else:
            if length < _POINTER or at >= stop:
                break
            target = (length & 0x3F) << 8 | message[at]
            if not _HEAD <= target < start:
                break
            if end < 0:
                end = at + 1
            at, start, stop = target, target, start
    raise ProtocolError("a name that is cut off, or with a bad length or pointer")


def _text(labels: list[bytes]) -> str:
    joined = b".".join(labels)
    # What is left when all plain characters are gone must be the dots between the labels.
    if len(joined.translate(None, _PLAIN)) >= len(labels) > 0:
        joined = b".".join([_ESCAPE.sub(_escape, label) for label in labels])
    return joined.lower().decode("ascii")


def _escape(found: re.Match[bytes]) -> bytes:
    octet = found[0]
    return b"\\" + octet if octet in b".\\" else b"\\%03d" % octet[0]


def _split(raw: bytes) -> list[bytes]:
    """The labels of an escaped name. Raises ValueError."""
    labels = [bytearray()]
    at = 0
    while at < len(raw):
        if raw[at] == ord("\\"):
            found = _ESCAPED.match(raw, at)
            if found is None or (len(found[1]) == 3 and int(found[1]) > 255):
                raise ValueError(f"a bad escape in a domain name: {raw!r}")
            labels[-1].append(int(found[1]) if len(found[1]) == 3 else found[1][0])
            at = found.end()
            continue
        if raw[at] == ord("."):
            labels.append(bytearray())
        else:
            labels[-1].append(raw[at])
        at += 1
    if not labels[-1]:
        labels.pop()
    return [bytes(label) for label in labels]
