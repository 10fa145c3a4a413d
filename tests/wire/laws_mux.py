"""The laws of Decodes, for sing-mux."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.wire.mux import (
    MAX_ANSWER,
    MAX_REQUEST,
    MAX_STREAM_REQUEST,
    Kind,
    Request,
    StreamRequest,
    decode_agreement,
    decode_answer,
    decode_rate,
    decode_request,
    decode_stream_request,
    encode_agreement,
    encode_answer,
    encode_rate,
    encode_request,
    encode_stream_request,
)
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses

V4 = Address(IPv4Address("192.0.2.1"), 443)
V6 = Address(IPv6Address("2001:db8::1"), 53)
LONG = "é" * 100

DECODES = [
    Law(
        "mux-request",
        decode_request,
        [
            (b"\x00\x00", Request(Kind.SMUX, False)),
            (b"\x00\x02", Request(Kind.H2MUX, False)),
            (b"\x01\x01\x00", Request(Kind.YAMUX, False)),
            (b"\x01\x01\x01\x00\x03abc", Request(Kind.YAMUX, True)),
            (b"\x01\x00\x01\xff\xff" + bytes(65535), Request(Kind.SMUX, True)),
        ],
        MAX_REQUEST,
        wrong=[b"\x02", b"\xff", b"\x00\x03", b"\x01\xff"],
        encode=encode_request,
        values=st.builds(Request, st.sampled_from(Kind), st.booleans()),
        canonical=False,
    ),
    Law(
        "mux-stream-request",
        decode_stream_request,
        [
            (b"\x00\x00\x01\xc0\x00\x02\x01\x01\xbb", StreamRequest(V4)),
            (b"\x00\x01\x01\xc0\x00\x02\x01\x01\xbb", StreamRequest(V4, datagrams=True)),
            (b"\x00\x03\x04" + V6.host.packed + b"\x00\x35", StreamRequest(V6, datagrams=True, addressed=True)),
        ],
        MAX_STREAM_REQUEST,
        wrong=[b"\x00\x00\x02", b"\x00\x00\x03\x03a b\x00\x50"],
        encode=encode_stream_request,
        values=st.builds(StreamRequest, addresses, st.just(False), st.just(False))
        | st.builds(StreamRequest, addresses, st.just(True), st.booleans()),
    ),
    Law(
        "mux-answer",
        decode_answer,
        [
            (b"\x00", None),
            (b"\x01\x00", ""),
            (b"\x01\x07refused", "refused"),
            (b"\x01\xc8\x01" + LONG.encode(), LONG),
        ],
        MAX_ANSWER,
        wrong=[b"\x01\xff\xff\x7f", b"\x01" + b"\xff" * 10, b"\x01\x81\x20"],
        encode=encode_answer,
        values=st.none() | st.text(max_size=1000),
    ),
    Law(
        "mux-rate",
        decode_rate,
        [(bytes(8), 0), (b"\x00\x00\x00\x00\x00\x01\x00\x00", 65536)],
        8,
        encode=encode_rate,
        values=st.integers(0, (1 << 64) - 1),
    ),
    Law(
        "mux-agreement",
        decode_agreement,
        [(b"\x01" + bytes(8), 0), (b"\x00\x02no", "no")],
        MAX_ANSWER,
        wrong=[b"\x00\xff\xff\x7f"],
        encode=encode_agreement,
        values=st.integers(0, (1 << 64) - 1) | st.text(max_size=1000),
    ),
]
