"""The laws of Decodes, for both versions of the PROXY protocol."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.wire.proxyproto import (
    MAX_HEADER,
    MAX_V1,
    MAX_V2_BODY,
    NOBODY,
    SIGNATURE,
    ProxyHeader,
    decode_proxy_header,
    decode_v1,
    encode_v1,
    encode_v2,
)
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import ips

V4 = ProxyHeader(Address(IPv4Address("192.0.2.1"), 56324), Address(IPv4Address("198.51.100.2"), 443))
V6 = ProxyHeader(Address(IPv6Address("2001:db8::1"), 1), Address(IPv6Address("2001:db8::2"), 65535))
MOST = ProxyHeader(*[Address(IPv6Address("ffff:" * 7 + "ffff"), 65535)] * 2)
V2_TCP4 = SIGNATURE + b"\x21\x11\x00\x0c" + b"\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
V2_UDP6 = (
    SIGNATURE
    + b"\x21\x22\x00\x24"
    + IPv6Address("2001:db8::1").packed
    + IPv6Address("2001:db8::2").packed
    + b"\x00\x01\xff\xff"
)

VERSION_1 = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", V4),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", V6),
    (b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", MOST),
    (b"PROXY UNKNOWN\r\n", NOBODY),
]
WITH_TLV = SIGNATURE + b"\x21\x11\x00\x0f" + V2_TCP4[16:] + b"\x04\x00\x00"
VERSION_2 = [
    (V2_TCP4, V4),
    (V2_UDP6, V6._replace(network="udp")),
    (WITH_TLV, V4),
    (SIGNATURE + b"\x21\x11" + MAX_V2_BODY.to_bytes(2, "big") + V2_TCP4[16:] + bytes(MAX_V2_BODY - 12), V4),
    (SIGNATURE + b"\x20\x00\x00\x00", NOBODY),  # LOCAL
    (SIGNATURE + b"\x20\x11\x00\x02ab", NOBODY),  # LOCAL, with a block that is to be skipped
    (SIGNATURE + b"\x21\x00\x00\x03abc", NOBODY),  # an unspecified family
    (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), NOBODY),  # unix sockets
    (SIGNATURE + b"\x21\x10\x00\x0c" + bytes(12), NOBODY),  # IPv4 with an unspecified protocol
]
FOREIGN = [b"G", b"GET / HTTP/1.1\r\n", b"\x05", b"PRO ", b"PROXX", b"\r\n\r\n\0\r\nQUIX", b"\r\n\r\r"]
BAD_LINES = [
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
    b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
    b"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
    b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
    b"PROXY TCP4 localhost localhost 1 2\r\n",
    b"PROXY TCP4 \xb9\xb2\xb3 198.51.100.2 1 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 \xb2 2\r\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n\r\n",
    b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 15) + b"\r\n",
]
BAD_HEADS = [
    SIGNATURE + head + bytes(256)
    for head in (
        b"\x11\x11\x00\x0c",  # version 1 in binary
        b"\x31\x11\x00\x0c",
        b"\x22\x11\x00\x0c",  # no such command
        b"\x21\x41\x00\x0c",  # no such family
        b"\x21\x13\x00\x0c",  # no such protocol
        b"\x21\x11\x00\x0b",  # shorter than its addresses
        b"\x21\x21\x00\x23",
        b"\x21\x31\x00\xd7",
        b"\x21\x11" + (MAX_V2_BODY + 1).to_bytes(2, "big"),
    )
]


def write_1(header: ProxyHeader) -> bytes:
    return encode_v1(header.source, header.destination)


def write_2(header: ProxyHeader) -> bytes:
    return encode_v2(*header)


ends = st.builds(Address, ips, st.integers(0, 65535))

DECODES = [
    Law(
        "proxy-protocol-1",
        decode_v1,
        VERSION_1,
        MAX_V1,
        wrong=[*FOREIGN, *BAD_LINES],
        encode=write_1,
        values=st.builds(ProxyHeader, ends, ends, st.just("tcp")),
    ),
    Law(
        "proxy-protocol",
        decode_proxy_header,
        [*VERSION_2, *VERSION_1],
        MAX_HEADER,
        wrong=[*FOREIGN, *BAD_LINES, *BAD_HEADS],
        encode=write_2,
        canonical=False,
        values=st.builds(ProxyHeader, ends, ends, st.sampled_from(["tcp", "udp"])),
    ),
]
