"""gproxy.wire.proxyproto: both versions, strictly."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.proxyproto import (
    MAX_HEADER,
    MAX_V1,
    MAX_V2_BODY,
    NOBODY,
    SIGNATURE,
    ProxyHeader,
    decode_proxy_header,
    encode_v1,
    encode_v2,
)

V4, OTHER4 = Address(IPv4Address("192.0.2.1"), 56324), Address(IPv4Address("198.51.100.2"), 443)
V6, OTHER6 = Address(IPv6Address("2001:db8::1"), 1), Address(IPv6Address("2001:db8::2"), 65535)
MAPPED4 = b"\0" * 10 + b"\xff\xff"

V2_TCP4 = SIGNATURE + b"\x21\x11\x00\x0c" + b"\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb"
V2_UDP6 = SIGNATURE + b"\x21\x22\x00\x24" + V6.host.packed + OTHER6.host.packed + b"\x00\x01\xff\xff"

WRITTEN = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", ProxyHeader(V4, OTHER4)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", ProxyHeader(V6, OTHER6)),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", None),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", NOBODY),
    (V2_TCP4, ProxyHeader(V4, OTHER4)),
    (V2_UDP6, ProxyHeader(V6, OTHER6, "udp")),
    (SIGNATURE + b"\x21\x11\x00\x0f" + V2_TCP4[16:] + b"\x04\x00\x00", ProxyHeader(V4, OTHER4)),  # with a NOOP TLV
    (SIGNATURE + b"\x20\x00\x00\x00", NOBODY),  # LOCAL
    (SIGNATURE + b"\x20\x11\x00\x02ab", NOBODY),  # LOCAL, and a block that is to be skipped
    (SIGNATURE + b"\x21\x00\x00\x03abc", NOBODY),  # unspecified
    (SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216), NOBODY),  # a unix socket
    (SIGNATURE + b"\x21\x10\x00\x0c" + bytes(12), NOBODY),  # IPv4, unspecified protocol
]


@pytest.mark.parametrize(("raw", "header"), [row for row in WRITTEN if row[1] is not None])
def test_headers(raw, header):
    cursor = Cursor(raw + b"payload")
    assert decode_proxy_header(cursor) == header
    assert cursor.rest() == b"payload"


@pytest.mark.parametrize("raw", [raw for raw, _ in WRITTEN])
def test_every_prefix_asks_for_more(raw):
    for size in range(len(raw)):
        with pytest.raises(Incomplete):
            decode_proxy_header(Cursor(raw[:size]))


@pytest.mark.parametrize(
    "raw", [b"G", b"GET / HTTP/1.1\r\n", b"\x05", b"PRO ", b"PROXX", b"\r\n\r\n\0\r\nQUIX", b"\r\n\r\r"]
)
def test_anything_else_is_refused_at_the_first_octet_that_differs(raw):
    with pytest.raises(ProtocolError):
        decode_proxy_header(Cursor(raw))


@pytest.mark.parametrize(
    "line",
    [
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
    ],
)
def test_bad_lines(line):
    with pytest.raises(ProtocolError):
        decode_proxy_header(Cursor(line))


@pytest.mark.parametrize(
    "head",
    [
        b"\x11\x11\x00\x0c",  # version 1 in binary
        b"\x31\x11\x00\x0c",
        b"\x22\x11\x00\x0c",  # no such command
        b"\x21\x41\x00\x0c",  # no such family
        b"\x21\x13\x00\x0c",  # no such protocol
        b"\x21\x11\x00\x0b",  # shorter than its addresses
        b"\x21\x21\x00\x23",
        b"\x21\x31\x00\xd7",
    ],
)
def test_bad_binary_headers(head):
    with pytest.raises(ProtocolError):
        decode_proxy_header(Cursor(SIGNATURE + head + bytes(256)))


def test_lengths_are_bounded_before_anything_is_waited_for():
    longest = b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 16) + b"\r\n"
    assert len(longest) == MAX_V1
    assert decode_proxy_header(Cursor(longest)) == NOBODY
    with pytest.raises(TooLarge):
        decode_proxy_header(Cursor(b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 15) + b"\r\n"))
    with pytest.raises(TooLarge):
        decode_proxy_header(Cursor(SIGNATURE + b"\x21\x11" + (MAX_V2_BODY + 1).to_bytes(2, "big")))
    filled = SIGNATURE + b"\x21\x11" + MAX_V2_BODY.to_bytes(2, "big") + V2_TCP4[16:] + bytes(MAX_V2_BODY - 12)
    assert len(filled) == MAX_HEADER
    assert decode_proxy_header(Cursor(filled)).source == V4


def test_version_1_is_written_as_the_specification_says():
    assert encode_v1(V4, OTHER4) == b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
    assert encode_v1(V6, OTHER6) == b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"


def test_version_2_is_written_as_the_specification_says():
    assert encode_v2(V4, OTHER4) == V2_TCP4
    assert encode_v2(V6, OTHER6, "udp") == V2_UDP6


def test_two_families_become_ipv6():
    assert decode_proxy_header(Cursor(encode_v1(V4, OTHER6))) == ProxyHeader(V4, OTHER6)
    assert encode_v2(V6, OTHER4)[16:48] == V6.host.packed + MAPPED4 + OTHER4.host.packed
    assert decode_proxy_header(Cursor(encode_v2(V6, OTHER4))) == ProxyHeader(V6, OTHER4)


@pytest.mark.parametrize(
    "pair", [(None, V4), (V4, None), (V4, Address("example.com", 1)), (Address("a.example", 1), V6)]
)
def test_without_two_ip_addresses_nobody_is_named(pair):
    assert encode_v1(*pair) == b"PROXY UNKNOWN\r\n"
    for raw in (encode_v1(*pair), encode_v2(*pair)):
        assert decode_proxy_header(Cursor(raw)) == NOBODY


addresses = st.builds(Address, st.ip_addresses(), st.integers(0, 65535))


@given(addresses, addresses, st.sampled_from(["tcp", "udp"]))
def test_round_trip(source, destination, network):
    def plain(address):
        return Address(getattr(address.host, "ipv4_mapped", None) or address.host, address.port)

    expected = ProxyHeader(plain(source), plain(destination), network)
    assert decode_proxy_header(Cursor(encode_v2(source, destination, network))) == expected
    line = encode_v1(source, destination)
    assert len(line) <= MAX_V1
    assert decode_proxy_header(Cursor(line)) == expected._replace(network="tcp")


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: SIGNATURE + tail),
                 st.binary(max_size=120).map(lambda tail: b"PROXY TCP" + tail)))  # fmt: skip
def test_any_bytes_have_one_of_three_outcomes(raw):
    try:
        decode_proxy_header(Cursor(raw))
    except (Incomplete, ProtocolError):
        pass
