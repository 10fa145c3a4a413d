from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.app.build import IMPLICIT_OUTBOUND, build_outbounds
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import Rejected
from gproxy.base.iface import PacketEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.wire.proxyproto import encode_v1
from tests.app.rooms import house_of, root_of
from tests.conformance.streams import tcp_pair
from tests.support.pipe import pipe
from tests.support.playbook import new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

IN = {"type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": 7, "override_address": "192.0.2.1"}


def test_without_outbounds_there_is_a_direct_one() -> None:
    outbounds = build_outbounds(root_of())
    assert outbounds.default == IMPLICIT_OUTBOUND
    outbounds.get(IMPLICIT_OUTBOUND, "tcp")


def test_the_first_outbound_is_the_default() -> None:
    outbounds = build_outbounds(root_of(outbounds=[{"type": "block", "tag": "b"}, {"type": "direct", "tag": "d"}]))
    assert outbounds.default == "b"
    with pytest.raises(Rejected):
        outbounds.get("b", "tcp").dial(Address("x.test", 1), new_session())


def test_one_without_a_tag_is_known_by_its_place() -> None:
    outbounds = build_outbounds(root_of(outbounds=[{"type": "block"}, {"type": "direct"}]))
    assert outbounds.default == "0"
    outbounds.get("1", "udp")


def test_a_detour_may_lead_to_a_later_one() -> None:
    outbounds = build_outbounds(
        root_of(outbounds=[{"type": "direct", "tag": "a", "detour": "b"}, {"type": "block", "tag": "b"}])
    )
    with pytest.raises(Rejected):
        outbounds.get("a", "tcp").dial(Address("x.test", 1), new_session())


def test_every_socket_of_an_inbound_is_a_door() -> None:
    house = house_of(inbounds=[{**IN, "listen_ports": ["8-9"]}, {"type": "socks", "tag": "s", "listen_port": 1080}])
    assert [str(door.endpoint) for door in house.doors] == [
        "127.0.0.1:7/tcp", "127.0.0.1:8/tcp", "127.0.0.1:9/tcp", "127.0.0.1:7/udp", "127.0.0.1:8/udp",
        "127.0.0.1:9/udp", str(house.doors[-1].endpoint),
    ]  # fmt: skip
    assert house.doors[-1].endpoint.port == 1080
    kinds = {type(door.entrance) for door in house.doors}
    assert kinds == {StreamEntrance, PacketEntrance}


def test_nothing_is_opened_yet() -> None:
    house_of(inbounds=[IN])
    house_of(inbounds=[IN])


def test_a_session_goes_where_the_rules_say() -> None:
    house = house_of(
        inbounds=[IN],
        outbounds=[{"type": "direct", "tag": "d"}, {"type": "block", "tag": "b"}],
        route={"rules": [{"inbound": "in", "action": "route", "outbound": "b"}]},
    )
    client, stream = tcp_pair()
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    door.boundary.stream(door.entrance.accept, stream, ("192.0.2.7", 1), Address(IPv4Address("127.0.0.1"), 7))
    client.close()
    assert house.meter.statuses == {"rejected": 1}
    assert (house.meter.opened, house.meter.active) == (1, 0)


def test_what_the_rules_leave_goes_to_the_final_outbound() -> None:
    house = house_of(
        inbounds=[IN],
        outbounds=[{"type": "direct", "tag": "d"}, {"type": "block", "tag": "b"}],
        route={"final": "b"},
    )
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    door.boundary.stream(door.entrance.accept, pipe()[0], ("192.0.2.7", 1), Address(IPv4Address("127.0.0.1"), 7))
    assert house.meter.statuses == {"rejected": 1}


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
    from gproxy.app.build import _bind_packets

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
