"""Trojan with clients and servers of other makers, and what those see who speak no Trojan."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.lab import Association, dial
from tests.interop.traffic import MIB, Far, check_datagrams, check_streams, echo, far, half_closes
from tests.interop.trojan import (
    OTHER,
    PEERS,
    client_half,
    gproxy_clients,
    gproxy_servers,
    only,
    server_half,
)
from tests.support.origin import HELLO, Server, content
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes, ProcessFailed, curl
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

VERSIONS = ("1.2", "1.3")
BULK = 64 * MIB
SILENCE = 1.0


@pytest.mark.parametrize("name", PEERS)
def test_clients(name: str, processes: Processes, far: Far, certificate: Certificate, site: Server) -> None:
    peer = PEERS[name]
    servers = gproxy_servers(processes, *(server_half(certificate, site.port, **only(version)) for version in VERSIONS))
    ports = [peer.client(processes, certificate, server) for server in servers]
    echo(ports[0], (LOOPBACK, far.tcp.port), MIB)
    check_streams(ports[-1], far, BULK)
    check_datagrams(ports[-1], far, peer.longest)
    if peer.client_half_close != "none":
        assert half_closes(ports[-1]) == peer.client_half_close


@pytest.mark.parametrize("name", PEERS)
def test_servers(name: str, processes: Processes, far: Far, certificate: Certificate, site: Server) -> None:
    peer = PEERS[name]
    server = peer.server(processes, certificate, site.port)
    ports = gproxy_clients(processes, *(client_half(certificate, server, **only(version)) for version in VERSIONS))
    echo(ports[0], (LOOPBACK, far.tcp.port), MIB)
    check_streams(ports[-1], far, BULK)
    check_datagrams(ports[-1], far, peer.longest)
    if peer.server_half_close != "none":
        assert half_closes(ports[-1]) == peer.server_half_close


def test_gproxy_with_gproxy(processes: Processes, far: Far, certificate: Certificate, site: Server) -> None:
    [server] = gproxy_servers(processes, server_half(certificate, site.port))
    ports = gproxy_clients(
        processes, *(client_half(certificate, server, OTHER, **only(version)) for version in VERSIONS)
    )
    check_streams(ports[-1], far, BULK)
    for port in ports:
        echo(port, (LOOPBACK, far.tcp.port), MIB)
        assert half_closes(port) == "both"
    with Association(ports[-1]) as association:  # one session for all of them
        for target in ((LOOPBACK, far.udp.port), ("::1", far.udp6.port), ("localhost", far.udp.port)):
            for size in (1, 1472, 60_000):
                association.echo(target, next(content(size)))


# -- the wrong half ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trojan", "sing-box"])
def test_wrong_passwords_and_names_at_our_server(
    name: str, processes: Processes, far: Far, certificate: Certificate, site: Server
) -> None:
    make = PEERS[name].client
    anyone, named = gproxy_servers(
        processes, server_half(certificate, site.port), server_half(certificate, site.port, server_name=NAME)
    )
    for port in (
        make(processes, certificate, anyone, password="stranger"),
        make(processes, certificate, anyone, name="other.example"),
        make(processes, certificate, named, name="localhost"),
    ):
        check_unserved(port, far)
    echo(make(processes, certificate, named), (LOOPBACK, far.tcp.port), 1)


@pytest.mark.parametrize("name", ["trojan", "sing-box"])
def test_wrong_passwords_and_names_of_our_client(
    name: str, processes: Processes, far: Far, certificate: Certificate, site: Server
) -> None:
    server = PEERS[name].server(processes, certificate, site.port)
    *wrong, right = gproxy_clients(
        processes,
        client_half(certificate, server, password="stranger"),
        client_half(certificate, server, name="other.example"),
        client_half(certificate, server),
    )
    for port in wrong:
        check_unserved(port, far)
    echo(right, (LOOPBACK, far.tcp.port), 1)


def check_unserved(port: int, far: Far) -> None:
    """Nothing gets through: what comes back, if anything, is the web site's. Raises AssertionError."""
    with contextlib.suppress(AssertionError, ConnectionError), dial(port, (LOOPBACK, far.tcp.port)) as stream:
        stream.settimeout(SILENCE)
        stream.sendall(b"hello\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            answer = stream.recv(100)
            if answer == b"hello\r\n\r\n":
                pytest.fail("the target was reached")


# -- the web site ------------------------------------------------------------------------------------------------------


def test_what_a_browser_and_a_probe_see(processes: Processes, certificate: Certificate, site: Server) -> None:
    """The rules, which refuse the site's address, are not asked."""
    first = server_half(certificate, site.port, alpn=["http/1.1"])
    fallbacks = {
        "http/1.1": {"server": LOOPBACK, "server_port": peers.nginx_accept(processes), "proxy_protocol": 1},
        "h2": {"server": LOOPBACK, "server_port": peers.nginx_accept(processes, http2=True), "proxy_protocol": 2},
    }
    second = server_half(certificate, site.port) | {"fallback_for_alpn": fallbacks}
    ports = _behind_rules(processes, first, second)
    for version in ("--tls-max 1.2", "--tlsv1.3"):
        assert _look(certificate, ports[0], "/", *version.split()) == HELLO
    assert len(_look(certificate, ports[0], f"/bytes/{MIB}")) == MIB
    body = next(content(5000)).hex()
    assert _look(certificate, ports[0], "/", "--data", body) == body.encode()
    for protocol in ("--http1.1", "--http2"):
        told = _look(certificate, ports[1], "/", protocol)
        assert told.startswith(b"src=127.0.0.1:")
        assert told.endswith(b"dst=127.0.0.1:%d\n" % ports[1])
    with pytest.raises(ProcessFailed):  # not TLS
        curl(f"http://{LOOPBACK}:{ports[0]}/")
    with socket.create_connection((LOOPBACK, ports[0])) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not _read(stream).startswith(b"HTTP"), "the site is behind TLS only"


def _behind_rules(processes: Processes, *inbounds: dict[str, Any]) -> list[int]:
    return gproxy_servers(processes, *inbounds, rules=[{"ip_is_private": True, "action": "reject"}])


def _look(certificate: Certificate, port: int, path: str, *arguments: str) -> bytes:
    resolved = ("--resolve", f"{NAME}:{port}:{LOOPBACK}")
    return curl("--cacert", str(certificate.authority), *resolved, *arguments, f"https://{NAME}:{port}{path}")


def _read(stream: socket.socket) -> bytes:
    stream.settimeout(30)
    with contextlib.suppress(ConnectionError):
        return stream.recv(100)
    return b""
