from __future__ import annotations

import re
import sys
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.app.outbounds import IMPLICIT_OUTBOUND
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.iface import StreamEntrance
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.wire.uot import Frame, Request, encode_frame, encode_request
from tests.app.rooms import house_of
from tests.conformance.streams import tcp_pair
from tests.support.origin import HELLO, http_origin
from tests.support.pipe import pipe
from tests.support.playbook import new_session, play
from tests.support.procs import run

pytestmark = pytest.mark.usefixtures("no_leaks")

IN = {"type": "direct", "tag": "in", "listen": "127.0.0.1", "listen_port": 7, "override_address": "192.0.2.1"}


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
    here = new_session(Address(IPv4Address("127.0.0.1"), 40000))  # the peer is for this machine alone
    talk = play(door.entrance.accept, here) >> ask << yes
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


def test_what_is_not_configured_is_not_even_imported() -> None:
    """A start takes the longer, and each process the more memory."""
    config = {"inbounds": [{"type": "mixed", "listen_port": 1}], "outbounds": [{"type": "direct"}]}
    asks = f"import sys; from tests.app.rooms import house_of; house_of(**{config}); print(*sys.modules)"
    done = run(sys.executable, "-c", asks)
    modules = done.stdout.decode().split()
    assert "gproxy.protocol.mixed.inbound" in modules, done.stderr.decode()
    absent = (
        "gproxy.app.bans", "gproxy.app.metrics", "gproxy.dns.hijack", "gproxy.dns.resolver", "gproxy.dns.servers",
        "gproxy.limit.bans", "gproxy.protocol.shadowsocks", "gproxy.protocol.trojan", "gproxy.route.sets.live",
        "gproxy.service.metrics", "gproxy.service.rule_sets", "gproxy.service.ssm", "gproxy.wire.dns.message",
    )  # fmt: skip
    assert [each for each in modules if each.startswith(absent)] == []
