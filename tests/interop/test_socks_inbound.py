"""gproxy's SOCKS server, and the mixed one, with clients of other makers."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.lab import fetch, program, socks5_udp
from tests.interop.peers import USER
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed, run
from tests.support.tls import Certificate

OPEN_USER = ("open", "")
LOGIN = f"{USER[0]}:{USER[1]}@"


def start(processes: Processes, kind: str = "socks", *users: tuple[str, str], **more: Any) -> int:
    """gproxy with one inbound that goes out directly; its port."""
    port = free_port()
    inbound = {"type": kind, "listen": LOOPBACK, "listen_port": port, **more}
    if users:
        inbound["users"] = [{"username": name, "password": password} for name, password in users]
    processes.gproxy({"inbounds": [inbound]})
    return port


@pytest.mark.parametrize("kind", ["socks", "mixed"])
@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_curl(kind: str, scheme: str, processes: Processes, tls_site: Server, certificate: Certificate) -> None:
    proxy = f"{scheme}://{LOOPBACK}:{start(processes, kind)}"
    trust = ("--cacert", str(certificate.authority), "-4")
    assert fetch(proxy, f"https://localhost:{tls_site.port}/", *trust) == HELLO
    body = fetch(proxy, f"https://localhost:{tls_site.port}/bytes/3000001", *trust)
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)


@pytest.mark.parametrize("kind", ["socks", "mixed"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_curl_with_a_password(kind: str, scheme: str, processes: Processes, site: Server) -> None:
    port = start(processes, kind, USER)
    url = f"http://{site.authority}/"
    assert fetch(f"{scheme}://{LOGIN}{LOOPBACK}:{port}", url) == HELLO
    for wrong in ("u:wrong@", "nobody:pw1@", ""):
        with pytest.raises(ProcessFailed, match="97"):
            fetch(f"{scheme}://{wrong}{LOOPBACK}:{port}", url)


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
def test_curl_with_a_user_id(scheme: str, processes: Processes, site: Server) -> None:
    port = start(processes, "socks", USER, OPEN_USER)
    url = f"http://{site.authority}/"
    assert fetch(f"{scheme}://open@{LOOPBACK}:{port}", url) == HELLO
    for wrong in ("u@", "u:pw1@", ""):
        with pytest.raises(ProcessFailed, match="97"):
            fetch(f"{scheme}://{wrong}{LOOPBACK}:{port}", url)


def test_curl_is_told_why(processes: Processes, site: Server) -> None:
    proxy = f"socks5h://{LOOPBACK}:{start(processes)}"
    for url, code in ((f"http://{LOOPBACK}:{free_port()}/", 5), ("http://no-such-host.invalid/", 4)):
        with pytest.raises(ProcessFailed, match=rf"\({code}\)"):
            fetch(proxy, url)
    with pytest.raises(ProcessFailed, match="91"):
        fetch(proxy.replace("socks5h", "socks4"), f"http://{LOOPBACK}:{free_port()}/")
    assert fetch(proxy, f"http://{site.authority}/") == HELLO


def test_datagrams(processes: Processes, udp_echo_server: Server) -> None:
    target = (udp_echo_server.host, udp_echo_server.port)
    port = start(processes, "mixed")
    for payload in (b"", b"ping", b"x" * 1400, b"y" * 60000):
        socks5_udp(port, target, payload)
    socks5_udp(port, target, domain="localhost")
    socks5_udp(start(processes, "socks", USER), target, user=USER)


@pytest.mark.parametrize(("version", "user"), [("4", None), ("4a", None), ("5", None), ("5", USER)])
def test_sing_box(version: str, user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    outbound = {"type": "socks", "server": LOOPBACK, "version": version}
    if user:
        outbound |= {"username": user[0], "password": user[1]}
    outbound["server_port"] = start(processes, "socks", *([user] if user else []))
    client = peers.sing_box_client(processes, outbound)
    assert fetch(f"socks5h://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO


def test_sing_box_with_datagrams(processes: Processes, udp_echo_server: Server) -> None:
    port = start(processes)
    client = peers.sing_box_client(processes, {"type": "socks", "server": LOOPBACK, "server_port": port})
    for payload in (b"ping", b"x" * 1400):
        socks5_udp(client, (udp_echo_server.host, udp_echo_server.port), payload)


@pytest.mark.parametrize("proxy", ["socks5", "socks4"])
def test_proxychains(proxy: str, processes: Processes, site: Server) -> None:
    port = start(processes, "mixed")
    command = peers.proxychains(processes, f"{proxy} {LOOPBACK} {port}", "curl", "-sS", f"http://{site.authority}/")
    assert run(*command).stdout == HELLO


def test_proxychains_with_a_password(processes: Processes, site: Server) -> None:
    proxy = f"socks5 {LOOPBACK} {start(processes, 'socks', USER)} {USER[0]} {USER[1]}"
    command = peers.proxychains(processes, proxy, "curl", "-sS", f"http://localhost:{site.port}/")
    assert run(*command).stdout == HELLO


@pytest.mark.parametrize("kind", ["SOCKS4", "SOCKS4A"])
def test_socat(kind: str, processes: Processes, site: Server) -> None:
    port = start(processes)
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = run(
        program("socat"), "-t", "10", "-", f"{kind}:{LOOPBACK}:localhost:{site.port},socksport={port}", data=request
    )
    assert done.stdout.endswith(HELLO), done.stderr


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
def test_pproxy(scheme: str, processes: Processes, site: Server) -> None:
    client = peers.pproxy(processes, "http://{port}", f"{scheme}://{LOOPBACK}:{start(processes)}")
    assert fetch(f"http://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO


def test_haproxy_as_socks4_client(processes: Processes, site: Server) -> None:
    door = peers.haproxy_socks4(processes, start(processes), site.port)
    assert run("curl", "-sS", f"http://{LOOPBACK}:{door}/").stdout == HELLO


@pytest.mark.parametrize("forward", ["forward-socks4", "forward-socks4a", "forward-socks5"])
def test_privoxy(forward: str, processes: Processes, site: Server) -> None:
    port = peers.privoxy(processes, f"{forward} / {LOOPBACK}:{start(processes)} .")
    assert fetch(f"http://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO


@pytest.mark.parametrize("version", [1, 2])
def test_haproxy_in_front_tells_who_the_client_is(version: int, processes: Processes, site: Server) -> None:
    port = start(processes, "mixed", proxy_protocol=True)
    door = peers.haproxy_send(processes, port)[version]
    assert fetch(f"socks5h://{LOOPBACK}:{door}", f"http://{site.authority}/") == HELLO
    with pytest.raises(ProcessFailed):
        fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/")
