"""The V2Ray transports with other makers, both roles, and with a web server in front."""

from __future__ import annotations

import socket

import pytest

from tests.interop.lab import Association, dial
from tests.interop.recorder import Recorder
from tests.interop.traffic import MIB, Far, at_once, echo, far, half_closes, speaks_first
from tests.interop.transports import (
    IN_FIELD,
    IN_PATH,
    MAKERS,
    UPGRADE,
    WS,
    Link,
    gproxy_clients,
    gproxy_servers,
    nginx,
    sing_box_clients,
    xray_clients,
)
from tests.support.origin import content
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes, curl
from tests.support.tls import NAME, Certificate
from tests.support.wait import wait_until

__all__ = ["far"]

BULK = {"sing-box": 64 * MIB, "gproxy": 64 * MIB, "xray": 8 * MIB, "v2ray": 8 * MIB}
BYE = b"\x88\x02\x03\xe8"


def check(port: int, link: Link, far: Far, longest: int = 5000, *, greeted: bool = True) -> None:
    """What every link has to carry."""
    if greeted:
        speaks_first(port)
    echo(port, (LOOPBACK, far.tcp.port), MIB)
    if link.protocol == "trojan":
        with Association(port) as association:
            for size in (1, 1200, longest):
                association.echo((LOOPBACK, far.udp.port), next(content(size)))


@pytest.mark.parametrize("name", MAKERS)
def test_clients(name: str, processes: Processes, far: Far, certificate: Certificate) -> None:
    maker = MAKERS[name]
    servers = gproxy_servers(processes, certificate, maker.links)
    ports = maker.clients(processes, certificate, maker.links, servers)
    for link, port in zip(maker.links, ports, strict=True):
        check(port, link, far, maker.longest, greeted=not maker.waits)
    at_once(ports[0], (LOOPBACK, far.tcp.port))
    echo(ports[0], (LOOPBACK, far.tcp.port), BULK[name])


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "gproxy"])
def test_servers(name: str, processes: Processes, far: Far, certificate: Certificate) -> None:
    maker = MAKERS[name]
    servers = maker.servers(processes, certificate, maker.links)
    ports = gproxy_clients(processes, certificate, maker.links, servers)
    for link, port in zip(maker.links, ports, strict=True):
        check(port, link, far, maker.longest)
    at_once(ports[0], (LOOPBACK, far.tcp.port))
    echo(ports[0], (LOOPBACK, far.tcp.port), BULK[name])


def test_ends_between_gproxies(processes: Processes, certificate: Certificate) -> None:
    links = MAKERS["gproxy"].links
    ports = gproxy_clients(processes, certificate, links, gproxy_servers(processes, certificate, links))
    assert [half_closes(port) for port in ports] == ["both"] * len(links)


def test_behind_a_web_server(processes: Processes, far: Far, certificate: Certificate) -> None:
    """Which alone has TLS."""
    links = [Link("trojan", transport, tls=True) for transport in (WS, IN_PATH, IN_FIELD | {"path": "/field"}, UPGRADE)]
    servers = gproxy_servers(processes, certificate, [Link(link.protocol, link.transport) for link in links])
    paths = [str(link.transport["path"]) for link in links]
    front = nginx(processes, certificate, dict(zip(paths, servers, strict=True)))
    for clients in (gproxy_clients, sing_box_clients):
        for link, port in zip(links, clients(processes, certificate, links, [front] * len(links)), strict=True):
            check(port, link, far)
        at_once(port, (LOOPBACK, far.tcp.port))
    page = ("--cacert", str(certificate.authority), "--resolve", f"{NAME}:{front}:{LOOPBACK}", "-w", "%{http_code}")
    assert curl(*page, f"https://{NAME}:{front}/") == b"the front page200"
    assert curl(*page, f"https://{NAME}:{front}{paths[0]}") == b"400"


def test_pings_and_ends_of_others(processes: Processes, far: Far, certificate: Certificate) -> None:
    """Xray's heartbeat asks every second, while nothing is said; and each side says that it ends."""
    links = [Link("shadowsocks", WS)]
    with Recorder(gproxy_servers(processes, certificate, links)[0]) as between:
        [port] = xray_clients(processes, certificate, links, [between.port], heartbeatPeriod=1)
        with dial(port, (LOOPBACK, far.tcp.port)) as stream:
            stream.sendall(b"x")
            assert stream.recv(10) == b"x"
            pongs = b"\x8a\x00"
            wait_until(lambda: between.answers[0].endswith(pongs), "no pong came")
            stream.sendall(b"y")
            assert stream.recv(10) == b"y"
        wait_until(lambda: between.answers[0].endswith(BYE), "no close frame came")
        assert between.streams[0][-8:-6] == b"\x88\x82"


def test_strangers(processes: Processes, certificate: Certificate) -> None:
    links = [Link("shadowsocks", WS), Link("shadowsocks", UPGRADE)]
    for port in gproxy_servers(processes, certificate, links):
        with_code = ("-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {NAME}")
        assert curl(*with_code, f"http://{LOOPBACK}:{port}/") == b"404"
        with socket.create_connection((LOOPBACK, port), 10) as stream:
            stream.sendall(b"\x16\x03\x01\x00\xa5\r\n\r\n")
            assert stream.recv(100).startswith(b"HTTP/1.1 400 ")
