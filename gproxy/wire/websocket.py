"""WebSocket (RFC 6455): frames, and the handshake that comes before them.

     0               1               2               3
    +-+-+-+-+-------+-+-------------+-------------------------------+
    |F|R|R|R| opcode|M| length      | extended length: 2 octets if  |
    |I|S|S|S|  (4)  |A|     (7)     | length is 126, 8 if it is 127 |
    |N|V|V|V|       |S|             |                               |
    +-+-+-+-+-------+-+-------------+-------------------------------+
    | masking key: 4 octets if MASK, of clients always              |
    +---------------------------------------------------------------+
    | payload: each octet XOR that of the masking key, in turn      |
    +---------------------------------------------------------------+

The handshake is an HTTP request to upgrade, and the answer 101. Tunnels put their first payload into it, in base64 for
URLs, behind the path or as a field; `Sec-WebSocket-Protocol` is one that browsers can set.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from Crypto.Util.strxor import strxor

from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.base.iface import Buffer
from gproxy.wire.http1.head import Fields, RequestHead, ResponseHead

# -- frames -----------------------------------------------------------------------------------------------------------

CONTINUATION: Final = 0x0
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

MAX_HEAD: Final = 14
"""Octets of the longest head."""

MAX_CONTROL: Final = 125
"""Octets of the longest payload of a control frame."""

NORMAL: Final = 1000
"""The status of a close that is no failure."""

_FIN: Final = 0x80
_CONTROL: Final = 0x8
_MASK: Final = 0x80
_SIZED: Final = {126: 2, 127: 8}
_LEAST: Final = {126: 126, 127: 1 << 16}
_LONGEST: Final = (1 << 63) - 1
_NAMES: Final = {CONTINUATION: "continuation", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}

# Below this, XOR of integers is faster than the call that does it in C.
_FEW: Final = 1024


def encode_head(opcode: int, size: int, mask: bytes = b"") -> bytes:
    """The head of a frame that is a whole message; masked with these 4 octets, if there are any."""
    masked = _MASK if mask else 0
    if size < 126:
        return b"%c%c%b" % (_FIN | opcode, masked | size, mask)
    if size < 1 << 16:
        return b"%c%c%c%c%b" % (_FIN | opcode, masked | 126, size >> 8, size & 0xFF, mask)
    return b"%c%c%b%b" % (_FIN | opcode, masked | 127, size.to_bytes(8, "big"), mask)


def decode_head(source: memoryview, at: int, *, masked: bool) -> tuple[int, int, bool, int, bytes] | None:
    """The head of the frame at a place: where its payload begins, opcode, whether it is final, size, mask.

    None if it is not complete. `masked`: whether frames of this direction are. Raises ProtocolError.
    """
    have = len(source) - at
    if have < 2:
        return None
    first, second = source[at], source[at + 1]
    opcode = first & 0x0F
    if first & 0x70:
        raise ProtocolError("a WebSocket frame of an extension that was not agreed on")
    if opcode not in _NAMES:
        raise ProtocolError("a WebSocket frame of text" if opcode == 1 else "a WebSocket frame of an unknown kind")
    if bool(second & _MASK) != masked:
        raise ProtocolError(f"a WebSocket frame that is {'not ' if masked else ''}masked")
    size, body = second & 0x7F, at + 2
    if opcode & _CONTROL and (size > MAX_CONTROL or not first & _FIN):
        raise ProtocolError("a WebSocket control frame in pieces, or too long")
    if size > MAX_CONTROL:
        end = body + _SIZED[size]
        if end > len(source):
            return None
        least, size, body = _LEAST[size], int.from_bytes(source[body:end], "big"), end
        if not least <= size <= _LONGEST:
            raise ProtocolError("a WebSocket frame with a length that can't be")
    if not masked:
        return body, opcode, bool(first & _FIN), size, b""
    end = body + 4
    return None if end > len(source) else (end, opcode, bool(first & _FIN), size, bytes(source[body:end]))


def mask_into(source: Buffer, mask: bytes, target: memoryview) -> None:
    """XOR the source with the 4 octets of a mask, in turn, into a target of the same size."""
    size = len(source)
    whole = (mask * (size // 4 + 1))[:size]
    if size < _FEW:
        target[:] = (int.from_bytes(source, "little") ^ int.from_bytes(whole, "little")).to_bytes(size, "little")
    else:
        strxor(source, whole, target)


def encode_control(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """A control frame. The payload has at most MAX_CONTROL octets."""
    head = encode_head(opcode, len(payload), mask)
    if not mask:
        return head + payload
    masked = bytearray(len(payload))
    mask_into(payload, mask, memoryview(masked))
    return head + masked


def decode_close(payload: bytes) -> int:
    """The status in a close frame's payload; NORMAL if there is none. Raises ProtocolError."""
    if not payload:
        return NORMAL
    status = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not (1000 <= status <= 1003 or 1007 <= status <= 1014 or 3000 <= status <= 4999):
        raise ProtocolError("a WebSocket close frame without a right status")
    return status


