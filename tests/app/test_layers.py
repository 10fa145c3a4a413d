from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from gproxy.app import layers
from gproxy.base.address import Address
from gproxy.base.errors import ConfigError
from gproxy.base.iface import Outbound, Stream
from gproxy.base.session import Session
from gproxy.net.direct import SystemDialer
from gproxy.net.sockopt import KeepAlive
from gproxy.protocol.direct.options import DirectInboundOptions, DirectOutboundOptions
from gproxy.protocol.shadowsocks.options import ShadowsocksInboundOptions, ShadowsocksOutboundOptions
from gproxy.protocol.socks.options import SocksOutboundOptions
from gproxy.protocol.trojan.options import TrojanInboundOptions, TrojanOutboundOptions
from gproxy.route.options import RouteOptions
from gproxy.rt.group import Group
from gproxy.schema.fields import Mark, Port, Secret
from gproxy.schema.groups import Dial
from gproxy.schema.model import read
from gproxy.schema.tls import Authorities, TlsInbound, TlsOutbound
from gproxy.schema.transport import GrpcTransport, HttpTransport, HttpUpgradeTransport, Transport, WsTransport
from gproxy.wire.proxyproto import encode_v1
from tests.engine.stand_ins import FakeOutbound
from tests.layers.tls.lab import AUTHORITY, GOOD, NAME
from tests.support.pipe import pipe
from tests.support.playbook import converse, new_session, play

TARGET = Address("site.test", 80)
TRUSTED = layers.Trusted(Authorities())


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)


def test_a_door_without_layers_is_the_door_itself() -> None:
    assert layers.accepting(DirectInboundOptions(type="direct"), echo) is echo


def test_the_proxy_protocol_is_read_before_anything_else() -> None:
    accept = layers.accepting(DirectInboundOptions(type="direct", proxy_protocol=True), echo)
    source, session = Address(IPv4Address("198.51.100.1"), 5), new_session()
    (play(accept, session) >> encode_v1(source, source) + b"x" << b"x").end().closed()
    assert session.source == source


