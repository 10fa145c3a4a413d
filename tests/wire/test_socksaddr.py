"""gproxy.wire.socksaddr, beyond the laws of its Decode (laws_socksaddr)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import Unsupported
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import address_from_packed, decode_address, encode_address


def test_an_unknown_type_is_told_apart_at_its_first_octet():
    with pytest.raises(Unsupported) as caught:
        decode_address(Cursor(b"\x02"))
    assert caught.value.reason == "address"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        (b"127.0.0.1", IPv4Address("127.0.0.1")),
        (b"::1", IPv6Address("::1")),
        (b"[2001:db8::1]", IPv6Address("2001:db8::1")),
        (b"::ffff:192.0.2.1", IPv4Address("192.0.2.1")),
        (b"EXAMPLE.Com.", "example.com"),
        (b"_sip._tcp.example.com", "_sip._tcp.example.com"),
        ("bücher.example".encode(), "xn--bcher-kva.example"),
    ],
)
def test_text_that_is_an_address_becomes_one_and_domains_are_normal(text, host):
    raw = bytes((3, len(text))) + text + b"\x01\xbb"
    assert decode_address(Cursor(raw)) == Address(host, 443)


def test_mapped_ipv6_is_ipv4():
    raw = b"\x04" + bytes(10) + b"\xff\xff\xc0\x00\x02\x01\x01\xbb"
    assert decode_address(Cursor(raw)) == Address(IPv4Address("192.0.2.1"), 443)


def test_packed_addresses_are_remembered():
    raw = bytes((127, 0, 0, 9, 0, 80))
    assert address_from_packed(raw) is address_from_packed(bytes(bytearray(raw)))


def test_a_domain_that_does_not_fit_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="range"):
        encode_address(Address("x" * 256, 1))
