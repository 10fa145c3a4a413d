"""DNS, by a client's query (RFC 1035): a datagram, or a message behind its length. It tells no domain.

length 2 (streams) | id 2 | flags 2 | questions 2 | answers 2 | authorities 2 | additional 2 | …
"""

from __future__ import annotations

from gproxy.base.errors import ProtocolError
from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import MOST, no
from gproxy.wire.cursor import Cursor
from gproxy.wire.dns.name import skip_name

_HEAD = 12
_FOUND = Sniffed("dns")


def sniff_dns_stream(cursor: Cursor) -> Sniffed:
    """A Decode for the first message of a stream."""
    length = cursor.u16()
    if not _HEAD < length <= MOST:
        raise no("DNS")
    _judge_head(bytes(cursor.data[cursor.at : cursor.at + min(length, _HEAD)]))
    _judge(cursor.take(length))
    return _FOUND


def sniff_dns_packet(cursor: Cursor) -> Sniffed:
    """A Decode for a datagram."""
    message = cursor.rest()
    if len(message) <= _HEAD:
        raise no("DNS")
    _judge_head(message[:_HEAD])
    _judge(message)
    return _FOUND


def _judge_head(head: bytes) -> None:
    """As much of it as there is: it is a query, with questions, and answers nothing."""
    if len(head) > 2 and head[2] & 0x80:
        raise no("DNS")
    if len(head) > 5 and not any(head[4:6]):
        raise no("DNS")
    if any(head[6:10]):
        raise no("DNS")


def _judge(message: bytes) -> None:
    """Raises ProtocolError unless the questions and all that is additional lie in it."""
    at = _HEAD
    try:
        for _ in range(int.from_bytes(message[4:6], "big")):
            at = _within(message, skip_name(message, at) + 4)
        for _ in range(int.from_bytes(message[10:12], "big")):
            if at == len(message):  # there are fewer than it says
                return
            at = _within(message, skip_name(message, at) + 10)
            at = _within(message, at + int.from_bytes(message[at - 2 : at], "big"))
    except ProtocolError:
        raise no("DNS") from None


def _within(message: bytes, at: int) -> int:
    if at > len(message):
        raise no("DNS")
    return at
