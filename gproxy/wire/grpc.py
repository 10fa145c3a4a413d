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

MAX_HEAD: Final = 5 + 1 + 5
"""Octets of the longest head: payloads have less than 4 GiB."""

MAX_PAYLOAD: Final = 64 * 1024
"""The most payload of a message that is made here. gRPC's own libraries take messages of 4 MiB, in one piece."""

_PREFIX: Final = 5
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


def decode_head(source: memoryview, at: int) -> tuple[int, int] | None:
    """The head of the message at a place: where its payload begins, and how much that is. None if it is not complete.

    Raises ProtocolError.
    """
    have = len(source)
    if at < have and source[at]:
        raise ProtocolError("a gRPC message that is compressed")
    body = at + _PREFIX
    if body > have:
        return None
    length = int.from_bytes(source[at + 1 : body], "big")
    if not length:
        return body, 0
    if body == have:
        return None
    if source[body] != _FIELD:
        raise ProtocolError("a gRPC message with another field")
    size = shift = 0
    for place in range(body + 1, min(have, body + 6)):
        octet = source[place]
        size |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            if place + 1 - body + size != length:
                raise ProtocolError("a gRPC message whose lengths disagree")
            return place + 1, size
    if shift == 35:
        raise ProtocolError("a gRPC message whose lengths disagree")
    return None


class GrpcSealer:
    """Payload as messages (see Sealer)."""

    __slots__ = ()

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return size + (size // MAX_PAYLOAD + 1) * MAX_HEAD

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer."""
        made = 0
        with memoryview(source) as view:
            for at in range(0, len(view), MAX_PAYLOAD):
                size = min(len(view) - at, MAX_PAYLOAD)
                head = encode_head(size)
                body = made + len(head)
                target[made:body] = head
                made = body + size
                target[body:made] = view[at : at + size]
        return made


class GrpcOpener:
    """Messages as payload (see Opener). A long message is opened as it comes, so its length needs no bound.

    Of a message that is not complete, the last byte that is there is left: an end behind it is one inside a record.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = 0  # payload of the message that is still to come

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        have, room = len(source), len(target)
        used = made = empty = 0
        while True:
            if self._left:
                size = min(self._left, room - made) if have - used >= self._left else min(have - 1 - used, room - made)
                if size <= 0:
                    break
                target[made : made + size] = source[used : used + size]
                used += size
                made += size
                self._left -= size
                if self._left:
                    break
            head = decode_head(source, used)
            if head is None:
                break
            body, size = head
            if size and body == have:
                break
            used, self._left = body, size
            if not size:
                empty += 1
                if empty > _EMPTY:
                    raise ProtocolError("a flood of gRPC messages that carry nothing")
        return used, made


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
