"""sing-mux: what is said around the frames of smux, yamux or HTTP/2 when sing-box multiplexes.

A client asks its proxy for a stream to `sp.mux.sing-box.arpa`, port 444, and begins with a request:

+---------+----------+   +--------+--------+----------+
| version | protocol |   | padded | length | junk     |     the second part in version 1; length and junk if padded
+---------+----------+   +--------+--------+----------+
|    1    |    1     |   |   1    |   2    |  length  |

Protocol: 0 smux, 1 yamux, 2 HTTP/2. What follows is that protocol's; if it is padded, the first 16 pieces each way come
as `size (2) junk size (2) data junk` each. HTTP/2 opens a stream with a CONNECT to `localhost`.

Each of the link's streams begins with a request, which the other side answers:

+-------+----------------+   +--------+------------------------+----------+
| flags | SOCKS5 address |   | status | length of text, varint | text     |     the text if the status is 1, a failure
+-------+----------------+   +--------+------------------------+----------+
|   2   |    variable    |   |   1    |        variable        | variable |

Flags: 1 datagrams, each with its `length (2)` before it; 2 in addition, each with a SOCKS5 address before that. The
answer may come late: sing-box sends a success only together with the target's first payload.

TCP Brutal: a stream to `_BrutalBwExchange` carries the client's wish, octets per second that it can receive (8), and
back a yes (1) with what the server can receive (8), or a no (0) with a text.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, TooLarge, Unsupported
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import MAX_ADDRESS, decode_address, encode_address

TARGET: Final = Address("sp.mux.sing-box.arpa", 444)
"""What a client asks its proxy for."""

BRUTAL: Final = Address("_BrutalBwExchange", 0)
"""The target of the stream on which both sides of a link agree on TCP Brutal's rates."""

_BRUTAL_HOST: Final = BRUTAL.host.lower() if isinstance(BRUTAL.host, str) else ""

DATAGRAMS: Final = 1
ADDRESSED: Final = 2

FAILED: Final = 1

MAX_TEXT: Final = 4096
"""Octets of the longest text that is taken for an answer."""

_MAX_VARINT: Final = 10

MAX_REQUEST: Final = 5 + 65535
"""Octets of the longest request for a link."""

MAX_STREAM_REQUEST: Final = 2 + MAX_ADDRESS
"""Octets of the longest request for a stream."""

MAX_ANSWER: Final = 1 + _MAX_VARINT + MAX_TEXT
"""Octets of the longest answer."""

MAX_FRAME: Final = MAX_ADDRESS + 2 + 65535
"""Octets of the longest datagram with its address."""

PADDED_PIECES: Final = 16
"""How many pieces are padded in each direction."""


class Kind(IntEnum):
    """The protocol of a link."""

    SMUX = 0
    YAMUX = 1
    H2MUX = 2


class Request(NamedTuple):
    """What a client says first."""

    kind: Kind
    padded: bool


class StreamRequest(NamedTuple):
    """What a stream is for. `addressed`: datagrams that carry their addresses."""

    target: Address
    datagrams: bool = False
    addressed: bool = False


def decode_request(cursor: Cursor) -> Request:
    """Read the request for a link. Raises Unsupported for a version or a protocol that is not known."""
    version = cursor.u8()
    if version > 1:
        raise Unsupported(f"multiplexing of version {version}", reason="version")
    kind = cursor.u8()
    if kind not in (Kind.SMUX, Kind.YAMUX, Kind.H2MUX):
        raise Unsupported(f"multiplexing by protocol {kind}", reason="multiplex")
    padded = version == 1 and cursor.u8() != 0
    if padded:
        cursor.take(cursor.u16())
    return Request(Kind(kind), padded)


def encode_request(request: Request, junk: int = 0) -> bytes:
    """Write the request for a link, with so many octets of junk if it is padded."""
    if not request.padded:
        return bytes((0, request.kind))
    return bytes((1, request.kind, 1)) + junk.to_bytes(2, "big") + bytes(junk)


def decode_stream_request(cursor: Cursor) -> StreamRequest:
    """Read the request for a stream. Raises ProtocolError for its address."""
    flags = cursor.u16()
    datagrams = bool(flags & DATAGRAMS)
    return StreamRequest(decode_address(cursor), datagrams, datagrams and bool(flags & ADDRESSED))


def encode_stream_request(request: StreamRequest) -> bytes:
    """Write the request for a stream. A domain longer than 255 octets raises ValueError."""
    flags = (DATAGRAMS if request.datagrams else 0) | (ADDRESSED if request.addressed else 0)
    return flags.to_bytes(2, "big") + encode_address(request.target)


def decode_answer(cursor: Cursor) -> str | None:
    """Read the answer to a stream's request: None for a success, else why it failed. Raises TooLarge."""
    return _text(cursor) if cursor.u8() == FAILED else None


def encode_answer(failure: str | None) -> bytes:
    """Write it."""
    return b"\x00" if failure is None else b"\x01" + _encode_text(failure)


def is_brutal(target: Address) -> bool:
    """Whether a stream to it is for TCP Brutal's rates."""
    return target.host == _BRUTAL_HOST


def decode_rate(cursor: Cursor) -> int:
    """Read the client's wish, in octets per second. There is none that is wrong."""
    return int.from_bytes(cursor.take(8), "big")


def encode_rate(rate: int) -> bytes:
    """Write it."""
    return rate.to_bytes(8, "big")


def decode_agreement(cursor: Cursor) -> int | str:
    """Read the server's answer: what it can receive, or why there is no agreement. Raises TooLarge."""
    return _text(cursor) if cursor.u8() == 0 else decode_rate(cursor)


def encode_agreement(agreement: int | str) -> bytes:
    """Write it."""
    if isinstance(agreement, str):
        return b"\x00" + _encode_text(agreement)
    return b"\x01" + encode_rate(agreement)


def _text(cursor: Cursor) -> str:
    size = 0
    for place in range(_MAX_VARINT):
        octet = cursor.u8()
        size |= (octet & 0x7F) << (7 * place)
        if octet < 0x80:
            break
    else:
        raise ProtocolError("a length of more than 64 bits")
    if size > MAX_TEXT:
        raise TooLarge(f"a text of {size} octets")
    return cursor.take(size).decode("utf-8", "replace")


def _encode_text(text: str) -> bytes:
    raw = text.encode()[:MAX_TEXT]
    size = len(raw)
    if size < 0x80:
        return bytes((size,)) + raw
    return bytes((size & 0x7F | 0x80, size >> 7)) + raw
