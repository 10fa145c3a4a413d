"""gproxy.wire.uot, beyond the laws of its Decodes (laws_uot)."""

from __future__ import annotations

import pytest

from gproxy.base.address import Address
from gproxy.wire.cursor import Cursor
from gproxy.wire.uot import (
    HOSTS,
    TARGETS,
    Frame,
    Request,
    decode_frame,
    decode_request,
    encode_frame,
    version_of,
)
from tests.wire.laws_uot import FRAMES, NAME, V4


def test_the_hosts_that_mean_datagrams():
    assert HOSTS == {"sp.udp-over-tcp.arpa": 1, "sp.v2.udp-over-tcp.arpa": 2}
    assert [version_of(TARGETS[version]) for version in (1, 2)] == [1, 2]
    assert version_of(Address("sp.v2.udp-over-tcp.arpa", 443)) == 2
    assert version_of(V4) is version_of(NAME) is version_of(Address("x.sp.udp-over-tcp.arpa", 0)) is None


def test_any_octet_but_zero_says_connect():
    assert decode_request(Cursor(b"\xff\x01\xc0\x00\x02\x01\x01\xbb")) == Request(True, V4)


def test_the_longest_datagram():
    wire, frame = FRAMES[3]
    assert decode_frame(Cursor(wire)) == frame
    assert encode_frame(frame) == wire
    with pytest.raises(OverflowError):
        encode_frame(Frame(V4, bytes(65536)))


def test_mapped_ipv6_is_ipv4():
    mapped = b"\x01" + bytes(10) + b"\xff\xff\xc0\x00\x02\x01\x01\xbb\x00\x00"
    assert decode_frame(Cursor(mapped)) == Frame(V4, b"")


def test_a_domain_that_does_not_fit_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="range"):
        encode_frame(Frame(Address("x" * 256, 1), b""))
