"""gproxy.wire.dhcp: what a server tells, octet by octet; any octets at all get a verdict."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.dhcp import OFFER, Told, encode_discover, read_answer

MAC = bytes.fromhex("02005e001122")
COOKIE = b"\x63\x82\x53\x63"


def answer(options, head=b"\x02\x01\x06\x00\x12\x34\x56\x78"):
    return head + bytes(236 - len(head)) + COOKIE + options


def test_a_question():
    message = encode_discover(0x12345678, MAC)
    assert message[:4] == b"\x01\x01\x06\x00"
    assert message[4:8] == b"\x12\x34\x56\x78"
    assert message[10:12] == b"\x80\x00", "answers shall be broadcast"
    assert message[28:34] == MAC
    assert message[236:240] == COOKIE
    assert message[240:243] == b"\x35\x01\x01"
    assert message[-1] == 255


def test_an_offer():
    options = (
        b"\x35\x01\x02"
        b"\x00\x00"  # padding
        b"\x06\x08\xc0\x00\x02\x01\xc0\x00\x02\x02"
        b"\x0f\x09peer.test"
        b"\x33\x04\x00\x00\x0e\x10"
        b"\xff\x06\x04\x01\x02\x03\x04"  # nothing counts behind the end
    )
    servers = (ip_address("192.0.2.1"), ip_address("192.0.2.2"))
    assert read_answer(answer(options)) == Told(0x12345678, OFFER, servers, ("peer.test",), 3600)


def test_what_is_left_out():
    assert read_answer(answer(b"\x35\x01\x05\xff")) == Told(0x12345678, 5, (), (), 0)


def test_domains_with_pointers():
    search = b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"  # the example of RFC 3397
    options = b"\x35\x01\x02\x0f\x05a.lan" + b"\x77" + bytes([len(search)]) + search + b"\xff"
    assert read_answer(answer(options)).search == ("eng.apple.com", "marketing.apple.com")


def test_an_option_in_two_parts():
    options = b"\x35\x01\x02\x06\x02\xc0\x00\x06\x02\x02\x01\xff"
    assert read_answer(answer(options)).servers == (ip_address("192.0.2.1"),)


def test_domains_that_are_none():
    options = b"\x35\x01\x02\x0f\x06a b\x00\x00\x00\xff"
    assert read_answer(answer(options)).search == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        answer(b"\x35\x01\x02\xff")[:239],
        answer(b"\x35\x01\x02\xff", b"\x01"),  # a question
        answer(b"\x35\x01\x02\xff").replace(COOKIE, b"\0\0\0\0"),
        answer(b"\xff"),  # no kind
        answer(b"\x35\x02\x02\x02\xff"),
        answer(b"\x35\x01\x02\x06\x03\x01\x02\x03\xff"),  # three octets of an address
        answer(b"\x35\x01\x02\x06"),
        answer(b"\x35\x01\x02\x06\x08\x01\x02"),
        answer(b"\x35\x01\x02\x77\x02\xc0\x00\xff"),  # a pointer to itself
        answer(b"\x35\x01\x02\x77\x04\x01a\xc0\x02\xff"),
        answer(b"\x35\x01\x02\x77\x01\xc0\xff"),
        answer(b"\x35\x01\x02\x77\x02\x05a\xff"),
        answer(
            b"\x35\x01\x02" + b"\x77\xff" + b"\x01a" * 127 + b"\x01" + b"\x77\x20" + b"a" + b"\x01a" * 15 + b"\0\xff"
        ),
    ],
)
def test_what_is_no_answer(data):
    with pytest.raises(ProtocolError):
        read_answer(data)


@given(st.binary(max_size=300))
def test_any_octets(options):
    try:
        told = read_answer(answer(b"\x35\x01\x02" + options))
    except ProtocolError:
        return
    assert len(told.servers) <= 8
    assert len(told.search) <= 6
