"""gproxy.wire.netlink: its readers on messages laid out by hand; tests/net/test_netlink.py asks a real kernel."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.wire import netlink as wire

FOUR, SIX = IPv4Address("192.0.2.7"), IPv6Address("2001:db8::7")
READERS = (
    wire.read_socket, wire.read_route, wire.read_neighbour, wire.read_link, wire.read_address, wire.read_family,
    wire.read_wireless_link, wire.read_network, wire.attributes, wire.error_of, lambda data: list(wire.messages(data)),
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@given(data=st.binary(max_size=200))
def test_nothing_that_comes_from_outside_raises(reader, data) -> None:
    reader(data)


def test_a_datagram_holds_several_messages_and_ends_where_one_breaks_off() -> None:
    first, second = wire.message(20, 0, b"abc", 7), wire.message(3, 0, b"", 7)
    both = first + b"\0" + second
    assert list(wire.messages(both)) == [(20, 7, b"abc"), (3, 7, b"")]
    assert list(wire.messages(both[:-1])) == [(20, 7, b"abc")]
    assert list(wire.messages(struct.pack("=IHHII", 8, 1, 0, 0, 0))) == []  # shorter than its own head


def test_attributes_are_padded_and_lose_their_flags() -> None:
    data = wire.attribute(3, b"abcde") + struct.pack("=HH", 4, 5 | 0x8000) + b"\xff\xff"
    assert wire.attributes(data) == {3: b"abcde", 5: b""}
    assert wire.attributes(struct.pack("=HH", 3, 1)) == {}


def test_an_error_carries_its_number() -> None:
    assert wire.error_of(struct.pack("=i", -2) + bytes(16)) == 2
    assert wire.error_of(b"") == 0


@pytest.mark.parametrize("ip", [FOUR, SIX])
def test_a_socket_is_asked_for_by_both_ends(ip) -> None:
    body = wire.find_socket(6, ip, 1000, ip, 2000)
    assert len(body) == 56
    assert body[:2] == bytes([2 if ip.version == 4 else 10, 6])
    assert body[8:12] == struct.pack("!HH", 1000, 2000)
    assert body[12 : 12 + len(ip.packed)] == ip.packed


def test_what_a_socket_is() -> None:
    ports = struct.pack("!HH", 1000, 2000)
    body = bytes([2, 1, 0, 0]) + ports + FOUR.packed.ljust(16, b"\0") + bytes(40) + struct.pack("=II", 33, 99)
    assert wire.read_socket(body) == wire.SocketFacts(1000, 2000, 33, 99, FOUR)
    assert wire.read_socket(body[:-1]) is None


def test_a_neighbour_whose_address_is_not_known_is_none() -> None:
    def body(state: int, mac: bytes) -> bytes:
        return struct.pack("=BxxxiHBB", 2, 4, state, 0, 1) + wire.attribute(1, FOUR.packed) + wire.attribute(2, mac)

    assert wire.read_neighbour(body(0x02, b"\2\0\0\0\0\7")) == (FOUR, "02:00:00:00:00:07")
    assert wire.read_neighbour(body(0x20, b"\2\0\0\0\0\7")) is None
    assert wire.read_neighbour(body(0x02, b"\2\0")) is None


def route(kind: int, bits: int, *attributes: bytes) -> bytes:
    return struct.pack("=BBBBBBBBI", 2, bits, 0, 0, 254, 0, 0, kind, 0) + b"".join(attributes)


def test_a_route_leads_to_a_link() -> None:
    link, priority = wire.attribute(4, struct.pack("=I", 3)), wire.attribute(6, struct.pack("=I", 600))
    assert wire.read_route(route(1, 0, link, priority)) == wire.RouteFacts(1, 3, True, 600, 254)
    assert wire.read_route(route(2, 32, link)) == wire.RouteFacts(2, 3, False, 0, 254)


def test_of_several_ways_the_first_counts() -> None:
    ways = wire.attribute(9, struct.pack("=HBBI", 8, 0, 0, 5) + struct.pack("=HBBI", 8, 0, 0, 6))
    found = wire.read_route(route(1, 0, ways))
    assert found is not None
    assert found.interface == 5


def test_a_large_table_is_told_beside() -> None:
    found = wire.read_route(route(1, 0, wire.attribute(15, struct.pack("=I", 1000))))
    assert found is not None
    assert found.table == 1000


def test_the_machines_own_address_on_a_point_to_point_link() -> None:
    peer, own = wire.attribute(1, FOUR.packed), wire.attribute(2, IPv4Address("192.0.2.8").packed)
    head = struct.pack("=BBBBI", 2, 24, 0, 0, 6)
    assert wire.read_address(head + peer + own) == (6, IPv4Address("192.0.2.8"), 24)
    assert wire.read_address(head + peer) == (6, FOUR, 24)
    assert wire.read_address(struct.pack("=BBBBI", 2, 33, 0, 0, 6) + peer) is None


def network(status: bytes, elements: bytes, bssid: bytes = b"\2\0\0\0\0\1") -> bytes:
    inside = wire.attribute(1, bssid) + wire.attribute(6, elements) + status
    return bytes([34, 1, 0, 0]) + wire.attribute(3, struct.pack("=I", 4)) + wire.attribute(47, inside)


def test_a_wifi_network_that_this_machine_is_part_of() -> None:
    associated = wire.attribute(9, struct.pack("=I", 1))
    elements = b"\x01\x02\x82\x84" + b"\x00\x04Home" + b"\x03\x01\x06"
    assert wire.read_network(network(associated, elements)) == wire.Wifi("Home", "02:00:00:00:00:01")
    assert wire.read_network(network(b"", elements)) is None  # one of those around
    assert wire.read_network(network(wire.attribute(9, struct.pack("=I", 0)), elements)) is None
    assert wire.read_network(network(associated, elements, b"\2")) is None
    assert wire.read_network(network(associated, b"\x01\xff")) == wire.Wifi("", "02:00:00:00:00:01")


def test_a_wireless_link() -> None:
    assert wire.read_wireless_link(bytes([7, 1, 0, 0]) + wire.attribute(3, struct.pack("=I", 9))) == 9
    assert wire.read_wireless_link(bytes([34, 1, 0, 0]) + wire.attribute(3, struct.pack("=I", 9))) == 0
    assert wire.networks_of(9) == bytes([32, 0, 0, 0]) + wire.attribute(3, struct.pack("=I", 9))
    assert wire.wireless_links() == bytes([5, 0, 0, 0])


def test_a_family_has_a_number() -> None:
    assert wire.find_family("nl80211") == bytes([3, 1, 0, 0]) + wire.attribute(2, b"nl80211\0")
    assert wire.read_family(bytes([1, 2, 0, 0]) + wire.attribute(1, struct.pack("=H", 28))) == 28
