from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest

from gproxy.app.build import IMPLICIT_OUTBOUND, build_ways
from gproxy.app.plugins import Plugins
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import ConfigError, Rejected
from gproxy.base.iface import PacketEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.config.root import Root
from gproxy.engine.outbounds import Outbounds
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.wire.proxyproto import encode_v1
from gproxy.wire.uot import Frame, Request, encode_frame, encode_request
from tests.app.rooms import house_of, root_of
from tests.conformance.streams import tcp_pair
from tests.support.origin import HELLO, http_origin
from tests.support.pipe import pipe
from tests.support.playbook import new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

IN = {"type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": 7, "override_address": "192.0.2.1"}


def build_outbounds(root: Root) -> Outbounds:
    return build_ways(root, Plugins())[0]


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


def test_who_believes_anybody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    server = {"type": "http", "tag": "out", "server": "a.test", "server_port": 443}
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": True}}]))
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": False, "insecure": True}}]))
    assert "insecure" not in caplog.text
    build_outbounds(root_of(outbounds=[{**server, "tls": {"enabled": True, "insecure": True}}]))
    [record] = caplog.records
    assert (record.name, record.levelname) == ("gproxy.outbound.out", "WARNING")
    assert "`tls.insecure`" in record.message


def test_the_table_says_whom_outbounds_believe() -> None:
    server = {"type": "http", "server": "a.test", "server_port": 443, "tls": {"enabled": True}}
    with pytest.raises(ConfigError, match="not PEM certificates"):
        build_outbounds(root_of(outbounds=[server], certificate={"certificate": "no PEM"}))


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


def test_no_rule_is_asked_about_a_web_site_that_stands_in_the_inbounds_own_options() -> None:
    with http_origin() as site:
        trojan = {"type": "trojan", "tag": "t", "listen_port": 1080, "users": [{"name": "me", "password": "pw"}]}
        house = house_of(
            inbounds=[{**trojan, "fallback": {"server": "127.0.0.1", "server_port": site.port}}],
            outbounds=[{"type": "block", "tag": "b"}],
            route={"rules": [{"ip_is_private": True, "action": "reject"}]},
        )
        door = house.doors[0]
        assert isinstance(door.entrance, StreamEntrance)
        session = new_session()
        talk = play(door.entrance.accept, session) >> b"GET / HTTP/1.0\r\n\r\n"
        talk = (talk << re.compile(rb"HTTP/1.[01] 200 .*" + HELLO, re.DOTALL)).end()
        talk.closed()
    assert (session.outbound, session.rule) == (IMPLICIT_OUTBOUND, "fallback")
    assert house.meter.statuses == {"ok": 1}


SOCKS = {"type": "socks", "tag": "s", "listen_port": 1080}
HTTP = {"type": "http", "tag": "h", "listen_port": 1080}
MAGIC = b"sp.v2.udp-over-tcp.arpa"
ASK_SOCKS = b"\x05\x01\x00\x05\x01\x00\x03" + bytes((len(MAGIC),)) + MAGIC + bytes(2)
ASK_HTTP = b"CONNECT %b:443 HTTP/1.1\r\nHost: x\r\n\r\n" % MAGIC


@pytest.mark.parametrize(
    ("inbound", "ask", "yes"),
    [
        (SOCKS, ASK_SOCKS, re.compile(rb"\x05\x00\x05\x00.{8}", re.DOTALL)),
        ({**SOCKS, "type": "mixed"}, ASK_SOCKS, re.compile(rb"\x05\x00\x05\x00.{8}", re.DOTALL)),
        (HTTP, ASK_HTTP, re.compile(rb"HTTP/1.1 200 [^\r]*\r\n(.+\r\n)*\r\n")),
    ],
)
def test_datagrams_on_a_stream_are_datagrams_for_the_rules(
    inbound: dict[str, Any], ask: bytes, yes: re.Pattern[bytes]
) -> None:
    peer = UdpConn(bind_udp(IPv4Address("127.0.0.1"), 0))
    house = house_of(
        inbounds=[inbound],
        outbounds=[{"type": "block", "tag": "b"}, {"type": "direct", "tag": "d"}],
        route={"rules": [{"network": "udp", "action": "route", "outbound": "d"}]},
    )
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    talk = play(door.entrance.accept) >> ask << yes
    frame = encode_frame(Frame(peer.bound(), b"ping"))
    talk >> encode_request(Request(False, peer.bound())) + frame
    data, source = peer.recv_from()
    peer.send_to(bytes(data), source)
    talk << frame
    talk.end().closed()
    peer.close()
    assert house.meter.statuses == {"ok": 1}


@pytest.mark.parametrize(
    ("inbound", "said", "status"),
    [
        (SOCKS, ASK_SOCKS + encode_request(Request(False, UNSPECIFIED)) + b"\x09", "closed-corrupt"),
        (SOCKS, ASK_SOCKS + encode_request(Request(True, UNSPECIFIED)) + b"\x00", "closed-truncated"),
        (SOCKS, ASK_SOCKS + b"\x00\x09", "closed-corrupt"),
        (HTTP, ASK_HTTP + b"\x00\x09", "closed-corrupt"),
        (HTTP, b"GET http://%b/ HTTP/1.1\r\nHost: %b\r\n\r\n" % (MAGIC, MAGIC), "closed-corrupt"),
        ({**SOCKS, "detour": "o"}, ASK_SOCKS, "dial-declined"),
        ({**HTTP, "detour": "o"}, ASK_HTTP, "dial-declined"),
    ],
)
def test_what_is_no_datagram_has_one_word(inbound: dict[str, Any], said: bytes, status: str) -> None:
    house = house_of(inbounds=[inbound, {"type": "socks", "tag": "o", "listen_port": 1081}])
    door = house.doors[0]
    assert isinstance(door.entrance, StreamEntrance)
    near, far = pipe()
    far.sendall(said)
    far.close_write()
    door.boundary.stream(door.entrance.accept, near, ("192.0.2.7", 1), Address(IPv4Address("127.0.0.1"), 7))
    assert house.meter.statuses == {status: 1}


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
