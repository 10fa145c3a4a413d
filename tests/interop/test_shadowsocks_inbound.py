"""gproxy's Shadowsocks server with clients of other makers: one process for tests that differ in the method alone."""

from __future__ import annotations

import socket

import pytest

from tests.interop.lab import udp_echo
from tests.interop.shadowsocks import (
    METHODS,
    ONE_OF_EACH_KIND,
    PASSWORD,
    PEERS,
    bulk,
    each_method,
    gproxy_server,
    gproxy_servers,
    password_for,
    ss_local,
    ss_tunnel,
)
from tests.interop.traffic import MIB, Far, check_datagrams, check_streams, far, half_closes, speaks_first
from tests.support.netns import module_network as own_network
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes

__all__ = ["far", "own_network"]


@pytest.fixture(scope="module")
def servers(lasting: Processes) -> dict[str, int]:
    """The port of each method."""
    return gproxy_servers(lasting, METHODS)


@pytest.mark.parametrize(("name", "method"), each_method("client"))
def test_every_method(name: str, method: str, servers: dict[str, int], processes: Processes, far: Far) -> None:
    peer = PEERS[name]
    port = peer.client(processes, method, password_for(method), servers[method])
    check_streams(port, far, bulk(method))
    check_datagrams(port, far, peer.longest)


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_a_target_that_speaks_first(name: str, method: str, servers: dict[str, int], processes: Processes) -> None:
    speaks_first(PEERS[name].client(processes, method, password_for(method), servers[method]))


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_ends(name: str, method: str, servers: dict[str, int], processes: Processes) -> None:
    peer = PEERS[name]
    port = peer.client(processes, method, password_for(method), servers[method])
    assert half_closes(port) == peer.client_half_close


@pytest.mark.parametrize("method", ["aes-256-gcm", "aes-256-cfb"])
def test_a_tunnel(method: str, servers: dict[str, int], processes: Processes, far: Far) -> None:
    streams = ss_tunnel(processes, method, PASSWORD, servers[method], far.tcp.port)
    with socket.create_connection((LOOPBACK, streams), 10) as stream:
        stream.sendall(b"hello")
        assert stream.recv(100) == b"hello"
    packets = ss_tunnel(processes, method, PASSWORD, servers[method], far.udp.port)
    udp_echo((LOOPBACK, packets), bytes(1200))


def test_a_client_that_comes_by_ipv6(processes: Processes, far: Far) -> None:
    method = "chacha20-ietf-poly1305"
    server = gproxy_server(processes, method, PASSWORD, listen="::")
    for host in ("::1", LOOPBACK):
        port = ss_local(processes, method, PASSWORD, server, host)
        check_streams(port, far, MIB)
        check_datagrams(port, far, 1200)
