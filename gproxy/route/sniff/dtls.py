"""DTLS 1.0 and 1.2 (RFC 6347 section 4.1): a datagram that begins with a record.

type 1: 20 to 23, 25 | FE FF or FE FD | epoch 2 | number 6 | length 2 | …
"""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor

_HEAD = 13
_TYPES = b"\x14\x15\x16\x17\x19"
_VERSIONS = (b"\xfe\xff", b"\xfe\xfd")
_FOUND = Sniffed("dtls")


def sniff_dtls(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    record = cursor.rest()
    if len(record) < _HEAD or record[0] not in _TYPES or record[1:3] not in _VERSIONS:
        raise no("DTLS")
    return _FOUND
