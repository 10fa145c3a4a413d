"""HTTP/1, and the first line of HTTP/2: a request's head (RFC 9112), read as kindly as servers do.

    method SP target SP HTTP/x.y LF        a CR may stand before each LF
    ( name ":" value LF ) …                a line that begins with white space goes on with the one before
    LF

Whoever decides by what it says passes it on as it is, so nothing can be smuggled by reading it otherwise.
"""

from __future__ import annotations

import re

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import MOST, domain_in, no
from gproxy.wire.cursor import Cursor, Incomplete

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_START = re.compile(_TOKEN + rb"(?: [^\0-\x1f\x7f]*)?")
_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\0-\x20\x7f]+) HTTP/[0-9]\.[0-9]\r?")
_TARGET = re.compile(rb"/|\*$|[A-Za-z][A-Za-z0-9+.-]*:")
_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?@]*@)?([^/?]+)")
_HOST = re.compile(rb"(?:[^\[\]:]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
_NAME = re.compile(_TOKEN)
_TEXT = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_END = re.compile(rb"\n\r?\n")


def sniff_http(cursor: Cursor) -> Sniffed:
    """A Decode for a whole head."""
    data, start = cursor.data, cursor.at
    line_end = data.find(b"\n", start, start + MOST)
    if line_end < 0:
        _judge_start(bytes(data[start : start + MOST]))
        raise Incomplete
    host = _host_in_line(bytes(data[start:line_end]))
    end = _END.search(data, line_end, start + MOST)
    if end is None:
        if len(data) - start >= MOST:
            raise no("HTTP")
        raise Incomplete
    field = _host_field(bytes(data[line_end + 1 : end.start() + 1]))
    cursor.at = end.end()
    return Sniffed("http", _domain(host or field))


def _judge_start(line: bytes) -> None:
    """A line without an end: other protocols show here, so that nobody waits for the rest."""
    if len(line) == MOST or (line and _START.fullmatch(line.removesuffix(b"\r")) is None):
        raise no("HTTP")


def _host_in_line(line: bytes) -> bytes:
    """What the target says of where it is; mostly nothing."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise no("HTTP")
    method, target = found.groups()
    if method == b"CONNECT" and target[:1] != b"/":
        host = target
    elif _TARGET.match(target) is not None:
        authority = _AUTHORITY.match(target)
        host = authority[1] if authority is not None else b""
    else:
        raise no("HTTP")
    if host and _HOST.fullmatch(host) is None:
        raise no("HTTP")
    return bytes(host)


def _host_field(lines: bytes) -> bytes:
    """The value of the one field `Host`; empty if there is none."""
    host: bytes | None = None
    for line in lines.split(b"\n")[:-1]:
        line = line.removesuffix(b"\r")
        if line.translate(None, _TEXT):
            raise no("HTTP")
        if line[:1] in (b" ", b"\t"):
            continue
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            raise no("HTTP")
        if name.lower() == b"host":
            if host is not None:
                raise no("HTTP")
            host = value.strip(b" \t")
    return host or b""


def _domain(host: bytes) -> str:
    """What stands before the port. Names that are not in ASCII are written as `xn--…` here, so others are none."""
    name, _, port = host.partition(b":")
    return domain_in(name.decode()) if name.isascii() and b":" not in port else ""
