"""What simple-obfs says (obfs-local and obfs-server 0.0.5): a stream that begins like HTTP, or looks like TLS.

HTTP: a client that wants a WebSocket, and a server that agrees. Behind each head follows what is carried, as it is.

    GET / HTTP/1.1               HTTP/1.1 101 Switching Protocols
    Host: HOST[:PORT]            Server: nginx/1.N.N
    User-Agent: curl/7.N.N       Date: IMF-fixdate
    Upgrade: websocket           Upgrade: websocket
    Connection: Upgrade          Connection: Upgrade
    Sec-WebSocket-Key: base64    Sec-WebSocket-Accept: base64
    Content-Length: SIZE

TLS: a session of TLS 1.2 that is resumed. What is carried first is the client's session ticket, and what the server
would have encrypted as its Finished; the rest are records of application data. Peers read by fixed offsets, so that
every field before the ticket, and all of the server's hello, has the size that it has here.

    ClientHello   | 16 0301 len | 01 len24 0303 | random 32 | 20 session 32 | 0038 suites 56 | 01 00 | len
                  | 0023 len ticket | 0000 len len 00 len name | further extensions
    ServerHello   | 16 0301 005b | 02 000057 0303 | random 32 | 20 session 32 | suite 00 | extensions
    then          | 14 0303 0001 01 | 16 0303 len payload
    both          | 17 0303 len payload
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1.head import Fields, RequestHead, ResponseHead, decode_request, decode_response

# -- HTTP -------------------------------------------------------------------------------------------------------------

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


@dataclass(frozen=True, slots=True)
class Disguise:
    """What a client asks for, seemingly. `host` has the port where it is not HTTP's own."""

    host: bytes
    agent: bytes
    method: bytes = b"GET"
    target: bytes = b"/"


def encode_upgrade(disguise: Disguise, nonce: bytes, size: int) -> bytes:
    """A client's head, with a nonce of 16 octets, before a first payload of `size` octets."""
    fields = Fields([])
    fields.add(b"Host", disguise.host)
    fields.add(b"User-Agent", disguise.agent)
    fields.add(b"Upgrade", b"websocket")
    fields.add(b"Connection", b"Upgrade")
    fields.add(b"Sec-WebSocket-Key", b64encode(nonce))
    fields.add(b"Content-Length", b"%d" % size)
    return RequestHead(disguise.method, disguise.target, 1, fields).encode()


def decode_upgrade(cursor: Cursor) -> RequestHead:
    """A Decode for a client's head. Raises ProtocolError also for a request that asks for no WebSocket."""
    head = decode_request(cursor)
    if head.minor != 1 or head.fields.options(b"upgrade") != [b"websocket"]:
        raise ProtocolError("an HTTP request that asks for no WebSocket")
    return head


def encode_switch(server: bytes, date: bytes, key: bytes) -> bytes:
    """A server's head: `key` is what the client sent as Sec-WebSocket-Key."""
    fields = Fields([])
    fields.add(b"Server", server)
    fields.add(b"Date", date)
    fields.add(b"Upgrade", b"websocket")
    fields.add(b"Connection", b"Upgrade")
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    fields.add(b"Sec-WebSocket-Accept", b64encode(digest))
    return ResponseHead(1, 101, b"Switching Protocols", fields).encode()


def decode_switch(cursor: Cursor) -> ResponseHead:
    """A Decode for a server's head. Raises ProtocolError also for any status but 101."""
    head = decode_response(cursor)
    if head.status != 101:
        raise ProtocolError(f"the server answered {head.status}")
    return head


# -- TLS --------------------------------------------------------------------------------------------------------------

HANDSHAKE: Final = 0x16
DATA: Final = 0x17

RECORD_HEAD: Final = 5
"""Octets before the payload of a record."""

MOST: Final = 16 * 1024
"""The longest payload of a record, or of a ticket, that peers take."""

HELLO_ROOM: Final = 512
"""More than a client's hello has beside its ticket, or a server's greeting beside its payload."""

MAX_CLIENT_HELLO: Final = MOST + HELLO_ROOM

_CIPHER_SUITES = bytes.fromhex(
    "c02cc030009fcca9cca8ccaac02bc02f009ec024c028006bc023c0270067c00a"
    "c0140039c009c0130033009d009c003d003c0035002f00ff"
)  # fmt: skip
_FURTHER_EXTENSIONS = bytes.fromhex(
    "000b000403010002"  # point formats
    "000a000a0008001d001700190018"  # groups
    "000d0020001e060106020603050105020503040104020403030103020303020102020203"  # signature algorithms
    "0016000000170000"  # encrypt-then-MAC, extended master secret
)
_SERVER_EXTENSIONS = bytes.fromhex("ff01000100" "00170000" "000b00020100")  # fmt: skip
_CHANGE_CIPHER_SPEC = bytes.fromhex("140303000101")

