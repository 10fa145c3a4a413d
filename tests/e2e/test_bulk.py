"""Much at once, each byte accounted for."""

from __future__ import annotations

import hashlib
import shlex
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.clients import everything, exactly, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound, outbound
from tests.e2e.servers import CrowdEcho, serving
from tests.support.origin import Server, content, digest
from tests.support.ports import LOOPBACK
from tests.support.procs import run
from tests.support.wait import wait_until

GIB = 1 << 30
SOURCE = """
import sys
from tests.support.origin import content
for piece in content(int(sys.argv[1])):
    sys.stdout.buffer.write(piece)
"""


def piped(command: str) -> str:
    """What a pipe of programs prints, none of which may fail."""
    done = run("bash", "-c", f"set -o pipefail; {command}")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().split()[0]


@pytest.mark.slow
def test_a_gibibyte_down(proxy: Proxy, site: Server) -> None:
    fetch = f"curl -q -sS -x {proxy.url('socks5h')} http://{site.authority}/bytes/{GIB}"
    assert piped(f"{fetch} | sha256sum") == digest(GIB)
    session = proxy.session(status="ok")
    assert session["down"] > GIB
    assert session["up"] < 1000


@pytest.mark.slow
def test_a_gibibyte_up(proxy: Proxy) -> None:
    def hashes(sock: socket.socket) -> None:
        head, _, body = sock.recv(65536).partition(b"\r\n\r\n")
        assert f"content-length: {GIB}" in head.decode().lower()
        total, left = hashlib.sha256(body), GIB - len(body)
        while left and (piece := sock.recv(1 << 20)):
            total.update(piece)
            left -= len(piece)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + total.hexdigest().encode())

    with serving(hashes) as server:
        make = shlex.join([sys.executable, "-c", SOURCE, str(GIB)])
        put = f"curl -q -sS -x {proxy.url('http')} -T - -H 'Content-Length: {GIB}' -H Transfer-Encoding: -H Expect:"
        assert piped(f"{make} | {put} http://{server.authority}/") == digest(GIB)
    assert proxy.session(status="ok")["up"] > GIB


def there_and_back(port: int, target: tuple[str, int], number: int, size: int) -> None:
    """What one connection says comes back to it, and to no other."""
    said = hashlib.sha512(number.to_bytes(4, "big")).digest() * (size // 64)
    with tunnel(port, target) as sock:
        sock.sendall(said)
        heard = exactly(sock, len(said))
        sock.shutdown(socket.SHUT_WR)
        assert everything(sock) == b""
    assert heard == said, number


@pytest.mark.parametrize(("count", "size"), [(50, 1 << 18), (500, 1 << 14)])
def test_connections_at_once(count: int, size: int, proxy: Proxy, echo: Server) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda number: there_and_back(proxy.port, (echo.host, echo.port), number, size), range(count)))
    sessions = proxy.wait_sessions(count, status="ok")
    assert {(session["up"], session["down"]) for session in sessions} == {(size, size)}
    assert len({session["session"] for session in sessions}) == count


def test_transfers_at_once_through_a_chain(launch: Launcher, site: Server) -> None:
    """The greenlet copy and the pump beside each other, in one process, with large bodies in both."""
    last = launch(inbound("http"))
    proxy = launch(outbounds=(outbound("http", last.port),))
    size = 5_000_000
    schemes = ("http", "socks5h", "socks4a") * 4

    def fetch(scheme: str) -> str:
        return piped(f"curl -q -sS -x {proxy.url(scheme)} http://{site.authority}/bytes/{size} | sha256sum")

    with ThreadPoolExecutor(len(schemes)) as pool:
        assert set(pool.map(fetch, schemes)) == {digest(size)}


def test_clients_that_never_read(proxy: Proxy) -> None:
    """What they don't take stays with the origin: gproxy holds no more of it than a pipe and a buffer."""
    stuck = []

    def endless(sock: socket.socket) -> None:
        sock.settimeout(1.0)
        sent = 0
        try:
            for piece in content(GIB):
                sent += sock.send(piece)
        except TimeoutError:
            stuck.append(sent)
            everything(sock)

    before = proxy.process.memory()
    with serving(endless) as server, ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(tunnel(proxy.port, (server.host, server.port)))
        wait_until(lambda: len(stuck) == 20, lambda: f"only {len(stuck)} origins have stopped", 20)
        assert max(stuck) < 64 << 20
        assert proxy.process.memory() - before < 32 << 20
        with CrowdEcho() as crowd:
            there_and_back(proxy.port, (LOOPBACK, crowd.port), 1, 1 << 18)
    proxy.wait_sessions(21)
