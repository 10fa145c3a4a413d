"""Message heads (RFC 9112 sections 2 to 5).

    request   method SP request-target SP HTTP-version CRLF     GET http://example.com/ HTTP/1.1
    response  HTTP-version SP status-code SP [reason] CRLF      HTTP/1.1 200 OK
    then      *( field-name ":" OWS field-value OWS CRLF )      Host: example.com
    and       CRLF

Refused, although a recipient may be lenient about them: line ends other than CRLF (section 2.2), folded lines (5.2),
white space before a colon (5.1), other white space in the first line (3), control characters in values (RFC 9110
section 5.5). One empty line before a request is skipped, as section 2.2 asks. Names keep their case and fields their
order; only the optional white space around values is normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from gproxy.base.errors import ProtocolError, TooLarge, Unsupported
from gproxy.wire.cursor import Cursor, Incomplete, T

# nginx takes heads of up to 32 KiB (4 buffers of 8), HAProxy 16 KiB: what passes those must not fail here.
MAX_HEAD = 64 * 1024
# The first line; RFC 9112 section 3 asks for at least 8000 octets, nginx and Apache take 8 KiB.
MAX_LINE = 16 * 1024
# Apache takes 100 fields, HAProxy 101.
MAX_FIELDS = 128

TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# How much of an incomplete head is looked at again when more of it comes.
_NEWEST = 2048

# What may stand in a head beside line ends: HTAB, SP, visible ASCII, and obs-text, which is passed on unread.
_TEXT = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
# No fragment can be in a request target, and a target that is not visible ASCII is read in many ways.
_TARGET = bytes(octet for octet in range(0x21, 0x7F) if octet != ord("#"))
_MINOR = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}
_CR = 13

Field = tuple[bytes, bytes, bytes]
"""One field line: its name in lower case, its name as it came, its value without white space around it."""


class Fields:
    """The field lines of a message, in their order."""

    __slots__ = ("lines",)

    def __init__(self, lines: list[Field]) -> None:
        self.lines = lines

    def __iter__(self) -> Iterator[Field]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.lines == other.lines

    __hash__ = None  # type: ignore[assignment]  # its lines may change

    def values(self, key: bytes) -> list[bytes]:
        """The values of every line named `key` (lower case)."""
        return [value for name, _, value in self.lines if name == key]

    def options(self, key: bytes) -> list[bytes]:
        """The members of the comma-separated list `key`, over all of its lines, in lower case, without empty ones."""
        joined = b",".join(self.values(key)).lower()
        return [member for part in joined.split(b",") if (member := part.strip(b" \t"))] if joined else []

    def without(self, keys: Container[bytes]) -> Fields:
        """These fields but for those named in `keys` (lower case)."""
        return Fields([line for line in self.lines if line[0] not in keys])

    def add(self, name: bytes, value: bytes) -> None:
        """Append one line."""
        self.lines.append((name.lower(), name, value))

    def encode(self) -> bytes:
        """The lines, each with its CRLF."""
        return b"".join([b"%s: %s\r\n" % (name, value) for _, name, value in self.lines])


@dataclass(slots=True)
class RequestHead:
    """A request line with its fields. `minor` is 0 or 1: the version is HTTP/1.0 or HTTP/1.1."""

    method: bytes
    target: bytes
    minor: int
    fields: Fields

    def encode(self) -> bytes:
        """The head on the wire, as HTTP/1.1: an intermediary sends its own version (RFC 9110 section 6.2)."""
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (self.method, self.target, self.fields.encode())


@dataclass(slots=True)
class ResponseHead:
    """A status line with its fields."""

    minor: int
    status: int
    reason: bytes
    fields: Fields

    def encode(self) -> bytes:
        """The head on the wire, as HTTP/1.1."""
        return b"HTTP/1.1 %d %s\r\n%s\r\n" % (self.status, self.reason, self.fields.encode())


def decode_request(cursor: Cursor) -> RequestHead:
    """A Decode for request heads.

    Raises ProtocolError, TooLarge (reason `target` for the first line) and Unsupported (reason `version`).
    """
    if cursor.data.startswith(b"\r\n", cursor.at):
        cursor.at += 2
    (method, target, minor), fields = _decode_head(cursor, _request_line, "target")
    return RequestHead(method, target, minor, fields)


def decode_response(cursor: Cursor) -> ResponseHead:
    """A Decode for response heads. Raises ProtocolError, TooLarge and Unsupported as `decode_request` does."""
    (minor, status, reason), fields = _decode_head(cursor, _status_line, "line")
    return ResponseHead(minor, status, reason, fields)


def _request_line(line: bytes) -> tuple[bytes, bytes, int]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise ProtocolError("not an HTTP request line")
    method, target, version = parts
    if not method or method.translate(None, TOKEN):
        raise ProtocolError("not an HTTP method")
    if not target or target.translate(None, _TARGET):
        raise ProtocolError("not an HTTP request target")
    return method, target, _minor(version)


def _status_line(line: bytes) -> tuple[int, int, bytes]:
    version, _, rest = line.partition(b" ")
    minor = _minor(version)
    code, _, reason = rest.partition(b" ")  # servers leave out the second space where there is no reason
    if len(code) != 3 or not code.isdigit() or code < b"100":
        raise ProtocolError("not an HTTP status code")
    return minor, int(code), reason


def _minor(version: bytes) -> int:
    minor = _MINOR.get(version)
    if minor is not None:
        return minor
    if len(version) == 8 and version.startswith(b"HTTP/") and version[5:6].isdigit() and version[7:8].isdigit():
        raise Unsupported("an HTTP version other than 1.0 and 1.1", reason="version")
    raise ProtocolError("not an HTTP version")


def decode_trailers(cursor: Cursor, limit: int) -> Fields:
    """A Decode, but for its limit in bytes, for the trailer section of a chunked body."""
    data, start = cursor.data, cursor.at
    if data.startswith(b"\r\n", start):
        cursor.at = start + 2
        return Fields([])
    end = data.find(b"\r\n\r\n", start, start + limit)
    if end < 0:
        _refuse_hopeless(data, start, "trailers")
        _refuse_endless(data, start, limit, "trailers")
        raise Incomplete
    cursor.at = end + 4
    return _fields(_lines(bytes(data[start:end])))


def _decode_head(cursor: Cursor, parse_line: Callable[[bytes], T], line_reason: str) -> tuple[T, Fields]:
    data, start = cursor.data, cursor.at
    end = data.find(b"\r\n\r\n", start, start + MAX_HEAD)
    if end < 0:
        _refuse_hopeless(data, start, "head")
        _first_line(data, start, parse_line, line_reason)
        _refuse_endless(data, start, MAX_HEAD, "head")
        raise Incomplete
    lines = _lines(bytes(data[start:end]))
    line = lines.pop(0)
    if len(line) > MAX_LINE:
        raise TooLarge(f"a first line of more than {MAX_LINE} bytes", reason=line_reason)
    cursor.at = end + 4
    return parse_line(line), _fields(lines)


def _first_line(data: bytes | bytearray, start: int, parse_line: Callable[[bytes], T], line_reason: str) -> None:
    """Judge the first line while the rest is still on its way: another protocol shows here."""
    end = data.find(b"\r\n", start, start + MAX_LINE + 2)
    if end >= 0:
        parse_line(bytes(data[start:end]))
    elif len(data) - start >= MAX_LINE + 2:
        raise TooLarge(f"a first line of more than {MAX_LINE} bytes", reason=line_reason)


def _refuse_hopeless(data: bytes | bytearray, start: int, what: str) -> None:
    """Raise for what no further byte can make right: nobody shall wait for the rest of a TLS hello or of bare LFs.

    Only the newest bytes are gone over, since this is asked again for each piece that comes; a complete head is gone
    over whole.
    """
    if len(data) == start:
        return
    if (data[start] not in TOKEN and data[start] != _CR) or data.startswith(b"\r\n", start):
        raise ProtocolError(f"not an HTTP {what}")
    newest = bytes(data[max(start, len(data) - _NEWEST) :])
    if len(data) - start > _NEWEST:
        newest = newest.removeprefix(b"\n")  # its CR may be before what is looked at
    if newest.removesuffix(b"\r").translate(None, _TEXT) != b"\r\n" * newest.count(b"\r\n"):
        raise ProtocolError(f"a control character in an HTTP {what}")


def _refuse_endless(data: bytes | bytearray, start: int, limit: int, what: str) -> None:
    if len(data) - start >= limit:
        raise TooLarge(f"an HTTP {what} of more than {limit} bytes")


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\r\n")
    # What is left without legal text must be the line ends alone: one call finds stray CR, LF, NUL and all their kin.
    if block.translate(None, _TEXT) != b"\r\n" * (len(lines) - 1):
        raise ProtocolError("a control character in an HTTP head")
    return lines


def _fields(lines: list[bytes]) -> Fields:
    if len(lines) > MAX_FIELDS:
        raise TooLarge(f"more than {MAX_FIELDS} HTTP fields")
    fields: list[Field] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN):
            raise ProtocolError("not an HTTP field line")
        fields.append((name.lower(), name, value.strip(b" \t")))
    return Fields(fields)
