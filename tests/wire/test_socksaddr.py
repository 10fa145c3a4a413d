"""gproxy.wire.socksaddr: RFC 1928 section 5, byte for byte."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.socksaddr import MAX_ADDRESS, address_from_packed, decode_address, encode_address

V4 = Address(IPv4Address("192.0.2.1"), 443)
V6 = Address(IPv6Address("2001:db8::1"), 65535)
NAME = Address("example.com", 80)

WRITTEN = [
    (V4, b"\x01\xc0\x00\x02\x01\x01\xbb"),
    (V6, b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\xff\xff"),
    (NAME, b"\x03\x0bexample.com\x00\x50"),
    (Address("a" * 63 + "." + "b" * 63 + "." + "c" * 63 + "." + "d" * 61, 1), None),
]


@pytest.mark.parametrize(("address", "raw"), WRITTEN[:3])
def test_bytes_on_the_wire(address, raw):
    assert encode_address(address) == raw
    assert decode_address(Cursor(raw)) == address


@pytest.mark.parametrize("address", [address for address, _ in WRITTEN])
def test_round_trip_uses_exactly_its_own_bytes(address):
    raw = encode_address(address)
    cursor = Cursor(b"ab" + raw + b"payload", 2)
    assert decode_address(cursor) == address
    assert cursor.rest() == b"payload"
    assert len(raw) <= MAX_ADDRESS


@pytest.mark.parametrize("address", [address for address, _ in WRITTEN])
def test_every_prefix_asks_for_more(address):
    raw = encode_address(address)
    for size in range(len(raw)):
        with pytest.raises(Incomplete):
            decode_address(Cursor(raw[:size]))


@pytest.mark.parametrize("kind", [0, 2, 5, 0x83, 255])
def test_unknown_type_is_told_apart_at_its_first_octet(kind):
    with pytest.raises(Unsupported) as caught:
        decode_address(Cursor(bytes((kind,))))
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


@pytest.mark.parametrize(
    "text",
    [b"", b".", b"a..b", b"-" * 64, b"a b", b"a\0b", b"a\r\nb", b"\xff\xfe", b"x" * 255, b"1.2.3.300", b"a/b", b"a:80"],
)
def test_what_is_no_domain_is_refused(text):
    with pytest.raises(ProtocolError):
        decode_address(Cursor(bytes((3, len(text))) + text + b"\x01\xbb"))


def test_mapped_ipv6_is_ipv4():
    raw = b"\x04" + bytes(10) + b"\xff\xff\xc0\x00\x02\x01\x01\xbb"
    assert decode_address(Cursor(raw)) == V4


def test_packed_addresses_are_remembered():
    raw = bytes((127, 0, 0, 9, 0, 80))
    assert address_from_packed(raw) is address_from_packed(bytes(bytearray(raw)))


def test_a_domain_that_does_not_fit_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="range"):
        encode_address(Address("x" * 256, 1))


@given(st.binary(max_size=MAX_ADDRESS + 20))
def test_any_bytes_have_one_of_three_outcomes(raw):
    try:
        address = decode_address(Cursor(raw))
    except (Incomplete, ProtocolError):
        return
    assert decode_address(Cursor(encode_address(address))) == address


@given(st.ip_addresses(), st.integers(0, 65535))
def test_ip_addresses_come_back(ip, port):
    decoded = decode_address(Cursor(encode_address(Address(ip, port))))
    assert decoded == Address(getattr(ip, "ipv4_mapped", None) or ip, port)
