"""The transports over HTTP/2 with other makers, both roles, and with a web server in front."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from tests.interop.test_transports import BULK, check
from tests.interop.traffic import Far, at_once, echo, far, half_closes
from tests.interop.transports import (
    BODIES,
    GRPC,
    GRPC_PATH,
    MAKERS,
    Link,
    gproxy_clients,
    gproxy_servers,
    nginx,
    sing_box_clients,
    xray_clients,
)
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes, curl
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

_TLS = (Link("trojan", GRPC, tls=True), Link("trojan", BODIES, tls=True), Link("trojan", GRPC_PATH, tls=True))
_BOTH = (*_TLS, Link("trojan", GRPC), Link("trojan", BODIES))
MAKERS = {
    "gproxy": replace(
        MAKERS["gproxy"], links=(*_BOTH, Link("shadowsocks", GRPC), Link("shadowsocks", BODIES, tls=True))
    ),
    "sing-box": replace(MAKERS["sing-box"], links=_BOTH),
    "xray": replace(MAKERS["xray"], links=(_TLS[0], _TLS[2], Link("shadowsocks", GRPC))),
    "v2ray": replace(MAKERS["v2ray"], links=(_TLS[1], Link("shadowsocks", BODIES, tls=True))),
}


@pytest.mark.parametrize("name", MAKERS)
def test_clients(name: str, processes: Processes, far: Far, certificate: Certificate) -> None:
    maker = MAKERS[name]
    servers = gproxy_servers(processes, certificate, maker.links)
    ports = maker.clients(processes, certificate, maker.links, servers)
    for link, port in zip(maker.links, ports, strict=True):
        check(port, link, far, maker.longest, greeted=not maker.waits)
    at_once(ports[0], (LOOPBACK, far.tcp.port))
    for port in ports[:2]:
        echo(port, (LOOPBACK, far.tcp.port), BULK[name])


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "gproxy"])
def test_servers(name: str, processes: Processes, far: Far, certificate: Certificate) -> None:
    maker = MAKERS[name]
    servers = maker.servers(processes, certificate, maker.links)
    ports = gproxy_clients(processes, certificate, maker.links, servers)
    for link, port in zip(maker.links, ports, strict=True):
        check(port, link, far, maker.longest)
    at_once(ports[0], (LOOPBACK, far.tcp.port))
    for port in ports[:2]:
        echo(port, (LOOPBACK, far.tcp.port), BULK[name])


def test_ends(processes: Processes, certificate: Certificate) -> None:
    """Go ends a request with its answer, sooner or later; what was said before an end arrives all the same."""
    links = MAKERS["gproxy"].links
    servers = gproxy_servers(processes, certificate, links)
    ports = gproxy_clients(processes, certificate, links, servers)
    assert [half_closes(port) for port in ports] == ["both"] * len(links)
    ports = sing_box_clients(processes, certificate, _BOTH, servers[: len(_BOTH)])
    *over_http2, plain = [half_closes(port) for port in ports]
    assert set(over_http2) <= {"none", "server"}
    assert plain == "both"


def test_behind_a_web_server(processes: Processes, far: Far, certificate: Certificate) -> None:
    """Which alone has TLS, and ends requests as it likes."""
    links = [Link("trojan", GRPC, tls=True), Link("trojan", BODIES, tls=True)]
    servers = gproxy_servers(processes, certificate, [Link("trojan", link.transport) for link in links])
    front = nginx(processes, certificate, {}, {"/Gun/": servers[0], "/bodies": servers[1]})
    for clients in (gproxy_clients, sing_box_clients, xray_clients):
        known = links[: 1 if clients is xray_clients else 2]
        ports = clients(processes, certificate, known, [front] * len(known))
        for link, port in zip(known, ports, strict=True):
            check(port, link, far, greeted=clients is not xray_clients)
            at_once(port, (LOOPBACK, far.tcp.port))
    page = ("--http2", "--cacert", str(certificate.authority), "--resolve", f"{NAME}:{front}:{LOOPBACK}")
    code = ("-w", "%{http_code}")
    assert curl(*page, *code, f"https://{NAME}:{front}/") == b"the front page200"
    assert curl(*page, *code, f"https://{NAME}:{front}/Gun/Other") == b"404"


def test_strangers(processes: Processes, certificate: Certificate) -> None:
    """Whoever asks for something else finds nothing, by either version of HTTP."""
    links = [Link("trojan", GRPC), Link("trojan", BODIES)]
    calls, bodies = gproxy_servers(processes, certificate, links)
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    here = ("-H", f"Host: {NAME}")
    prior = "--http2-prior-knowledge"
    called = ("-X", "POST", "-H", "Content-Type: application/grpc")
    for version in ("--http1.1", prior):
        assert curl(*code, version, f"http://{LOOPBACK}:{calls}/") == b"404"
        assert curl(*code, version, *here, f"http://{LOOPBACK}:{bodies}/") == b"404"
        assert curl(*code, version, "-X", "PUT", f"http://{LOOPBACK}:{bodies}/bodies") == b"404"
        assert curl(*code, version, *called, f"http://{LOOPBACK}:{calls}/Other/Tun") == b"404"
    said = curl("-i", prior, *called, f"http://{LOOPBACK}:{calls}/Gun/TunMulti")
    assert b"grpc-status: 12" in said
    for port in (calls, bodies):
        with socket.create_connection((LOOPBACK, port), 10) as stream:
            stream.sendall(b"\x16\x03\x01\x00\xa5\r\n\r\n")
            assert stream.recv(100).startswith(b"HTTP/1.1 400 ")


def test_wrong_places(processes: Processes, far: Far, certificate: Certificate) -> None:
    """A client that asks there hears that there is nothing."""
    right = [Link("trojan", GRPC, tls=True), Link("trojan", BODIES, tls=True), Link("trojan", BODIES)]
    wrong = [replace(right[0], transport=GRPC | {"service_name": "Nug"})]
    wrong += [
        replace(link, transport=BODIES | other) for link in right[1:] for other in ({"path": "/x"}, {"host": "x"})
    ]
    for servers in (gproxy_servers, MAKERS["sing-box"].servers):
        grpc, bodies, plain = servers(processes, certificate, right)
        for port in gproxy_clients(processes, certificate, wrong, [grpc, bodies, bodies, plain, plain]):
            with pytest.raises((AssertionError, OSError)):
                echo(port, (LOOPBACK, far.tcp.port), 1)
    [port] = gproxy_servers(processes, certificate, right[:1])
    several = [replace(right[0], transport=GRPC | {"multi": True})]
    with pytest.raises((AssertionError, OSError)):
        echo(xray_clients(processes, certificate, several, [port])[0], (LOOPBACK, far.tcp.port), 1)
