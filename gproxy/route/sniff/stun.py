"""STUN (RFC 8489 section 5): a datagram with the magic cookie.

type 2 | length 2, of what follows | 21 12 A4 42 | transaction 12 | …
"""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor

_HEAD = 20
_COOKIE = b"\x21\x12\xa4\x42"
_FOUND = Sniffed("stun")


def sniff_stun(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    message = cursor.rest()
    if len(message) < _HEAD + int.from_bytes(message[2:4], "big") or message[4:8] != _COOKIE:
        raise no("STUN")
    return _FOUND
