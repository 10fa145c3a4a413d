"""Streams of the 2022 edition: SIP022, and identity headers by SIP023. After the headers: chunks.py.

Request:
+------+---------------------+-------------------------------+----------------------------------------------+
| salt | identity headers    | sealed fixed header           | sealed variable header                       |
+------+---------------------+-------------------------------+----------------------------------------------+
|16, 32| 16 for each         | 11 + 16 (tag)                 | as the fixed header says + 16                |

fixed:     type = 0 (1) | time, s since 1970 (8) | length of the variable header (2)
variable:  target address | length of the padding (2) | padding (0…900) | first payload

Response:
+------+-------------------------------------------------------------------------------+--------------------+
| salt | sealed: type = 1 (1) | time (8) | the request's salt | length of the payload  | sealed payload     |
+------+-------------------------------------------------------------------------------+--------------------+

Times may differ by 30 seconds at most. A request has payload or padding, or both.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from random import randrange
from typing import Final

from gproxy.base.address import Address
from gproxy.base.clock import wall
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.base.iface import Buffer
from gproxy.protocol.shadowsocks.wire.chunks import ChunkOpener, ChunkSealer
from gproxy.wire.crypto.aead import TAG, Aead, WrongTag
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.socksaddr import decode_address

MOST: Final = 0xFFFF
"""Payload bytes of the largest chunk."""

MOST_PADDING: Final = 900
TOLERANCE: Final = 30  # seconds that two clocks may differ

_REQUEST: Final = 0
_RESPONSE: Final = 1
_FIXED = struct.Struct(">BQH")
SEALED_FIXED: Final = _FIXED.size + TAG
"""Bytes of a request's sealed fixed header."""

_FIRST, _SECOND = bytes(12), b"\1" + bytes(11)


def check_time(time: int) -> None:
    """Raises ProtocolError for a time that lies too far from ours."""
    if abs(time - wall()) > TOLERANCE:
        raise ProtocolError("the peer's clock, or a recorded message, is off by more than 30 seconds", reason="time")


class RequestSealer(ChunkSealer):
    """The client's sealer: its first seal makes the headers, with as much payload as there is."""

    __slots__ = ("_address", "_cipher")

    def __init__(self, cipher: Aead, before: bytes, address: bytes) -> None:
        """`before`: the salt and the identity headers. `address`: the encoded target."""
        super().__init__(cipher, before, most=MOST, number=2)
        self._cipher = cipher
        self._address = address

    def room(self, size: int, /) -> int:
        """See Sealer."""
        if not self._address:
            return super().room(size)
        return super().room(size) + SEALED_FIXED + len(self._address) + 2 + MOST_PADDING + TAG

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer."""
        if not self._address:
            return super().seal_into(source, target)
        payload = memoryview(source)
        padding = b"" if payload else os.urandom(randrange(1, MOST_PADDING + 1))  # noqa: S311 - a length, no secret
        head = b"".join((self._address, len(padding).to_bytes(2, "big"), padding))
        self._address = b""
        first = payload[: MOST - len(head)]
        variable = b"".join((head, first))
        made = super().seal_into(b"", target)  # what comes before
        for nonce, data in ((_FIRST, _FIXED.pack(_REQUEST, int(wall()), len(variable))), (_SECOND, variable)):
            end = made + len(data) + TAG
            self._encrypt(nonce, data, None, target[made:end])
            made = end
        return self._seal_chunks(payload[len(first) :], target, made)


def open_fixed(cipher: Aead, sealed: bytes) -> int:
    """The length of the variable header, from a request's fixed header.

    Raises AuthError when another key has made it, ProtocolError for what is no fresh request.
    """
    try:
        kind, time, length = _FIXED.unpack(cipher.decrypt(_FIRST, sealed, None))
    except WrongTag as error:
        raise AuthError("the request was made with another key") from error
    if kind != _REQUEST:
        raise ProtocolError(f"not a request: its type is {kind}")
    check_time(time)
    return int(length)


def open_variable(cipher: Aead, sealed: bytes) -> tuple[Address, bytes]:
    """The target and the first payload, from a request's variable header. Raises ProtocolError."""
    try:
        header = cipher.decrypt(_SECOND, sealed, None)
    except WrongTag as error:
        raise AuthError("the request's header fails its tag") from error
    cursor = Cursor(header)
    try:
        target = decode_address(cursor)
        padding = cursor.u16()
        cursor.take(padding)
    except Incomplete:
        raise ProtocolError("the request's header is too short for what it says") from None
    payload = cursor.rest()
    if not padding and not payload:
        raise ProtocolError("a request with neither payload nor padding")
    return target, payload


class ResponseSealer(ChunkSealer):
    """The server's sealer: its first seal makes the header, together with the first payload."""

    __slots__ = ("_request_salt",)

    def __init__(self, cipher: Aead, salt: bytes, request_salt: bytes) -> None:
        super().__init__(cipher, salt, most=MOST, number=2)
        self._request_salt = request_salt

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return super().room(size) + len(self._request_salt) + _FIXED.size + TAG

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer. Nothing makes nothing: the header waits for the first payload."""
        if not self._request_salt or not source:
            return super().seal_into(source, target) if not self._request_salt else 0
        payload = memoryview(source)
        first = payload[:MOST]
        header = _FIXED.pack(_RESPONSE, int(wall()), 0)[:-2] + self._request_salt + len(first).to_bytes(2, "big")
        self._request_salt = b""
        made = super().seal_into(b"", target)  # the salt
        for nonce, data in ((_FIRST, header), (_SECOND, first)):
            end = made + len(data) + TAG
            self._encrypt(nonce, data, None, target[made:end])
            made = end
        return self._seal_chunks(payload[len(first) :], target, made)


class ResponseOpener(ChunkOpener):
    """The client's opener: first the response's header, which must answer our request, then chunks."""

    __slots__ = ("_cipher_for", "_request_salt")

    def __init__(self, request_salt: bytes, cipher_for: Callable[[bytes], Aead]) -> None:
        """`cipher_for` makes the session's cipher from the server's salt."""
        self._cipher_for: Callable[[bytes], Aead] | None = cipher_for
        self._request_salt = request_salt
        self._number = 1
        self._most = MOST
        self._before = 0
        self._length = bytearray(2)

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        if self._cipher_for is None:
            return super().open_into(source, target)
        salt_size = len(self._request_salt)
        end = salt_size + _FIXED.size + salt_size + TAG
        if len(source) < end:
            return 0, 0
        cipher = self._cipher_for(bytes(source[:salt_size]))
        self._begin(cipher)
        self._size = self._open_header(cipher, bytes(source[salt_size:end]))
        self._cipher_for = None
        used, made = super().open_into(source[end:], target)
        return end + used, made

    def _open_header(self, cipher: Aead, sealed: bytes) -> int:
        try:
            header = cipher.decrypt(_FIRST, sealed, None)
        except WrongTag as error:
            raise AuthError("the response was made with another key") from error
        kind, time = struct.unpack_from(">BQ", header)
        if kind != _RESPONSE:
            raise ProtocolError(f"not a response: its type is {kind}")
        check_time(time)
        if header[9:-2] != self._request_salt:
            raise ProtocolError("the response answers another request")
        return int.from_bytes(header[-2:], "big")
