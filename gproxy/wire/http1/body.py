"""Body framing (RFC 9112 sections 6 and 7): where a body ends, and what of the bytes that have come belongs to it.

    Content-Length: 5        hello
    Transfer-Encoding:       5 [;extension] CRLF  hello CRLF    any number of chunks
    chunked                  0 [;extension] CRLF                the last chunk
                             *( trailer field CRLF ) CRLF
    neither                  a request has no body; a response's lasts until the connection ends

Refused: both fields in one message, a repeated or unusual Content-Length (a list, a sign, leading zeros), every
transfer coding but `chunked` alone, any coding under HTTP/1.0, white space beside a chunk size. Chunk extensions are
read and not passed on; nor are trailers that would change the framing or the routing of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gproxy.base.errors import ProtocolError, TooLarge, Unsupported
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1.head import Fields, RequestHead, ResponseHead, decode_trailers

# A size of 16 hexadecimal digits with some extension; nobody is known to need one.
MAX_CHUNK_LINE = 256
MAX_CHUNK_DIGITS = 16
MAX_LENGTH_DIGITS = 18  # below 2**63, where the arithmetic of other programs ends
MAX_TRAILERS = 8 * 1024

_HEX = b"0123456789abcdefABCDEF"
_EXTENSION = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
# RFC 9110 section 6.5.1: fields that make no sense, or mischief, after the body. Hop-by-hop ones are among them.
_NO_TRAILERS = frozenset((
    b"transfer-encoding", b"content-length", b"host", b"connection", b"proxy-connection", b"keep-alive", b"te",
    b"trailer", b"upgrade", b"proxy-authorization", b"proxy-authenticate", b"authorization", b"set-cookie", b"cookie",
    b"expect", b"content-encoding", b"content-type", b"content-range", b"max-forwards", b"cache-control", b"range",
))  # fmt: skip


class Body(Protocol):
    """A body on its way through. `complete` says that its last byte has been fed."""

    complete: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take what has come: the bytes to pass on, and the rest, which belongs to whatever follows the body.

        Raises ProtocolError.
        """

    def whole_at_end(self) -> bool:
        """The stream has ended: was that the body's end too?"""


class Sized:
    """A body of so many bytes, or none."""

    __slots__ = ("_left", "complete")

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See Body."""
        left = self._left = self._left - len(data)
        if left > 0:
            return data, b""
        self._left, self.complete = 0, True
        return (data[:left], data[left:]) if left else (data, b"")

    def whole_at_end(self) -> bool:
        """See Body."""
        return self.complete


class UntilEnd:
    """A body that ends with its stream."""

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See Body."""
        return data, b""

    def whole_at_end(self) -> bool:
        """See Body."""
        self.complete = True
        return True


class Chunked:
    """A body in chunks. What is passed on is in chunks too, or bare data for a recipient that knows no chunks."""

    __slots__ = ("_bare", "_held", "_left", "_step", "complete")

    def __init__(self, *, bare: bool = False) -> None:
        self.complete = False
        self._bare = bare
        self._held = b""  # the beginning of a line; its decoder bounds it
        self._left = 0
        self._step: Callable[[Chunked, Cursor, list[bytes]], None] = Chunked._size

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See Body."""
        cursor = Cursor(self._held + data if self._held else data)
        self._held = b""
        out: list[bytes] = []
        try:
            while not self.complete:
                self._step(self, cursor, out)
        except Incomplete:
            self._held = cursor.rest()
        return out[0] if len(out) == 1 else b"".join(out), cursor.rest()

    def whole_at_end(self) -> bool:
        """See Body."""
        return self.complete

    def _size(self, cursor: Cursor, out: list[bytes]) -> None:
        size = decode_chunk_head(cursor)
        self._left = size
        self._step = Chunked._data if size else Chunked._trailers
        if not self._bare:
            out.append(b"%x\r\n" % size)

    def _data(self, cursor: Cursor, out: list[bytes]) -> None:
        have = min(self._left, cursor.left())
        if not have:
            raise Incomplete
        out.append(cursor.take(have))
        self._left -= have
        if not self._left:
            self._step = Chunked._end_of_data

    def _end_of_data(self, cursor: Cursor, out: list[bytes]) -> None:
        if cursor.take(2) != b"\r\n":
            raise ProtocolError("a chunk that is longer than its size")
        self._step = Chunked._size
        if not self._bare:
            out.append(b"\r\n")

    def _trailers(self, cursor: Cursor, out: list[bytes]) -> None:
        fields = decode_trailers(cursor, MAX_TRAILERS)
        self.complete = True
        if not self._bare:
            out.append(fields.without(_NO_TRAILERS).encode() + b"\r\n")


def decode_chunk_head(cursor: Cursor) -> int:
    """A Decode for the line before a chunk: the chunk's size. Raises ProtocolError and TooLarge."""
    data, start = cursor.data, cursor.at
    end = data.find(b"\n", start, start + MAX_CHUNK_LINE)
    if end < 0:
        if len(data) - start >= MAX_CHUNK_LINE:
            raise TooLarge("a chunk line that is too long", reason="chunk")
        raise Incomplete
    line = bytes(data[start:end])
    size, semicolon, extension = line.removesuffix(b"\r").partition(b";")
    if not line.endswith(b"\r") or (semicolon and extension.translate(None, _EXTENSION)):
        raise ProtocolError("not a chunk line")
    if not size or len(size) > MAX_CHUNK_DIGITS or size.translate(None, _HEX):
        raise ProtocolError("not a chunk size")
    cursor.at = end + 1
    return int(size, 16)


def request_body(head: RequestHead) -> Body:
    """The body that follows a request head. Raises ProtocolError, and Unsupported (reason `coding`)."""
    chunked, length = _framing(head.fields, head.minor)
    return Chunked() if chunked else Sized(length or 0)


def response_body(head: ResponseHead, method: bytes, *, bare: bool = False) -> Body:
    """The body that follows a final response head to a request of `method`; `bare` is handed to Chunked.

    Raises ProtocolError, and Unsupported (reason `coding`). Responses to CONNECT and 101, after which no HTTP follows,
    are their callers' matter.
    """
    chunked, length = _framing(head.fields, head.minor)
    if method == b"HEAD" or head.status in (204, 304) or head.status < 200:
        return Sized(0)
    if chunked:
        return Chunked(bare=bare)
    return UntilEnd() if length is None else Sized(length)


def _framing(fields: Fields, minor: int) -> tuple[bool, int | None]:
    """Whether the message is chunked, and its length if that is said."""
    codings, lengths = fields.values(b"transfer-encoding"), fields.values(b"content-length")
    if codings:
        if lengths:
            raise ProtocolError("both Content-Length and Transfer-Encoding")
        if not minor:
            raise ProtocolError("a Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Unsupported("a transfer coding other than chunked", reason="coding")
        return True, None
    if not lengths:
        return False, None
    if len(lengths) > 1:
        raise ProtocolError("more than one Content-Length")
    return False, _length(lengths[0])


def _length(text: bytes) -> int:
    if not text.isdigit() or (text.startswith(b"0") and text != b"0"):
        raise ProtocolError("not a Content-Length")
    if len(text) > MAX_LENGTH_DIGITS:
        raise TooLarge("a Content-Length that is too large", reason="length")
    return int(text)
