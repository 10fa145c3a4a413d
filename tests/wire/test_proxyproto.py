"""gproxy.wire.proxyproto, beyond the laws of its Decodes (laws_proxyproto)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import TooLarge
from gproxy.wire.cursor import Cursor
from gproxy.wire.proxyproto import (
    MAX_V1,
    MAX_V2_BODY,
    NOBODY,
    SIGNATURE,
    ProxyHeader,
    decode_proxy_header,
    encode_v1,
    encode_v2,
)

V4, V6 = Address(IPv4Address("192.0.2.1"), 56324), Address(IPv6Address("2001:db8::1"), 1)
OTHER4, OTHER6 = Address(IPv4Address("198.51.100.2"), 443), Address(IPv6Address("2001:db8::2"), 65535)


def test_what_unknown_lines_say_is_not_looked_at():
    for line in (b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 16) + b"\r\n", b"PROXY UNKNOWN ffff:f...f:ffff 65535\r\n"):
        assert decode_proxy_header(Cursor(line)) == NOBODY


@pytest.mark.parametrize(
    "raw",
    [
        b"PROXY UNKNOWN " + b"x" * (MAX_V1 - 15) + b"\r\n",
        SIGNATURE + b"\x21\x11" + (MAX_V2_BODY + 1).to_bytes(2, "big"),
    ],
)
def test_lengths_are_bounded_before_anything_is_waited_for(raw):
    with pytest.raises(TooLarge):
        decode_proxy_header(Cursor(raw))


def test_two_families_become_ipv6():
    mapped = b"\0" * 10 + b"\xff\xff" + OTHER4.host.packed
    assert encode_v2(V6, OTHER4)[16:48] == V6.host.packed + mapped
    for raw in (encode_v1(V4, OTHER6), encode_v2(V4, OTHER6)):
        assert decode_proxy_header(Cursor(raw)) == ProxyHeader(V4, OTHER6)


@pytest.mark.parametrize(
    "pair", [(None, V4), (V4, None), (V4, Address("example.com", 1)), (Address("a.example", 1), V6)]
)
def test_without_two_ip_addresses_nobody_is_named(pair):
    assert encode_v1(*pair) == b"PROXY UNKNOWN\r\n"
    for raw in (encode_v1(*pair), encode_v2(*pair)):
        assert decode_proxy_header(Cursor(raw)) == NOBODY
