"""The laws of Decodes, for Trojan."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.protocol.trojan import wire
from gproxy.protocol.trojan.wire import Packet, Request
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
V4_BYTES, V6_BYTES = b"\x01\xc0\x00\x02\x01\x01\xbb", b"\x04" + IPv6Address("2001:db8::1").packed + b"\x00\x35"
NAME_BYTES = b"\x03\x0bexample.com\x00\x50"
BAD_NAMES = (b"\x03\x00\x00\x50", b"\x03\x03a b\x00\x50", b"\x03\x01\xff\x00\x50")
KEY = hashlib.sha224(b"password").hexdigest().encode()

keys = st.text("0123456789abcdef", min_size=56, max_size=56).map(str.encode)

DECODES = [
    Law(
        "trojan-key",
        wire.decode_key,
        [(KEY + b"\r\n", KEY), (b"0" * 56 + b"\r\n", b"0" * 56)],
        wire.MAX_OPENING,
        wrong=[
            b"G",
            b"GET / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"\x00",
            b"\r\n",
            b"abc ",
            KEY[:55] + b"\r",
            KEY[:55] + b"A",
            KEY + b"\n",
            KEY + b"\r\r",
            KEY + b"0",
        ],
        encode=wire.encode_key,
        values=keys,
    ),
    Law(
        "trojan-request",
        wire.decode_request,
        [
            (b"\x01" + V4_BYTES + b"\r\n", Request(1, V4)),
            (b"\x03" + V6_BYTES + b"\r\n", Request(3, V6)),
            (b"\x01" + NAME_BYTES + b"\r\n", Request(1, NAME)),
            (b"\x7f\x03\x08mux_conn\x00\x00\r\n", Request(0x7F, Address("mux_conn", 0))),
        ],
        wire.MAX_REQUEST,
        wrong=[
            *(bytes((command,)) for command in (0, 2, 4, 0x7E, 0xFF)),
            b"\x01\x02",
            b"\x01" + V4_BYTES + b"\n",
            b"\x03" + V4_BYTES + b"\rx",
            *(b"\x01" + name for name in BAD_NAMES),
        ],
        encode=wire.encode_request,
        values=st.builds(Request, st.sampled_from((1, 3, 0x7F)), addresses),
    ),
    Law(
        "trojan-stream-request",
        wire.decode_stream_request,
        [(b"\x01" + V4_BYTES, Request(1, V4)), (b"\x03" + V6_BYTES, Request(3, V6))],
        wire.MAX_REQUEST,
        wrong=[*(bytes((command,)) for command in (0, 2, 0x7F, 0xFF)), *(b"\x01" + name for name in BAD_NAMES)],
        encode=wire.encode_stream_request,
        values=st.builds(Request, st.sampled_from((1, 3)), addresses),
    ),
    Law(
        "trojan-packet",
        wire.decode_packet,
        [
            (V4_BYTES + b"\x00\x04\r\nping", Packet(V4, b"ping")),
            (V6_BYTES + b"\x00\x00\r\n", Packet(V6, b"")),
            (NAME_BYTES + b"\x00\x01\r\nx", Packet(NAME, b"x")),
        ],
        wire.MAX_PACKET,
        wrong=[b"\x00", b"\x02", V4_BYTES + b"\x00\x04\n", V4_BYTES + b"\xff\xff\r\r", *BAD_NAMES],
        encode=wire.encode_packet,
        values=st.builds(Packet, addresses, st.binary(max_size=2000)),
    ),
]