# -- the handshake ----------------------------------------------------------------------------------------------------

PROTOCOL: Final = b"sec-websocket-protocol"

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_KEY_SIZE: Final = 24  # 16 octets in base64
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_STANDARD, _FOR_URLS = b"+/", b"-_"


def accept_of(key: bytes) -> bytes:
    """What a server answers to a key."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def encode_upgrade(host: bytes, target: bytes, fields: Fields, nonce: bytes = b"") -> bytes:
    """A request to upgrade, with further fields; for a WebSocket with a nonce of 16 octets."""
    whole = Fields([])
    whole.add(b"Host", host)
    whole.lines += fields.lines
    whole.add(b"Upgrade", b"websocket")
    whole.add(b"Connection", b"Upgrade")
    if nonce:
        whole.add(b"Sec-WebSocket-Key", b64encode(nonce))
        whole.add(b"Sec-WebSocket-Version", b"13")
    return RequestHead(b"GET", target, 1, whole).encode()


def is_upgrade(head: RequestHead | ResponseHead) -> bool:
    """Whether this asks for, or agrees to, what WebSockets begin with."""
    fields = head.fields
    if head.minor != 1 or (isinstance(head, RequestHead) and head.method != b"GET"):
        return False
    return b"upgrade" in fields.options(b"connection") and fields.options(b"upgrade") == [b"websocket"]


def key_of(head: RequestHead) -> bytes:
    """The key in a client's request to upgrade. Raises ProtocolError, and Unsupported for another version."""
    keys, versions = head.fields.values(b"sec-websocket-key"), head.fields.values(b"sec-websocket-version")
    if versions != [b"13"]:
        raise Unsupported("a WebSocket of another version", reason="websocket-version")
    if len(keys) != 1 or len(keys[0]) != _KEY_SIZE or keys[0].translate(None, _BASE64):
        raise ProtocolError("a WebSocket request without a right key")
    return keys[0]


def encode_switch(fields: Fields, key: bytes = b"") -> bytes:
    """A server's yes, with further fields; to a WebSocket with the client's key."""
    whole = Fields([])
    whole.add(b"Upgrade", b"websocket")
    whole.add(b"Connection", b"Upgrade")
    if key:
        whole.add(b"Sec-WebSocket-Accept", accept_of(key))
    whole.lines += fields.lines
    return ResponseHead(1, 101, b"Switching Protocols", whole).encode()


def check_switch(head: ResponseHead, nonce: bytes = b"", protocol: bytes = b"") -> None:
    """Whether a server has agreed, to a WebSocket with that nonce. Raises ProtocolError.

    `protocol`: the one that was asked for; no other may be answered, nor any extension.
    """
    if head.status != 101:
        raise ProtocolError(f"the server answered {head.status}", reason="declined")
    if not is_upgrade(head):
        raise ProtocolError("the server switches to something else")
    if not nonce:
        return
    if head.fields.values(b"sec-websocket-accept") != [accept_of(b64encode(nonce))]:
        raise ProtocolError("the server has not understood the WebSocket request")
    if head.fields.values(b"sec-websocket-extensions") or head.fields.values(PROTOCOL) not in ([], [protocol]):
        raise ProtocolError("the server has chosen what was not offered")


def encode_early(payload: Buffer) -> bytes:
    """A first payload as it stands in a request."""
    return urlsafe_b64encode(payload).rstrip(b"=")


def decode_early(text: bytes) -> bytes:
    """The first payload that stands in a request, in either alphabet of base64. Raises ProtocolError."""
    bare = text.rstrip(b"=").translate(bytes.maketrans(_FOR_URLS, _STANDARD))
    if len(bare) % 4 == 1 or bare.translate(None, _BASE64[:-1]):
        raise ProtocolError("early data that is no base64")
    return urlsafe_b64decode(bare.translate(bytes.maketrans(_STANDARD, _FOR_URLS)) + b"=" * (-len(bare) % 4))
