"""The laws of Decodes, for the SOCKS5 address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.wire.socksaddr import MAX_ADDRESS, decode_address, encode_address
from tests.laws.registry import Law

EXAMPLES = [
    (b"\x01\xc0\x00\x02\x01\x01\xbb", Address(IPv4Address("192.0.2.1"), 443)),
    (b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\xff\xff", Address(IPv6Address("2001:db8::1"), 65535)),
    (b"\x03\x0bexample.com\x00\x50", Address("example.com", 80)),
    (b"\x03\x01a\x00\x00", Address("a", 0)),
    (
        b"\x03\xfd" + b".".join([b"x" * 63] * 3 + [b"x" * 61]) + b"\x00\x01",
        Address(".".join(["x" * 63] * 3 + ["x" * 61]), 1),
    ),
]

WRONG = [bytes((kind,)) for kind in (0, 2, 5, 0x83, 255)] + [
    bytes((3, len(text))) + text + b"\x01\xbb"
    for text in (
        b"",
        b".",
        b"a..b",
        b"-" * 64,
        b"a b",
        b"a\0b",
        b"a\r\nb",
        b"\xff\xfe",
        b"x" * 255,
        b"1.2.3.300",
        b"a:80",
    )
]

# An IPv4-mapped address comes back as the IPv4 address that it stands for.
ips = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None))
labels = st.text("abcxyz019-_", min_size=1, max_size=20)
names = st.lists(labels, max_size=4).map(lambda them: ".".join([*them, "example"]))
addresses = st.builds(Address, st.one_of(ips, names), st.integers(0, 65535))

DECODES = [
    Law("socks-address", decode_address, EXAMPLES, MAX_ADDRESS, wrong=WRONG, encode=encode_address, values=addresses)
]
