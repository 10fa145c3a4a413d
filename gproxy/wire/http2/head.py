"""The heads of HTTP/2's requests and answers (RFC 9113 section 8): what they say, and the rules that they keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

_NAME_OCTETS: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_CONNECTION_FIELDS: Final = frozenset((
    b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade",
))  # fmt: skip

Lines = Sequence[tuple[bytes, bytes]]
"""Fields of a head, with names in lower case."""


class Request(NamedTuple):
    """The head of a client's stream. CONNECT has neither scheme nor path: they are empty."""

    method: bytes
    authority: bytes
    path: bytes
    fields: Lines = ()
    scheme: bytes = b"https"


class Response(NamedTuple):
    """The head of a server's answer; `trailers`, if there are any, are said at its end."""

    status: int
    fields: Lines = ()
    trailers: Lines = ()


def read_request(lines: list[tuple[bytes, bytes]]) -> Request | None:
    """The head of a request; None if it breaks the rules (sections 8.2 and 8.3)."""
    said = _sorted(lines, (b":method", b":scheme", b":authority", b":path"))
    if said is None:
        return None
    pseudo, fields = said
    method, path = pseudo.get(b":method", b""), pseudo.get(b":path", b"")
    scheme, authority = pseudo.get(b":scheme", b""), pseudo.get(b":authority", b"")
    if method == b"CONNECT":
        good = bool(authority) and not scheme and not path
    else:
        good = bool(method and scheme) and (path.startswith(b"/") or path == b"*")
    if not authority:
        authority = next((value for name, value in fields if name == b"host"), b"")
    return Request(method, authority, path, fields, scheme) if good else None


def read_response(lines: list[tuple[bytes, bytes]]) -> Response | None:
    """The head of an answer, likewise."""
    said = _sorted(lines, (b":status",))
    if said is None:
        return None
    pseudo, fields = said
    status = pseudo.get(b":status", b"")
    if len(status) != 3 or not status.isdigit() or status < b"100":
        return None
    return Response(int(status), fields)


def _sorted(
    lines: list[tuple[bytes, bytes]], allowed: Sequence[bytes]
) -> tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]] | None:
    """Pseudo-fields, each once and all first, and the fields; None if they break the rules."""
    pseudo: dict[bytes, bytes] = {}
    fields: list[tuple[bytes, bytes]] = []
    for name, value in lines:
        if name[:1] == b":":
            if fields or name in pseudo or name not in allowed:
                return None
            pseudo[name] = value
        elif not name or not _NAME_OCTETS.issuperset(name) or name in _CONNECTION_FIELDS:
            return None
        else:
            fields.append((name, value))
        if b"\r" in value or b"\n" in value or b"\0" in value:
            return None
    return pseudo, fields
