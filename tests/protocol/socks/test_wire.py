"""gproxy.protocol.socks.wire, beyond the laws of its Decodes (laws_socks)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import TooLarge, Unsupported
from gproxy.protocol.socks import wire
from gproxy.wire.cursor import Cursor

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x04\x01\x00\x50\x7f\x00\x00\x01" + b"u" * 256,
        b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"d" * 256,
    ],
)
def test_the_texts_of_socks4_are_bounded(raw):
    with pytest.raises(TooLarge):
        wire.decode_request4(Cursor(raw))


def test_a_fragment_is_told_apart():
    with pytest.raises(Unsupported) as caught:
        wire.decode_datagram(Cursor(b"\x00\x00\x01\x01\xc0\x00\x02\x01\x01\xbb"))
    assert caught.value.reason == "fragment"


def test_socks4_replies_have_no_room_for_other_addresses():
    for bound in (V6, Address("example.com", 443)):
        assert wire.encode_reply4(90, bound) == b"\x00\x5a" + bytes(6)


def test_a_greeting_offers_one_method():
    assert wire.encode_greeting(2) == b"\x05\x01\x02"


def test_replies():
    assert wire.encode_reply5(0, V6) == b"\x05\x00\x00\x04" + V6.host.packed + b"\x00\x35"
    assert wire.encode_reply5(7) == b"\x05\x07\x00\x01" + bytes(6)
    assert wire.decode_reply5(Cursor(wire.encode_reply5(0))).bound == UNSPECIFIED


def test_credentials_that_do_not_fit_are_a_mistake_of_the_caller():
    for name, password in ((b"n" * 256, b""), (b"", b"p" * 256)):
        with pytest.raises(ValueError, match="range"):
            wire.encode_password(name, password)
