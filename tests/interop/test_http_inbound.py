"""gproxy's HTTP server, and the mixed one, with clients of other makers."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.lab import fetch, program
from tests.interop.peers import USER
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed, run
from tests.support.tls import Certificate

LOGIN = f"{USER[0]}:{USER[1]}@"
BOTH = pytest.mark.parametrize("kind", ["http", "mixed"])


def start(processes: Processes, kind: str = "http", *users: tuple[str, str], **more: Any) -> int:
    """gproxy with one inbound that goes out directly; its port."""
    port = free_port()
    inbound = {"type": kind, "listen": LOOPBACK, "listen_port": port, **more}
    if users:
        inbound["users"] = [{"username": name, "password": password} for name, password in users]
    processes.gproxy({"inbounds": [inbound]})
    return port


@BOTH
def test_curl_through_a_tunnel(
    kind: str, processes: Processes, site: Server, tls_site: Server, certificate: Certificate
) -> None:
    door = f"{LOOPBACK}:{start(processes, kind)}"
    proxy = f"http://{door}"
    trust = ("--cacert", str(certificate.authority))
    body = fetch(proxy, f"https://localhost:{tls_site.port}/bytes/3000001", *trust)
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)
    assert fetch(proxy, f"http://{site.authority}/", "-p") == HELLO
    assert fetch(proxy, f"http://{site.authority}/", "-p", "--proxy1.0", door) == HELLO


@BOTH
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_without_a_tunnel(kind: str, version: str, processes: Processes, site: Server) -> None:
    proxy = f"http://{LOOPBACK}:{start(processes, kind)}"
    url = f"http://localhost:{site.port}"
    for path in ("bytes", "chunked"):
        for size in (0, 1, 3_000_001):
            body = fetch(proxy, f"{url}/{path}/{size}", version)
            assert hashlib.sha256(body).hexdigest() == digest(size)
    assert fetch(proxy, f"{url}/", version, "-I").startswith(b"HTTP/1.1 200 OK\r\n")
    assert fetch(proxy, f"{url}/status/204", version, "-w", "%{http_code}") == b"204"


def test_curl_sends_bodies(processes: Processes, site: Server) -> None:
    proxy = f"http://{LOOPBACK}:{start(processes)}"
    data = b"x" * 200_000
    for how in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue"), ("-H", "Expect:")):
        command = ("curl", "-sS", "-x", proxy, *how, "--data-binary", "@-", f"http://{site.authority}/")
        assert run(*command, data=data).stdout == data


def test_curl_asks_again_with_the_password(processes: Processes, site: Server) -> None:
    port = start(processes, "mixed", USER)
    proxy, url = f"http://{LOGIN}{LOOPBACK}:{port}", f"http://{site.authority}/"
    for more in ((), ("-p",), ("--proxy-anyauth",), ("-p", "--proxy-anyauth")):
        assert fetch(proxy, url, *more) == HELLO
    for wrong in ("u:wrong@", "nobody:pw1@", ""):
        assert fetch(f"http://{wrong}{LOOPBACK}:{port}", url, "-o", "/dev/null", "-w", "%{http_code}") == b"407"
        with pytest.raises(ProcessFailed, match="407"):
            fetch(f"http://{wrong}{LOOPBACK}:{port}", url, "-p")


def test_curl_is_told_why(processes: Processes) -> None:
    proxy = f"http://{LOOPBACK}:{start(processes)}"
    code = ("-o", "/dev/null", "-w", "%{http_code}")
    assert fetch(proxy, f"http://{LOOPBACK}:{free_port()}/", *code) == b"502"
    assert fetch(proxy, "http://no-such-host.invalid/", *code) == b"502"
    with pytest.raises(ProcessFailed, match="502"):
        fetch(proxy, f"http://{LOOPBACK}:{free_port()}/", "-p")


def test_curl_goes_on_to_another_server(processes: Processes, site: Server) -> None:
    """One connection to the proxy, three to the site."""
    proxy = f"http://{LOOPBACK}:{start(processes)}"
    urls = [f"http://{host}:{site.port}/" for host in ("localhost", LOOPBACK, "localhost", "localhost")]
    bodies = [part for url in urls for part in ("-o", "/dev/null", url)]
    output = run("curl", "-sS", "-4", "-x", proxy, "-w", "%{num_connects} %{http_code}\n", *bodies).stdout
    assert output.split() == [b"1", b"200", *[b"0", b"200"] * 3]


@pytest.mark.parametrize("user", [None, USER])
def test_sing_box(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    port = start(processes, "http", *([user] if user else []))
    outbound = {"type": "http", "server": LOOPBACK, "server_port": port}
    if user:
        outbound |= {"username": user[0], "password": user[1]}
    client = peers.sing_box_client(processes, outbound)
    for host in (LOOPBACK, "localhost"):
        assert fetch(f"socks5h://{LOOPBACK}:{client}", f"http://{host}:{site.port}/") == HELLO


def test_pproxy(processes: Processes, site: Server) -> None:
    client = peers.pproxy(processes, "socks5://{port}", f"http://{LOOPBACK}:{start(processes)}")
    assert fetch(f"socks5h://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO


def test_tinyproxy(processes: Processes, site: Server) -> None:
    client = peers.tinyproxy(processes, upstream=f"http {LOOPBACK}:{start(processes)}")
    assert fetch(f"http://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO


def test_privoxy(processes: Processes, site: Server, tls_site: Server, certificate: Certificate) -> None:
    client = peers.privoxy(processes, f"forward / {LOOPBACK}:{start(processes)}")
    assert fetch(f"http://{LOOPBACK}:{client}", f"http://{site.authority}/") == HELLO
    trust = ("--cacert", str(certificate.authority))
    assert fetch(f"http://{LOOPBACK}:{client}", f"https://localhost:{tls_site.port}/", *trust) == HELLO


def test_proxychains(processes: Processes, site: Server) -> None:
    proxy = f"http {LOOPBACK} {start(processes, 'http', USER)} {USER[0]} {USER[1]}"
    command = peers.proxychains(processes, proxy, "curl", "-sS", f"http://{site.authority}/")
    assert run(*command).stdout == HELLO


def test_socat(processes: Processes, site: Server) -> None:
    port = start(processes, "http", USER)
    login = f"proxyport={port},proxyauth={USER[0]}:{USER[1]}"
    door = f"PROXY:{LOOPBACK}:localhost:{site.port},{login}"
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    done = run(program("socat"), "-t", "10", "-", door, data=request)
    assert done.stdout.endswith(HELLO), done.stderr


@pytest.mark.parametrize("keep", [(), ("-k",)])
def test_apache_bench(keep: tuple[str, ...], processes: Processes, site: Server) -> None:
    """Many at once, by a client that speaks HTTP/1.0."""
    proxy = f"{LOOPBACK}:{start(processes)}"
    url = f"http://{site.authority}/bytes/5000"
    done = run(program("ab"), "-q", "-X", proxy, *keep, "-n", "300", "-c", "20", url)
    text = done.stdout.decode()
    assert re.search(r"Complete requests:\s+300\b", text), text + done.stderr.decode()
    assert re.search(r"Failed requests:\s+0\b", text), text
    assert "Non-2xx" not in text


def test_hey(processes: Processes, site: Server) -> None:
    """Many at once, each with many requests on its connection."""
    proxy = f"http://{LOOPBACK}:{start(processes)}"
    done = run(program("hey"), "-n", "500", "-c", "20", "-x", proxy, f"http://{site.authority}/bytes/5000")
    assert b"[200]\t500 responses" in done.stdout, done.stdout.decode()