def test_the_dial_fields_reach_the_dialer() -> None:
    dialer = layers.system_dialer(
        Dial(
            bind_interface="lo", inet4_bind_address=IPv4Address("127.0.0.1"), inet6_bind_address=IPv6Address("::1"),
            bind_address_no_port=True, routing_mark=Mark(7), reuse_addr=True, netns="x", connect_timeout=2.0,
            tcp_fast_open=True, tcp_multi_path=True, udp_fragment=True, fallback_delay=0.1, tcp_keep_alive=10.0,
            tcp_keep_alive_interval=5.0,
        )  # type: ignore[arg-type]
    )  # fmt: skip
    sockets = dialer.sockets
    assert (dialer.connect_timeout, dialer.fallback_delay) == (2.0, 0.1)
    assert (sockets.bind_interface, sockets.routing_mark, sockets.reuse_addr, sockets.netns) == ("lo", 7, True, "x")
    assert (sockets.inet4_bind_address, sockets.inet6_bind_address) == (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    assert (sockets.bind_address_no_port, sockets.tcp_fast_open, sockets.tcp_multi_path) == (True, True, True)
    assert (sockets.udp_fragment, sockets.keep_alive) == (True, KeepAlive(10, 5))
    assert layers.system_dialer(Dial(disable_tcp_keep_alive=True)).sockets.keep_alive is None


def test_without_a_detour_the_system_dials() -> None:
    assert isinstance(layers.dialer(DirectOutboundOptions(type="direct"), {}), SystemDialer)


def test_a_detour_is_looked_up_when_it_is_dialled() -> None:
    by_tag: dict[str, Outbound] = {}
    dialer = layers.dialer(DirectOutboundOptions(type="direct", detour="other"), by_tag)
    other = by_tag["other"] = FakeOutbound(lambda target, session: pipe()[0])
    dialer.dial(TARGET, new_session())
    dialer.dial_packet(Address("packets.test", 53), new_session())
    assert other.dialled == [TARGET, Address("packets.test", 53)]


def test_detours_make_chains_of_any_length() -> None:
    """Each link sees as its target what the one before it wants to reach."""
    end = FakeOutbound(lambda target, session: pipe()[0])
    by_tag: dict[str, Outbound] = {"0": end}
    for number in range(1, 5):
        dialer = layers.dialer(DirectOutboundOptions(type="direct", detour=str(number - 1)), by_tag)
        by_tag[str(number)] = FakeOutbound(dialer.dial)
    by_tag["4"].dial(TARGET, new_session())
    assert end.dialled == [TARGET]


def test_an_outbound_reaches_its_server_through_its_dialer() -> None:
    options = SocksOutboundOptions(type="socks", server="Proxy.Test", server_port=Port(1080))
    via = FakeOutbound(lambda target, session: pipe()[0])
    layers.connecting(options, via, TRUSTED)(new_session())
    assert via.dialled == [Address("proxy.test", 1080)]


def test_one_without_a_server_never_asks() -> None:
    connect = layers.connecting(DirectOutboundOptions(type="direct"), FakeOutbound(), TRUSTED)
    with pytest.raises(AssertionError):
        connect(new_session())


@pytest.mark.parametrize(
    "opts", ["", "obfs=http;obfs-host=a.test", "obfs=http;obfs-uri=/x;http-method=PUT", "obfs=tls;obfs-host=a.test"]
)
def test_a_plugin_that_is_built_in_is_between_a_protocol_and_the_network(opts: str) -> None:
    near, far = pipe()

    class Via:
        def dial(self, target: Address, session: Session) -> Stream:
            assert target == Address("server.test", 8388)
            return near

    keys = {"method": "none", "plugin_opts": Secret(opts)}
    client = ShadowsocksOutboundOptions(
        type="shadowsocks", server="server.test", server_port=Port(8388), plugin="obfs-local", **keys
    )  # type: ignore[arg-type]
    keys["plugin_opts"] = Secret(opts.partition(";")[0])
    server = ShadowsocksInboundOptions(type="shadowsocks", plugin="obfs-server", **keys)  # type: ignore[arg-type]
    stream = layers.connecting(client, Via(), TRUSTED)(new_session())  # type: ignore[arg-type]
    stream.sendall(b"there")
    assert far.unread not in {b"", b"there"}
    layers.accepting(server, lambda opened, session: opened.sendall(opened.recv() + b" and back"))(far, new_session())
    assert stream.recv() == b"there and back"


def test_the_proxy_protocol_is_outside_of_a_plugin() -> None:
    options = ShadowsocksInboundOptions(type="shadowsocks", method="none", plugin="obfs-server", proxy_protocol=True)  # type: ignore[arg-type]
    source, session = Address(IPv4Address("198.51.100.1"), 5), new_session()
    ask = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    talk = play(layers.accepting(options, echo), session) >> encode_v1(source, source) + ask + b"x"
    (talk << re.compile(b"HTTP/1.1 101 .*\r\n\r\nx", re.DOTALL)).end().closed()
    assert session.source == source


WS = WsTransport(type="ws", path="/ws", headers={"Host": ("a.test",)})
WS_EARLY = WsTransport(type="ws", max_early_data=9, early_data_header_name="X-Early")
UPGRADE = HttpUpgradeTransport(type="httpupgrade", path="/up")


@pytest.mark.parametrize("transport", [WS, WS_EARLY, UPGRADE])
@pytest.mark.parametrize("secret", [False, True])
def test_a_transport_is_between_a_protocol_and_tls(transport: Transport, secret: bool) -> None:
    inbound = TlsInbound(enabled=secret, certificate=(GOOD.chain,), key=(GOOD.key,))
    outbound = TlsOutbound(enabled=secret, certificate=(AUTHORITY.chain,))
    near, far = pipe()
    via = FakeOutbound(lambda target, session: near)
    client = TrojanOutboundOptions(
        type="trojan", server=NAME, server_port=Port(443), password=Secret("x"), tls=outbound,
        transport=transport,
    )  # fmt: skip
    server = TrojanInboundOptions(type="trojan", users=(), tls=inbound, transport=transport)
    session = new_session()

    def answer(opened: Stream, session: Session) -> None:
        opened.sendall(opened.recv() + b" and back")

    with Group("test") as group:
        serving = group.spawn(layers.accepting(server, answer), far, session)
        stream = layers.connecting(client, via, TRUSTED)(new_session())
        stream.sendall(b"there")
        assert stream.recv() == b"there and back"
        serving.join()
    assert session.alpn == ("http/1.1" if secret else "")


@pytest.mark.parametrize("sealed", [False, True])
def test_v2ray_plugin_is_a_transport_in_tls(sealed: bool, tmp_path: Path) -> None:
    for name, text in (("ca", AUTHORITY.chain), ("chain", GOOD.chain), ("key", GOOD.key)):
        (tmp_path / name).write_text(text)
    here = f"tls;cert={tmp_path}/chain;key={tmp_path}/key;mux=0" if sealed else "server;mux=0"
    there = f"tls;host={NAME};cert={tmp_path}/ca;mux=0" if sealed else "mux=0"
    options = {"method": "none", "plugin": "v2ray-plugin"}
    server = ShadowsocksInboundOptions(type="shadowsocks", plugin_opts=Secret(here), **options)  # type: ignore[arg-type]
    client = ShadowsocksOutboundOptions(
        type="shadowsocks", server="192.0.2.9", server_port=Port(1), plugin_opts=Secret(there), **options
    )  # type: ignore[arg-type]
    near, far = pipe()
    with Group("test") as group:
        serving = group.spawn(layers.accepting(server, echo), far, new_session())
        stream = layers.connecting(client, FakeOutbound(lambda target, session: near), TRUSTED)(new_session())
        stream.sendall(b"there")
        assert stream.recv() == b"there"
        stream.close()
        serving.join()


@pytest.mark.parametrize(
    ("transport", "port", "tls", "host"),
    [
        (WS, 80, TlsOutbound(), b"a.test"),
        (UPGRADE, 80, TlsOutbound(), b"server.test"),
        (UPGRADE, 443, TlsOutbound(), b"server.test:443"),
        (HttpUpgradeTransport(type="httpupgrade", host="b.test"), 81, TlsOutbound(), b"b.test"),
    ],
)
def test_the_host_that_is_asked_for(transport: Transport, port: int, tls: TlsOutbound, host: bytes) -> None:
    client = TrojanOutboundOptions(
        type="trojan", server="server.test", server_port=Port(port), password=Secret("x"), tls=tls, transport=transport
    )
    talk = converse(
        lambda near: layers.connecting(client, FakeOutbound(lambda target, session: near), TRUSTED)(new_session())
    )
    (talk << re.compile(rb"GET \S+ HTTP/1\.1\r\nHost: %s\r\n" % host)).stop()


@pytest.mark.parametrize(
    ("told", "asked"), [("bücher.test", "xn--bcher-kva.test"), ("2001:db8::1", "[2001:db8::1]"), ("", "192.0.2.1:81")]
)
def test_the_name_within_tls_is_asked_for(told: str, asked: str) -> None:
    outbound = TlsOutbound(enabled=True, server_name=told, certificate=(AUTHORITY.chain,))
    client = TrojanOutboundOptions(
        type="trojan", server="192.0.2.1", server_port=Port(81), password=Secret("x"), tls=outbound, transport=UPGRADE
    )
    server = TrojanInboundOptions(
        type="trojan", users=(), tls=TlsInbound(enabled=True, certificate=(GOOD.chain,), key=(GOOD.key,))
    )
    near, far = pipe()
    heads: list[bytes] = []

    def note(opened: Stream, session: Session) -> None:
        heads.append(opened.recv())

    with Group("test") as group:
        serving = group.spawn(layers.accepting(server, note), far, new_session())
        dial = group.spawn(
            layers.connecting(client, FakeOutbound(lambda target, session: near), TRUSTED), new_session()
        )
        serving.join()
        dial.kill()
    assert b"Host: %s\r\n" % asked.encode() in heads[0]


def test_whom_to_believe_is_read_when_it_is_needed_and_once() -> None:
    wrong = layers.Trusted(Authorities(store="none", certificate=("no PEM",)))
    server = {"type": "trojan", "server": "a.test", "server_port": Port(443), "password": Secret("x")}
    plain, insecure, tls = (
        TrojanOutboundOptions(**server, tls=each)  # type: ignore[arg-type]
        for each in (TlsOutbound(), TlsOutbound(enabled=True, insecure=True), TlsOutbound(enabled=True))
    )
    layers.connecting(plain, FakeOutbound(), wrong)
    layers.connecting(insecure, FakeOutbound(), wrong)
    with pytest.raises(ConfigError, match="not PEM"):
        layers.connecting(tls, FakeOutbound(), wrong)
    assert TRUSTED.trust() is TRUSTED.trust()


@pytest.mark.parametrize(
    ("transport", "said", "inbound", "outbound"),
    [
        (None, (), (), ()),
        (WsTransport(type="ws"), (), ("http/1.1",), ("http/1.1",)),
        (WsTransport(type="ws"), ("x",), ("x",), ("x",)),
        (HttpTransport(type="http"), (), ("h2", "http/1.1"), ("h2",)),
        (GrpcTransport(type="grpc"), ("http/1.1",), ("h2", "http/1.1"), ("http/1.1",)),
        (GrpcTransport(type="grpc"), ("x", "h2"), ("x", "h2"), ("x", "h2")),
    ],
)
def test_what_tls_agrees_on(
    transport: Transport | None, said: tuple[str, ...], inbound: tuple[str, ...], outbound: tuple[str, ...]
) -> None:
    assert layers._for(transport, TlsInbound(alpn=said)).alpn == inbound
    assert layers._for(transport, TlsOutbound(alpn=said)).alpn == outbound


def route(**tree: object) -> RouteOptions:
    found = read(RouteOptions, tree, (), [])
    assert found is not None
    return found


def test_the_routes_interface_and_mark_are_for_outbounds_that_have_none() -> None:
    plain = DirectOutboundOptions(type="direct")
    shaped = layers.with_defaults(plain, route(default_interface="eth9", default_mark=7))
    assert (shaped.bind_interface, shaped.routing_mark) == ("eth9", 7)
    own = DirectOutboundOptions(type="direct", bind_interface="lo", routing_mark=Mark(1))
    shaped = layers.with_defaults(own, route(default_interface="eth9", default_mark=7))
    assert (shaped.bind_interface, shaped.routing_mark) == ("lo", 1)
    assert layers.with_defaults(plain, route()) is plain
    chained = DirectOutboundOptions(type="direct", detour="x")
    assert layers.with_defaults(chained, route(default_mark=7)) is chained
    assert layers.system_dialer(shaped).sockets.bind_interface == "lo"
