"""The laws of Decodes, for UDP over TCP."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.wire.uot import (
    MAX_FRAME,
    MAX_REQUEST,
    Frame,
    Request,
    decode_connected,
    decode_frame,
    decode_request,
    encode_connected,
    encode_frame,
    encode_request,
)
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses

V4 = Address(IPv4Address("192.0.2.1"), 443)
V6 = Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
V6_WIRE = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x35"

REQUESTS = [
    (b"\x00\x01\xc0\x00\x02\x01\x01\xbb", Request(False, V4)),
    (b"\x01\x04" + V6_WIRE, Request(True, V6)),
    (b"\x01\x03\x0bexample.com\x00\x50", Request(True, NAME)),
]

FRAMES = [
    (b"\x00\xc0\x00\x02\x01\x01\xbb\x00\x04ping", Frame(V4, b"ping")),
    (b"\x01" + V6_WIRE + b"\x00\x00", Frame(V6, b"")),
    (b"\x02\x0bexample.com\x00\x50\x00\x01x", Frame(NAME, b"x")),
    (b"\x00\xc0\x00\x02\x01\x01\xbb\xff\xff" + b"y" * 65535, Frame(V4, b"y" * 65535)),
]

BAD_NAMES = [bytes((len(text),)) + text + b"\x01\xbb" for text in (b"", b".", b"a..b", b"a b", b"\xff", b"1.2.3.300")]

payloads = st.binary(max_size=2000)

DECODES = [
    Law(
        "uot-request",
        decode_request,
        REQUESTS,
        MAX_REQUEST,
        wrong=[b"\x00\x00", b"\x00\x02", b"\x01\x05", *(b"\x00\x03" + name for name in BAD_NAMES)],
        encode=encode_request,
        values=st.builds(Request, st.booleans(), addresses),
    ),
    Law(
        "uot-frame",
        decode_frame,
        FRAMES[:3],
        MAX_FRAME,
        wrong=[b"\x03", b"\x04", b"\xff", *(b"\x02" + name for name in BAD_NAMES)],
        encode=encode_frame,
        values=st.builds(Frame, addresses, payloads),
    ),
    Law(
        "uot-connected",
        decode_connected,
        [(b"\x00\x00", b""), (b"\x00\x04ping", b"ping")],
        2 + 65535,
        encode=encode_connected,
        values=payloads,
    ),
]
