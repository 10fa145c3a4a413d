"""NTP 3 and 4 (RFC 5905 section 7.3): a client's datagram.

leap 2 bits, version 3, mode 3: 3, client | stratum, poll, precision 3 | root delay 4 | root dispersion 4 | … 36
"""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor

_LEAST = 48
_VERSIONS = (3, 4)
_CLIENT = 3
_FARTHEST = 16 << 16  # seconds, in 1/65536
_FOUND = Sniffed("ntp")


def sniff_ntp(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    packet = cursor.rest()
    if len(packet) < _LEAST or packet[0] & 7 != _CLIENT or packet[0] >> 3 & 7 not in _VERSIONS:
        raise no("NTP")
    if max(int.from_bytes(packet[4:8], "big"), int.from_bytes(packet[8:12], "big")) > _FARTHEST:
        raise no("NTP")
    return _FOUND
