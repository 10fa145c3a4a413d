"""The PROXY protocol: told by a balancer in front of gproxy, and told on to the target."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.e2e.clients import everything, exactly, packed, say, tunnel
from tests.e2e.proxy import Launcher, inbound, outbound
from tests.e2e.servers import serving
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK
from tests.support.procs import curl

V2 = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE, LOCAL = "203.0.113.9", "198.51.100.1"


def v2(source: str, local: str, ports: tuple[int, int], extra: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) + socket.inet_pton(family, local) + struct.pack("!HH", *ports) + extra
    return V2 + b"\x21" + (b"\x21" if ":" in source else b"\x11") + struct.pack("!H", len(body)) + body


V1_HEADER = f"PROXY TCP4 {SOURCE} {LOCAL} 1111 2222\r\n".encode()
GOOD = [
    (V1_HEADER, f"{SOURCE}:1111"),
    (b"PROXY TCP6 2001:db8::9 2001:db8::1 1111 2222\r\n", "[2001:db8::9]:1111"),
    (v2(SOURCE, LOCAL, (1111, 2222)), f"{SOURCE}:1111"),
    (v2("2001:db8::9", "2001:db8::1", (1111, 2222), b"\x04\x00\x01x"), "[2001:db8::9]:1111"),
    (b"PROXY UNKNOWN\r\n", None),
    (V2 + b"\x20\x00\0\0", None),  # LOCAL: a health check of the balancer's own
]
BAD = [
    b"\x05\x01\x00", b"GET http://x/ HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 1.2.3.4 x 1 2\r\n",
    b"PROXY " + b"x" * 200, V2 + b"\x31\x11\0\x0c" + b"\0" * 12, V2 + b"\x21\x11\0\x01x", V2[:7], b"PROXY TCP4 ",
]  # fmt: skip


# The clients that the headers tell of are elsewhere, and the targets of these tests are for this machine alone.
ALLOWED = {"action": "route-options", "allow_internal": True}


def test_who_comes_from_elsewhere_is_not_taken_for_the_balancer(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", proxy_protocol=True))
    request = b"\x05\x01\x00" + b"\x05\x01\x00" + packed((site.host, site.port))
    assert say(proxy.port, V1_HEADER + request)[:4] == b"\x05\x00\x05\x02"
    assert proxy.wait_sessions(1)[0]["status"] == "denied-target"
    assert say(proxy.port, b"PROXY UNKNOWN\r\n" + request)[:4] == b"\x05\x00\x05\x00"


def test_headers_of_both_versions(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", proxy_protocol=True), rules=(ALLOWED,))
    request = b"\x05\x01\x00" + b"\x05\x01\x00" + packed((site.host, site.port)) + b"GET / HTTP/1.0\r\n\r\n"
    for header, _ in GOOD:
        assert say(proxy.port, header + request).endswith(HELLO)
    sources = [session["source"] for session in proxy.wait_sessions(len(GOOD), status="ok")]
    for (_, wanted), source in zip(GOOD, sources, strict=True):
        assert source == wanted if wanted else source.startswith(f"{LOOPBACK}:")


def test_it_is_required_when_set(launch: Launcher) -> None:
    proxy = launch(inbound("mixed", proxy_protocol=True))
    for bad in BAD:
        assert say(proxy.port, bad) == b"", bad
    statuses = [session["status"] for session in proxy.wait_sessions(len(BAD))]
    assert {status.partition("-")[0] for status in statuses} <= {"protocol", "limit"}
    assert curl("--haproxy-protocol", proxy.url("http") + "/", "-o", "/dev/null", "-w", "%{http_code}") == b"400"


def test_it_is_not_taken_unless_set(launch: Launcher) -> None:
    proxy = launch(inbound("socks"), inbound("http", tag="http"))
    assert say(proxy.ports[0], V1_HEADER + b"\x05\x01\x00") == b""
    assert say(proxy.ports[1], V1_HEADER + b"\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("version", [1, 2])
def test_it_is_told_to_the_target(version: int, launch: Launcher) -> None:
    heard: list[bytes] = []

    def hears(sock: socket.socket) -> None:
        heard.append(sock.recv(1000))
        heard.append(everything(sock))

    outbounds = (outbound("direct", proxy_protocol=version),)
    proxy = launch(inbound("socks", proxy_protocol=True), outbounds=outbounds, rules=(ALLOWED,))
    with serving(hears) as server:
        answers = say(proxy.port, V1_HEADER + b"\x05\x01\x00\x05\x01\x00" + packed((server.host, server.port)) + b"hi")
    assert answers[:4] == b"\x05\x00\x05\x00"
    assert b"".join(heard) == (V1_HEADER if version == 1 else v2(SOURCE, LOCAL, (1111, 2222))) + b"hi"


@pytest.mark.parametrize("version", [1, 2])
def test_two_gproxies_understand_each_other(version: int, launch: Launcher, site: Server) -> None:
    last = launch(inbound("direct", proxy_protocol=True, override_port=site.port, network="tcp"))
    first = launch(outbounds=(outbound("direct", proxy_protocol=version),))
    with tunnel(first.port, (LOOPBACK, last.port)) as sock:
        source = "{}:{}".format(*sock.getsockname())
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert exactly(sock, 12) == b"HTTP/1.1 200"
        assert everything(sock).endswith(HELLO)
    assert last.session(status="ok")["source"] == source