_FIXED: Final = (
    5 + 4 + 2 + 32 + 1 + 32 + 2 + len(_CIPHER_SUITES) + 2 + 2
)  # octets of a client's hello to the extensions

_SHORTEST_NAME: Final = 9  # the extension with an empty name

GREETING: Final = 96 + len(_CHANGE_CIPHER_SPEC)
"""Octets that a server says before its first payload's record."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """A client's hello: its session, which the server repeats, the server's name, and what it carries."""

    session: bytes
    name: bytes
    ticket: bytes


def encode_client_hello(name: bytes, random: bytes, session: bytes, ticket: bytes) -> bytes:
    """A client's hello for the server `name`. `random` and `session` have 32 octets; the ticket at most MOST."""
    extensions = b"".join(
        (
            b"\x00\x23", _u16(len(ticket)), ticket,
            b"\x00\x00", _u16(len(name) + 5), _u16(len(name) + 3), b"\x00", _u16(len(name)), name,
            _FURTHER_EXTENSIONS,
        )
    )  # fmt: skip
    size = _FIXED + len(extensions)
    return b"".join(
        (
            b"\x16\x03\x01", _u16(size - 5), b"\x01", (size - 9).to_bytes(3, "big"), b"\x03\x03",
            random, b"\x20", session, _u16(len(_CIPHER_SUITES)), _CIPHER_SUITES, b"\x01\x00",
            _u16(len(extensions)), extensions,
        )
    )  # fmt: skip


def decode_client_hello(cursor: Cursor) -> ClientHello:
    """A Decode for a client's hello."""
    _expect(cursor, b"\x16\x03\x01")
    size = cursor.u16()
    if not _FIXED <= size + 5 <= MAX_CLIENT_HELLO:
        raise ProtocolError("not a hello of obfs-tls: its size")
    _expect(cursor, b"\x01" + (size - 4).to_bytes(3, "big") + b"\x03\x03")
    cursor.take(32)
    _expect(cursor, b"\x20")
    session = cursor.take(32)
    _expect(cursor, _u16(len(_CIPHER_SUITES)))
    cursor.take(len(_CIPHER_SUITES))
    _expect(cursor, b"\x01\x00" + _u16(size + 5 - _FIXED) + b"\x00\x23")
    end = cursor.at - 2 - _FIXED + size + 5
    length = cursor.u16()
    if length > MOST or cursor.at + length + _SHORTEST_NAME > end:
        raise ProtocolError("not a hello of obfs-tls: the size of its ticket")
    ticket = cursor.take(length)
    return ClientHello(session, _server_name(cursor, end), ticket)


def _server_name(cursor: Cursor, end: int) -> bytes:
    """The server's name behind the ticket; goes past the further extensions, too."""
    _expect(cursor, b"\x00\x00")
    length = cursor.u16()
    if length < _SHORTEST_NAME - 4 or cursor.at + length > end:
        raise ProtocolError("not a hello of obfs-tls: the size of its server name")
    _expect(cursor, _u16(length - 2) + b"\x00" + _u16(length - 5))
    name = cursor.take(length - 5)
    cursor.take(end - cursor.at)
    return name


def encode_greeting(random: bytes, session: bytes) -> bytes:
    """A server's hello, and its change of the cipher. `random` and `session` have 32 octets."""
    return b"".join(
        (
            bytes.fromhex("160301005b020000570303"), random, b"\x20", session,
            bytes.fromhex("cca800"), _u16(len(_SERVER_EXTENSIONS)), _SERVER_EXTENSIONS, _CHANGE_CIPHER_SPEC,
        )
    )  # fmt: skip


def decode_greeting(cursor: Cursor) -> bytes:
    """A Decode for what a server says first; gives the session."""
    _expect(cursor, b"\x16\x03\x01\x00\x5b\x02\x00\x00\x57\x03\x03")
    cursor.take(32)
    _expect(cursor, b"\x20")
    session = cursor.take(32)
    cursor.take(96 - 11 - 65)
    _expect(cursor, _CHANGE_CIPHER_SPEC)
    return session


def record_head(kind: int, size: int) -> bytes:
    """What stands before a payload of `size` octets."""
    return b"%c\x03\x03%c%c" % (kind, size >> 8, size & 0xFF)


def record_size(source: memoryview, at: int, kind: int) -> int:
    """The size of the payload behind the record head at `at`, which is there. Raises ProtocolError and TooLarge."""
    if source[at] != kind or source[at + 1] != 3 or source[at + 2] != 3:
        raise ProtocolError("not a record of obfs-tls")
    size = source[at + 3] << 8 | source[at + 4]
    if size > MOST:
        raise TooLarge(f"a record of more than {MOST} bytes")
    return size


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _expect(cursor: Cursor, octets: bytes) -> None:
    """Go past these octets; others are refused as soon as they are seen."""
    seen = bytes(cursor.data[cursor.at : cursor.at + len(octets)])
    if not octets.startswith(seen):
        raise ProtocolError("not a hello of obfs-tls")
    cursor.take(len(octets))
