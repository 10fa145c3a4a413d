"""BitTorrent: the handshake of peers (BEP 3), uTP (BEP 29), and what a tracker is first told by UDP (BEP 15).

handshake   13 | "BitTorrent protocol" | …
uTP         type 4 bits, version 4 bits | extension | connection 2 | times 8 | window 4 | numbers 4
            ( next extension | length | … ) while there is an extension
tracker     00 00 04 17 27 10 19 80 | action 4: 0, connect | transaction 4
"""

from __future__ import annotations

from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import no
from gproxy.wire.cursor import Cursor, Incomplete

_GREETING = b"\x13BitTorrent protocol"
_TRACKER = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0"
_TRACKER_LEAST = 16
_UTP_HEAD = 20
_UTP_TYPES = 4
_UTP_EXTENSIONS = 4  # kinds
_MOST_EXTENSIONS = 16  # more than anybody sends
# Its first message is a uTP packet like any other; in uTP itself nothing comes for connection 0.
_WIREGUARD = b"\x01\0\0\0"
_WIREGUARD_INITIATION = 148
_FOUND = Sniffed("bittorrent")


def sniff_handshake(cursor: Cursor) -> Sniffed:
    """A Decode for what a peer says first on a stream."""
    start = bytes(cursor.data[cursor.at : cursor.at + len(_GREETING)])
    if not _GREETING.startswith(start):
        raise no("BitTorrent")
    cursor.take(len(_GREETING))
    return _FOUND


def sniff_utp(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    packet = Cursor(cursor.rest())
    if packet.left() < _UTP_HEAD or packet.data[0] & 0xF != 1 or packet.data[0] >> 4 > _UTP_TYPES:
        raise no("uTP")
    if packet.left() == _WIREGUARD_INITIATION and packet.data.startswith(_WIREGUARD):
        raise no("uTP")
    extension = packet.data[1]
    packet.at = _UTP_HEAD
    try:
        for _ in range(_MOST_EXTENSIONS):
            if not extension:
                return _FOUND
            extension, length = packet.u8(), packet.u8()
            if extension > _UTP_EXTENSIONS:
                raise no("uTP")
            packet.at += length
    except Incomplete:
        pass
    raise no("uTP")


def sniff_tracker(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    packet = cursor.rest()
    if len(packet) < _TRACKER_LEAST or not packet.startswith(_TRACKER):
        raise no("a tracker's UDP")
    return _FOUND
