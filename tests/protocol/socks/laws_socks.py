"""The laws of Decodes, for every message of SOCKS 4, 4a and 5."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.protocol.socks import wire
from gproxy.protocol.socks.wire import Answer, Request
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses, names

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
IPV4_BYTES, IPV6_BYTES = b"\x01\xc0\x00\x02\x01\x01\xbb", b"\x04" + IPv6Address("2001:db8::1").packed + b"\x00\x35"
NAME_BYTES = b"\x03\x0bexample.com\x00\x50"
LONG_NAME = b".".join([b"d" * 63] * 3 + [b"d" * 61])
BAD_NAMES = (b"\x03\x00\x00\x50", b"\x03\x03a b\x00\x50", b"\x03\x01\xff\x00\x50")

octets, texts = st.integers(0, 255), st.binary(max_size=255)
userids = texts.map(lambda text: text.replace(b"\0", b"0"))
four = st.builds(Address, st.ip_addresses(v=4).filter(lambda ip: ip.packed[:3] != b"\0\0\0"), st.integers(0, 65535))
named = st.builds(Address, names, st.integers(0, 65535))

SOCKS4 = [
    Law(
        "socks4-request",
        wire.decode_request4,
        [
            (b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00", Request(1, V4)),
            (b"\x04\x02\x01\xbb\xc0\x00\x02\x01me\x00", Request(2, V4, b"me")),
            (b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00example.com\x00", Request(1, NAME, b"me")),
            (b"\x04\x01\x00\x35\x00\x00\x00\x01\x002001:db8::1\x00", Request(1, V6)),
            (b"\x04\x01\x00\x50\x00\x00\x00\x00\x00", Request(1, Address(IPv4Address(0), 80))),
            (
                b"\x04\x01\x00\x50\x00\x00\x00\x01" + b"u" * 255 + b"\0" + LONG_NAME + b"\0",
                Request(1, Address(LONG_NAME.decode(), 80), b"u" * 255),
            ),
        ],
        wire.MAX_MESSAGE,
        wrong=[
            b"\x05",
            b"\x00",
            *(b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + name + b"\x00" for name in (b"", b"a b", b"\xff", b"a..b")),
            b"\x04\x01\x00\x50\x7f\x00\x00\x01" + b"u" * 256,
            b"\x04\x01\x00\x50\x00\x00\x00\x01\x00" + b"d" * 256,
        ],
        encode=lambda request: wire.encode_request4(*request),
        values=st.builds(Request, octets, st.one_of(four, named), userids),
    ),
    Law(
        "socks4-reply",
        wire.decode_reply4,
        [
            (b"\x00\x5a\x01\xbb\xc0\x00\x02\x01", Answer(90, V4)),
            (b"\x04\x5b" + bytes(6), Answer(91)),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x05\x00", b"\x01\x5a", b"HT"],
        encode=lambda answer: wire.encode_reply4(*answer),
        canonical=False,
        values=st.builds(Answer, octets, four),
    ),
]

GREETINGS = [
    Law(
        "socks5-greeting",
        wire.decode_greeting,
        [
            (b"\x05\x02\x00\x02", b"\x00\x02"),
            (b"\x05\x00", b""),
            (b"\x05\xff" + bytes(range(255)), bytes(range(255))),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x04", b"\x00", b"G"],
    ),
    Law(
        "socks5-method",
        wire.decode_method,
        [(b"\x05\x02", 2), (b"\x05\xff", 255)],
        wire.MAX_MESSAGE,
        wrong=[b"\x00", b"\x04", b"H"],
        encode=wire.encode_method,
        values=octets,
    ),
    Law(
        "socks5-password",
        wire.decode_password,
        [
            (b"\x01\x01u\x03pw1", (b"u", b"pw1")),
            (b"\x01\x00\x00", (b"", b"")),
            (b"\x01\xff" + b"n" * 255 + b"\xff" + b"p" * 255, (b"n" * 255, b"p" * 255)),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x05\x01", b"\x00", b"\x02"],
        encode=lambda pair: wire.encode_password(*pair),
        values=st.tuples(texts, texts),
    ),
    Law(
        "socks5-welcome",
        wire.decode_welcome,
        [(b"\x01\x00", True), (b"\x01\x01", False)],
        wire.MAX_MESSAGE,
        wrong=[b"\x05\x00", b"\x00"],
        encode=wire.encode_welcome,
        values=st.booleans(),
    ),
]

SOCKS5 = [
    Law(
        "socks5-request",
        wire.decode_request5,
        [
            (b"\x05\x01\x00" + IPV4_BYTES, Request(1, V4)),
            (b"\x05\x03\x00" + IPV6_BYTES, Request(3, V6)),
            (b"\x05\x09\x07" + NAME_BYTES, Request(9, NAME)),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x04\x01\x00", b"\x05\x01\x00\x02", *(b"\x05\x01\x00" + bad for bad in BAD_NAMES)],
        encode=lambda request: wire.encode_request5(*request[:2]),
        canonical=False,
        values=st.builds(Request, octets, addresses, st.just(b"")),
    ),
    Law(
        "socks5-reply",
        wire.decode_reply5,
        [
            (b"\x05\x00\x00" + IPV4_BYTES, Answer(0, V4)),
            (b"\x05\x00\x00" + NAME_BYTES, Answer(0, NAME)),
            (b"\x05\x05", Answer(5)),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x04", b"\x05\x00\x00\x09", *(b"\x05\x00\x00" + bad for bad in BAD_NAMES)],
    ),
    Law(
        "socks5-datagram",
        wire.decode_datagram,
        [
            (b"\x00\x00\x00" + IPV4_BYTES, V4),
            (b"\x00\x00\x00" + IPV6_BYTES, V6),
            (b"\x00\x00\x00" + NAME_BYTES, NAME),
            (b"\x07\x07\x00" + IPV4_BYTES, V4),
            (b"\x00\x00\x00\x01" + bytes(6), UNSPECIFIED),
        ],
        wire.MAX_MESSAGE,
        wrong=[b"\x00\x00\x01", b"\x00\x00\x80", b"\x00\x00\x00\x02"],
        encode=wire.encode_datagram_head,
        canonical=False,
        values=addresses,
    ),
]

DECODES = [*SOCKS4, *GREETINGS, *SOCKS5]
