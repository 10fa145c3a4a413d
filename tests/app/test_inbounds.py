from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.iface import PacketEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.wire.proxyproto import encode_v1
from tests.app.rooms import house_of
from tests.support.playbook import new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

IN = {"type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": 7, "override_address": "192.0.2.1"}


def test_every_socket_of_an_inbound_is_a_door() -> None:
    house = house_of(inbounds=[{**IN, "listen_ports": ["8-9"]}, {"type": "socks", "tag": "s", "listen_port": 1080}])
    assert [str(door.endpoint) for door in house.doors] == [
        "127.0.0.1:7/tcp", "127.0.0.1:8/tcp", "127.0.0.1:9/tcp", "127.0.0.1:7/udp", "127.0.0.1:8/udp",
        "127.0.0.1:9/udp", str(house.doors[-1].endpoint),
    ]  # fmt: skip
    assert house.doors[-1].endpoint.port == 1080
    kinds = {type(door.entrance) for door in house.doors}
    assert kinds == {StreamEntrance, PacketEntrance}


def test_a_proxy_header_stands_before_the_protocol() -> None:
    house = house_of(
        inbounds=[{"type": "socks", "tag": "s", "listen_port": 1080, "proxy_protocol": True}],
        outbounds=[{"type": "block", "tag": "b"}],
    )
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    session = new_session()
    source = Address(IPv4Address("198.51.100.1"), 5)
    talk = play(door.entrance.accept, session) >> encode_v1(source, source) + b"\x05\x01\x00" << b"\x05\x00"
    talk.stop()
    assert session.source == source


def test_a_detour_leads_into_the_other_inbound_without_its_proxy_header() -> None:
    house = house_of(
        inbounds=[
            {**IN, "detour": "s", "override_port": 9, "network": "tcp"},
            {"type": "socks", "tag": "s", "listen_port": 1080, "proxy_protocol": True},
        ],
        outbounds=[{"type": "block", "tag": "b"}],
    )
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    session = new_session()
    talk = play(door.entrance.accept, session) >> b"\x05\x01\x00" << b"\x05\x00"
    talk.stop()
    assert session.inbound == "s"


def bound_for(local: Address | None) -> Address:
    """Where an inbound's UDP port is opened for a client who reached us there."""
    from gproxy.app.inbounds import _bind_packets

    conn, bound = _bind_packets(Session(1, "tcp", "in", UNSPECIFIED, UNSPECIFIED, local))
    conn.close()
    return bound


def test_a_udp_port_is_opened_where_the_client_reached_us() -> None:
    assert bound_for(Address(IPv4Address("127.0.0.3"), 1080)).host == IPv4Address("127.0.0.3")
    assert bound_for(Address(IPv6Address("::1"), 1080)).host == IPv6Address("::1")
    assert bound_for(None).host == IPv4Address(0)


def test_an_address_that_is_not_ours_means_any() -> None:
    assert bound_for(Address(IPv4Address("192.0.2.1"), 1080)).host == IPv4Address(0)
    assert bound_for(Address(IPv6Address("2001:db8::1"), 1080)).host == IPv6Address(0)
