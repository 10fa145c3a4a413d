"""The laws of a Decode, for QUIC's Initial packets, and what they are made of."""

from __future__ import annotations

from gproxy.wire.cursor import Cursor
from gproxy.wire.quicinitial import (
    DRAFT_29,
    VERSION_1,
    VERSION_2,
    Frame,
    Head,
    client_keys,
    decode_head,
    decode_number,
    encode_number,
    frames,
    seal_packet,
)
from tests.laws.registry import Law

ID = bytes.fromhex("8394c8f03e515708")


def sealed(payload: bytes, version: int = VERSION_1, number: int = 2, source: bytes = b"", token: bytes = b"") -> bytes:
    """A client's packet."""
    head = Head(version, ID, source, token, 0, 0, 0)
    return seal_packet(head, number, payload, client_keys(version, ID))


def crypto(offset: int, data: bytes) -> bytes:
    """A frame with a piece of the handshake."""
    return b"\x06" + encode_number(offset) + encode_number(len(data)) + data


def all_frames(cursor: Cursor) -> tuple[Frame, ...]:
    """A Decode of a whole payload."""
    return tuple(frames(cursor.rest()))


def what_is_clear(cursor: Cursor) -> tuple[object, ...]:
    """A Decode of a packet's head, without places in the buffer."""
    head = decode_head(cursor)
    assert head.end == cursor.at
    return head.version, head.destination, head.source, head.token, head.end - head.number_at


def _head(packet: bytes, version: int, source: bytes = b"", token: bytes = b"") -> tuple[bytes, tuple[object, ...]]:
    return packet, (version, ID, source, token, 4 + 3 + 16)


PLAIN = sealed(b"\x01\0\0")
DECODES = [
    Law(
        "quic-number",
        decode_number,
        [
            (b"\x25", 37),
            (b"\x7b\xbd", 15293),
            (b"\x9d\x7f\x3e\x7d", 494878333),
            (b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", 151288809941952652),
        ],
        8,
        encode=encode_number,
    ),
    Law(
        "quic-frames",
        all_frames,
        [
            (b"\0\0\0\1", (Frame(0, 3), Frame(1, 1))),
            (crypto(70, b"abc") + b"\0", (Frame(6, 7, 70, b"abc"), Frame(0, 1))),
            (b"\x02\5\0\1\2\3\4", (Frame(2, 7),)),
            (b"\x03\5\0\0\2\1\2\3", (Frame(3, 8),)),
            (b"\x1c\7\6\2no", (Frame(0x1C, 6),)),
        ],
        1500,
        wrong=[b"\x08\0", b"\0\1\x04", b"\x02\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0"],
        closed_by_end=True,
    ),
    Law(
        "quic-initial-head",
        what_is_clear,
        [
            _head(PLAIN, VERSION_1),
            _head(sealed(b"\x01\0\0", VERSION_2), VERSION_2),
            _head(sealed(b"\x01\0\0", DRAFT_29, source=b"abcd", token=b"t"), DRAFT_29, b"abcd", b"t"),
        ],
        1 << 18,
        wrong=[
            b"\x40" + PLAIN[1:],  # a short header
            b"\x80" + PLAIN[1:],  # the fixed bit
            b"\xd0" + PLAIN[1:],  # 0-RTT
            b"\xc0\0\0\0\x02",  # a version that nobody has
            b"\xc0\0\0\0\0",  # the negotiation of one
            b"\xc0\x6b\x33\x43\xcf",  # a Retry of version 2
            b"\xc0\0\0\0\x01\x15",  # a connection id that is too long
            b"\xc0\0\0\0\x01\0\x15",
            b"\xc0\0\0\0\x01\0\0\x80\1\0\0",  # a token that no datagram holds
            b"\xc0\0\0\0\x01\0\0\0\x13",  # nothing to make the mask of
            b"\xc0\0\0\0\x01\0\0\0\x80\1\0\0",  # more than a datagram holds
        ],
    ),
]  # fmt: skip
