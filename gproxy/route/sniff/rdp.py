"""RDP, by the client's connection request: [MS-RDPBCGR] section 2.2.1.1, with the 19 octets that it has without a
cookie.

    03 00 | 00 13 | 0E | E0 | references 4, class 1 | 01 | flags 1 | length 2: 08 00 | protocols 4
"""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor

_START = b"\x03\0\0\x13\x0e\xe0"
_ANY = 5
_REQUEST = 1
_LENGTH = 8
_FOUND = Sniffed("rdp")


def sniff_rdp(cursor: Cursor) -> Sniffed:
    """A Decode for as much of the request as tells it."""
    start = bytes(cursor.data[cursor.at : cursor.at + len(_START)])
    if not _START.startswith(start):
        raise no("RDP")
    cursor.take(len(_START) + _ANY)
    if cursor.u8() != _REQUEST:
        raise no("RDP")
    cursor.u8()
    if cursor.u8() != _LENGTH:
        raise no("RDP")
    return _FOUND
