from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.app.listening import endpoints, ports
from gproxy.base.iface import PacketEntrance, StreamEntrance
from gproxy.net.sockopt import KeepAlive
from gproxy.protocol.direct.options import DirectInboundOptions
from gproxy.schema.fields import Mark, Port, PortRange
from gproxy.schema.groups import Listen

STREAM = StreamEntrance(lambda stream, session: None)
PACKET = PacketEntrance(lambda conn, session: None)


def options(**fields: object) -> Listen:
    return DirectInboundOptions(type="direct", **fields)  # type: ignore[arg-type]


def written(**fields: object) -> list[str]:
    return [str(endpoint) for endpoint, _ in endpoints(options(**fields), [STREAM, PACKET])]


def test_a_socket_for_each_door() -> None:
    assert written(listen="192.0.2.1", listen_port=Port(80)) == ["192.0.2.1:80/tcp", "192.0.2.1:80/udp"]
    (first, second) = endpoints(options(listen_port=Port(80)), [STREAM, PACKET])
    assert (first[1], second[1]) == (STREAM, PACKET)


def test_every_port_once() -> None:
    ranges = (PortRange(80, 82), PortRange(81, 83), PortRange(9, 9))
    assert ports(options(listen_port=Port(82), listen_ports=ranges)) == [82, 80, 81, 83, 9]
    assert ports(options()) == []


def test_the_address_where_none_is_named() -> None:
    ((endpoint, _),) = endpoints(options(listen_port=Port(80)), [STREAM])
    assert endpoint.host in {IPv4Address("127.0.0.1"), IPv6Address("::1"), IPv6Address("::")}


@pytest.mark.parametrize(("listen", "name"), [("unix:/run/x", "unix:/run/x"), ("unix:@x", "unix:@x")])
def test_a_unix_socket_has_a_door_for_streams_only(listen: str, name: str) -> None:
    assert written(listen=listen) == [name]


def test_the_listen_fields_reach_the_socket() -> None:
    fields = {
        "listen": "::1", "listen_port": Port(80), "bind_interface": "lo", "routing_mark": Mark(7), "reuse_addr": True,
        "tcp_fast_open": True, "tcp_multi_path": True, "tcp_keep_alive": 10.0, "tcp_keep_alive_interval": 5.0,
    }  # fmt: skip
    (stream, _), (packet, _) = endpoints(options(**fields), [STREAM, PACKET])
    assert (stream.bind_interface, stream.routing_mark, stream.reuse_addr) == ("lo", 7, True)
    assert (stream.tcp_fast_open, stream.tcp_multi_path, stream.keep_alive) == (True, True, KeepAlive(10, 5))
    assert (packet.bind_interface, packet.routing_mark, packet.reuse_addr) == ("lo", 7, True)
    assert (packet.tcp_fast_open, packet.tcp_multi_path, packet.keep_alive) == (False, False, None)
