"""gproxy.protocol.socks.wire: every message of SOCKS 4, 4a and 5."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import ProtocolError, TooLarge, Unsupported
from gproxy.protocol.socks import wire
from gproxy.protocol.socks.wire import Answer, Request
from gproxy.wire.cursor import Cursor, Incomplete

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
IPV4_BYTES, IPV6_BYTES = b"\x01\xc0\x00\x02\x01\x01\xbb", b"\x04" + V6.host.packed + b"\x00\x35"
NAME_BYTES = b"\x03\x0bexample.com\x00\x50"

MESSAGES = [
    (wire.decode_request4, b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", Request(1, V4)),
    (wire.decode_request4, b"\x04\x02\x01\xbb\xc0\x00\x02\x01me\x00", Request(2, V4, b"me")),
    (wire.decode_request4, b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00example.com\x00", Request(1, NAME, b"me")),
    (wire.decode_request4, b"\x04\x01\x00\x50\x00\x00\x00\x00\x00", Request(1, Address(IPv4Address(0), 80))),
    (wire.decode_reply4, b"\x00\x5a\x01\xbb\xc0\x00\x02\x01", Answer(90, V4)),
    (wire.decode_reply4, b"\x04\x5b\x00\x00\x00\x00\x00\x00", Answer(91)),
    (wire.decode_greeting, b"\x05\x02\x00\x02", b"\x00\x02"),
    (wire.decode_greeting, b"\x05\x00", b""),
    (wire.decode_greeting, b"\x05\xff" + bytes(range(255)), bytes(range(255))),
    (wire.decode_method, b"\x05\x02", 2),
    (wire.decode_password, b"\x01\x01u\x03pw1", (b"u", b"pw1")),
    (wire.decode_password, b"\x01\x00\x00", (b"", b"")),
    (wire.decode_password, b"\x01\xff" + b"n" * 255 + b"\xff" + b"p" * 255, (b"n" * 255, b"p" * 255)),
    (wire.decode_welcome, b"\x01\x00", True),
    (wire.decode_welcome, b"\x01\x01", False),
    (wire.decode_request5, b"\x05\x01\x00" + IPV4_BYTES, Request(1, V4)),
    (wire.decode_request5, b"\x05\x03\x00" + IPV6_BYTES, Request(3, V6)),
    (wire.decode_request5, b"\x05\x09\x07" + NAME_BYTES, Request(9, NAME)),
    (wire.decode_reply5, b"\x05\x00\x00" + IPV4_BYTES, Answer(0, V4)),
    (wire.decode_reply5, b"\x05\x00\x00" + NAME_BYTES, Answer(0, NAME)),
    (wire.decode_reply5, b"\x05\x05", Answer(5)),
    (wire.decode_datagram, b"\x00\x00\x00" + IPV4_BYTES, V4),
    (wire.decode_datagram, b"\x00\x00\x00" + IPV6_BYTES, V6),
    (wire.decode_datagram, b"\x00\x00\x00" + NAME_BYTES, NAME),
    (wire.decode_datagram, b"\x07\x07\x00" + IPV4_BYTES, V4),
]
DECODERS = sorted({row[0] for row in MESSAGES}, key=lambda decode: decode.__name__)


@pytest.mark.parametrize(("decode", "raw", "value"), MESSAGES)
def test_whole_and_with_trailing_bytes(decode, raw, value):
    cursor = Cursor(raw + b"\x00payload")
    assert decode(cursor) == value
    assert cursor.rest() == b"\x00payload"


@pytest.mark.parametrize(("decode", "raw", "value"), MESSAGES)
def test_every_prefix_asks_for_more(decode, raw, value):
    for size in range(len(raw)):
        with pytest.raises(Incomplete):
            decode(Cursor(bytearray(raw[:size])))


@pytest.mark.parametrize("decode", DECODERS)
@given(raw=st.binary(max_size=600))
def test_any_bytes_have_one_of_three_outcomes(decode, raw):
    for opening in (b"", b"\x04", b"\x05", b"\x05\x01\x00", b"\x01", b"\x00\x00\x00"):
        cursor = Cursor(opening + raw)
        try:
            decode(cursor)
        except (Incomplete, ProtocolError):
            continue
        assert cursor.at <= len(cursor.data)


@pytest.mark.parametrize("decode", [decode for decode in DECODERS if decode is not wire.decode_datagram])
def test_a_wrong_version_is_refused(decode):
    with pytest.raises(ProtocolError):
        decode(Cursor(b"\x07" + bytes(20)))


@pytest.mark.parametrize("raw", [b"\x04\x01\x00\x50\x7f\x00\x00\x01" + b"u" * 256,
                                 b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"d" * 256])  # fmt: skip
def test_the_texts_of_socks4_are_bounded(raw):
    with pytest.raises(TooLarge):
        wire.decode_request4(Cursor(raw))


def test_the_longest_message_fits_the_limit():
    longest = (
        b"\x04\x01\x00\x50\x00\x00\x00\x01" + b"u" * 255 + b"\0" + b".".join([b"d" * 63] * 3 + [b"d" * 61]) + b"\0"
    )
    assert wire.decode_request4(Cursor(longest)).userid == b"u" * 255
    assert len(longest) < wire.MAX_MESSAGE


@pytest.mark.parametrize("domain", [b"", b"a b", b"\xff", b"a..b"])
def test_a_bad_domain_of_socks4a(domain):
    with pytest.raises(ProtocolError):
        wire.decode_request4(Cursor(b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + domain + b"\x00"))


def test_socks4a_with_the_text_of_an_ip_address():
    raw = b"\x04\x01\x00\x35\x00\x00\x00\x01\x002001:db8::1\x00"
    assert wire.decode_request4(Cursor(raw)).target == V6
    assert wire.encode_request4(1, V6) == raw


def test_a_fragment_is_told_apart():
    with pytest.raises(Unsupported) as caught:
        wire.decode_datagram(Cursor(b"\x00\x00\x01" + IPV4_BYTES))
    assert caught.value.reason == "fragment"


def test_what_is_written():
    assert wire.encode_request4(1, V4, b"me") == b"\x04\x01\x01\xbb\xc0\x00\x02\x01me\x00"
    assert wire.encode_request4(1, NAME, b"me") == b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00example.com\x00"
    assert wire.encode_reply4(90, V4) == b"\x00\x5a\x01\xbb\xc0\x00\x02\x01"
    assert wire.encode_reply4(90, V6) == wire.encode_reply4(90, NAME) == b"\x00\x5a" + bytes(6)
    assert wire.encode_reply4(91) == b"\x00\x5b" + bytes(6)
    assert wire.encode_greeting(2) == b"\x05\x01\x02"
    assert wire.encode_method(0xFF) == b"\x05\xff"
    assert wire.encode_password(b"u", b"pw1") == b"\x01\x01u\x03pw1"
    assert wire.encode_welcome(True) == b"\x01\x00"
    assert wire.encode_welcome(False) == b"\x01\x01"
    assert wire.encode_request5(1, NAME) == b"\x05\x01\x00" + NAME_BYTES
    assert wire.encode_reply5(0, V6) == b"\x05\x00\x00" + IPV6_BYTES
    assert wire.encode_reply5(7) == b"\x05\x07\x00\x01" + bytes(6)
    assert wire.encode_datagram_head(V4) == b"\x00\x00\x00" + IPV4_BYTES


def test_credentials_that_do_not_fit_are_a_mistake_of_the_caller():
    for name, password in ((b"n" * 256, b""), (b"", b"p" * 256)):
        with pytest.raises(ValueError, match="range"):
            wire.encode_password(name, password)


def test_nothing_known_is_all_zeros():
    assert wire.decode_reply5(Cursor(wire.encode_reply5(0))).bound == UNSPECIFIED
