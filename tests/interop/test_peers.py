"""The peers among themselves: before gproxy is blamed, the same pair must work with two foreign halves."""

from __future__ import annotations

import pytest

from tests.interop import peers
from tests.interop.lab import fetch, socks5_udp, udp_echo
from tests.interop.peers import SYSTEM_USER, USER
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes, ProcessFailed, run
from tests.support.tls import Certificate


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "socks5h"])
def test_dante(scheme: str, processes: Processes, site: Server, udp_echo_server: Server) -> None:
    port = peers.dante(processes)
    assert fetch(f"{scheme}://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO
    socks5_udp(port, (udp_echo_server.host, udp_echo_server.port))


def test_dante_with_a_password(processes: Processes, site: Server) -> None:
    port = peers.dante(processes, passwords=True)
    assert fetch(f"socks5h://{':'.join(SYSTEM_USER)}@{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO


@pytest.mark.parametrize("user", [None, USER])
def test_microsocks(
    user: tuple[str, str] | None, processes: Processes, tls_site: Server, certificate: Certificate
) -> None:
    login = ":".join(user) + "@" if user else ""
    port = peers.microsocks(processes, user)
    url = f"https://localhost:{tls_site.port}/"
    assert fetch(f"socks5h://{login}{LOOPBACK}:{port}", url, "--cacert", str(certificate.authority)) == HELLO


@pytest.mark.parametrize("scheme", ["socks4a", "socks5h", "http"])
def test_sing_box(scheme: str, processes: Processes, site: Server, udp_echo_server: Server) -> None:
    server = peers.sing_box_server(processes, "mixed")
    client = peers.sing_box_client(processes, {"type": "socks", "server": LOOPBACK, "server_port": server})
    assert fetch(f"{scheme}://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO
    socks5_udp(client, (udp_echo_server.host, udp_echo_server.port))


def test_tinyproxy(processes: Processes, site: Server) -> None:
    upstream = peers.microsocks(processes)
    port = peers.tinyproxy(processes, user=USER, upstream=f"socks5 {LOOPBACK}:{upstream}", connect_ports=[site.port])
    proxy = f"http://{':'.join(USER)}@{LOOPBACK}:{port}"
    assert fetch(proxy, f"http://{site.authority}/") == HELLO
    assert fetch(proxy, f"http://{site.authority}/", "-p") == HELLO


def test_squid(processes: Processes, site: Server) -> None:
    port = peers.squid(processes, passwords=True)
    assert fetch(f"http://{':'.join(USER)}@{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO
    with pytest.raises(ProcessFailed, match="407"):
        fetch(f"http://u:wrong@{LOOPBACK}:{port}", f"http://{site.authority}/", "-f")


def test_privoxy(processes: Processes, site: Server) -> None:
    port = peers.privoxy(processes, f"forward-socks5 / {LOOPBACK}:{peers.microsocks(processes)} .")
    assert fetch(f"http://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO


def test_proxychains(processes: Processes, site: Server) -> None:
    port = peers.microsocks(processes)
    command = peers.proxychains(processes, f"socks5 {LOOPBACK} {port}", "curl", "-sS", f"http://{site.authority}/")
    assert run(*command).stdout == HELLO


@pytest.mark.parametrize("scheme", ["socks5", "socks4", "http"])
def test_pproxy(scheme: str, processes: Processes, site: Server) -> None:
    server = peers.pproxy(processes, f"{scheme}://{{port}}")
    client = peers.pproxy(processes, "http://{port}", f"{scheme}://{LOOPBACK}:{server}")
    assert fetch(f"http://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("accept", [peers.haproxy_accept, peers.nginx_accept])
def test_proxy_protocol(accept: object, version: int, processes: Processes) -> None:
    assert callable(accept)
    port = peers.haproxy_send(processes, accept(processes))[version]
    told = run("curl", "-sS", f"http://{LOOPBACK}:{port}/").stdout
    assert told.startswith(f"src={LOOPBACK}:".encode())
    assert told.rstrip().endswith(f"dst={LOOPBACK}:{port}".encode())


def test_haproxy_as_socks4_client(processes: Processes, site: Server) -> None:
    port = peers.haproxy_socks4(processes, peers.dante(processes), site.port)
    assert run("curl", "-sS", f"http://{LOOPBACK}:{port}/").stdout == HELLO


def test_udp_echo(udp_echo_server: Server) -> None:
    udp_echo((udp_echo_server.host, udp_echo_server.port), b"x" * 1400)
