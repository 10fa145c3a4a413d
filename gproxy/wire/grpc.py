"""gRPC as far as a tunnel needs it: the messages of the streaming call `Tun`, which V2Ray brought into the world.

    +------------+----------------+------+-----------------+-----------+
    | compressed | length, u32 BE | 0x0A | length, varint  | payload   |
    |     0      | of what follows|      | of the payload  |           |
    +------------+----------------+------+-----------------+-----------+

The first two fields are gRPC's; the rest is a Protocol Buffers message, whose first and only field is of octets. One
without payload may have no field at all. The call is an HTTP/2 request for `/SERVICE/Tun`.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, unquote_to_bytes

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer
from gproxy.wire.cursor import Cursor, Incomplete

MAX_HEAD: Final = 5 + 1 + 5
"""Octets of the longest head: payloads have less than 4 GiB."""

MAX_PAYLOAD: Final = 64 * 1024
"""The most payload of a message that is made here. gRPC's own libraries take messages of 4 MiB, in one piece."""

_FIELD: Final = 0x0A

# Messages without payload, in one piece of a stream. Nobody has a reason for more, and each costs more than its bytes.
_EMPTY: Final = 256


def encode_head(size: int) -> bytes:
    """The head of a message with so much payload."""
    varint = bytearray()
    rest = size
    while rest > 0x7F:
        varint.append(rest & 0x7F | 0x80)
        rest >>= 7
    varint.append(rest)
    return b"\0%b\x0a%b" % ((1 + len(varint) + size).to_bytes(4, "big"), bytes(varint))


def decode_head(cursor: Cursor) -> int:
    """The head of a message: how much payload it has."""
    if cursor.u8():
        raise ProtocolError("a gRPC message that is compressed")
    length = cursor.u32()
    if not length:
        return 0
    if cursor.u8() != _FIELD:
        raise ProtocolError("a gRPC message with another field")
    begin = cursor.at
    size = shift = 0
    while True:
        octet = cursor.u8()
        size |= (octet & 0x7F) << shift
        if octet < 0x80:
            break
        shift += 7
        if shift == 35:
            raise ProtocolError("a gRPC message whose lengths disagree")
    if 1 + cursor.at - begin + size != length:
        raise ProtocolError("a gRPC message whose lengths disagree")
    return size


def wrap(data: Buffer) -> bytes:
    """Payload, some at least, as messages."""
    size = len(data)
    if size <= MAX_PAYLOAD:
        return b"".join((encode_head(size), data))
    with memoryview(data) as view:
        pieces = [view[at : at + MAX_PAYLOAD] for at in range(0, size, MAX_PAYLOAD)]
        return b"".join([part for piece in pieces for part in (encode_head(len(piece)), piece)])


class Unwrapper:
    """Messages as payload. A long message is given out as it comes, so its length needs no bound."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""  # the beginning of one
        self._left = 0  # payload of a message that is still to come

    @property
    def inside(self) -> bool:
        """Whether an end here would be one inside a message."""
        return bool(self._left or self._head)

    def feed(self, data: bytes) -> bytes:
        """The payload of what has come. Raises ProtocolError."""
        if self._left >= len(data):
            self._left -= len(data)
            return data
        at, self._left = self._left, 0
        if self._head:
            data, self._head = self._head + data, b""
        have, empty = len(data), 0
        cursor = Cursor(data)
        view = memoryview(data)
        pieces = [view[:at]]
        while at < have:
            cursor.at = at
            try:
                size = decode_head(cursor)
            except Incomplete:
                self._head = data[at:]
                break
            begin = cursor.at
            at = begin + size
            pieces.append(view[begin:at])
            if not size:
                empty += 1
                if empty > _EMPTY:
                    raise ProtocolError("a flood of gRPC messages that carry nothing")
        if at > have:
            self._left = at - have
        return b"".join(pieces)


# -- the call ---------------------------------------------------------------------------------------------------------


def tun_path(service: str) -> bytes:
    """The path that a client asks for.

    A service that begins with `/` is a path already, as Xray has it: its last part is the name of the call, and behind
    a `|` may stand the name of another call, which is not for us.
    """
    if service.startswith("/"):
        return quote(service.partition("|")[0], safe="/").encode()
    return b"/%b/Tun" % quote(service, safe="").encode()


def multi_path(service: str) -> bytes:
    """The path of the call that carries several payloads in each message, which Xray has beside this one."""
    if service.startswith("/"):
        folder, _, names = service.rpartition("/")
        return quote(f"{folder}/{names.partition('|')[2]}", safe="/").encode()
    return b"/%b/TunMulti" % quote(service, safe="").encode()


def is_path(asked: bytes, path: bytes) -> bool:
    """Whether this is the path that is asked for, however it is encoded."""
    return unquote_to_bytes(asked.partition(b"?")[0]) == unquote_to_bytes(path)
