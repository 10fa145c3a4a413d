"""The laws of a Decode, for the heads of gRPC's messages."""

from __future__ import annotations

from hypothesis import strategies as st

from gproxy.wire.grpc import MAX_HEAD, decode_head, encode_head
from tests.laws.registry import Law

DECODES = [
    Law(
        "grpc-head",
        decode_head,
        [
            (bytes.fromhex("00000000030a01"), 1),
            (bytes.fromhex("00000000810a7f"), 127),
            (bytes.fromhex("00000000830a8001"), 128),
            (bytes.fromhex("00000040040a808001"), 16384),
            (bytes.fromhex("00002000050a80808001"), 1 << 21),
        ],
        MAX_HEAD,
        wrong=[
            b"\1",
            b"\0\0\0\0\3\x12",
            b"\0\0\0\0\3\x08\1",
            b"\0\0\0\0\4\x0a\1",
            b"\0\0\0\0\2\x0a\1",
            b"\0\0\0\0\3\x0a\xff\xff\xff\xff\xff",
            b"\0\0\0\0\1\x0a\0",
            b"HTTP/1.1",
        ],
        encode=encode_head,
        values=st.integers(1, (1 << 32) - 7),
    )
]
