"""gproxy's Shadowsocks client with servers of other makers: one process for tests that differ in the method alone.

It is there before the servers are, each of which is started by its test at the port where it is looked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.interop.lab import through
from tests.interop.shadowsocks import (
    ONE_OF_EACH_KIND,
    PASSWORD,
    PEERS,
    bulk,
    each_method,
    gproxy_clients,
    options,
    password_for,
    ss_server,
)
from tests.interop.traffic import MIB, Far, check_datagrams, check_streams, far, half_closes, speaks_first
from tests.support.netns import module_network as own_network
from tests.support.ports import LOOPBACK, free_ports
from tests.support.procs import Processes

__all__ = ["far", "own_network"]

ALL = each_method("server")


@dataclass(frozen=True)
class Ways:
    """By maker and method: where its server is looked for, and the SOCKS5 port that leads there."""

    servers: dict[tuple[str, str], int]
    clients: dict[tuple[str, str], int]

    def to(self, processes: Processes, name: str, method: str) -> int:
        """Start this server; the SOCKS5 port that leads there."""
        PEERS[name].server(processes, method, password_for(method), port=self.servers[name, method])
        return self.clients[name, method]


@pytest.fixture(scope="module")
def ways(lasting: Processes) -> Ways:
    """Ways to every maker's server in every method."""
    servers = dict(zip(ALL, free_ports(len(ALL)), strict=True))
    clients = gproxy_clients(lasting, {each: (each[1], port) for each, port in servers.items()})
    return Ways(servers, clients)


@pytest.mark.parametrize(("name", "method"), ALL)
def test_every_method(name: str, method: str, ways: Ways, processes: Processes, far: Far) -> None:
    port = ways.to(processes, name, method)
    check_streams(port, far, bulk(method))
    check_datagrams(port, far, PEERS[name].longest)


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_a_target_that_speaks_first(name: str, method: str, ways: Ways, processes: Processes) -> None:
    speaks_first(ways.to(processes, name, method))


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_ends(name: str, method: str, ways: Ways, processes: Processes) -> None:
    assert half_closes(ways.to(processes, name, method)) == PEERS[name].server_half_close


def test_a_server_that_is_reached_by_ipv6_or_by_name(processes: Processes, far: Far) -> None:
    method = "chacha20-ietf-poly1305"
    for listen, host in (("::1", "::1"), (LOOPBACK, "localhost")):
        server = ss_server(processes, method, PASSWORD, listen)
        port = through(processes, "shadowsocks", {"server": host, "server_port": server, **options(method, PASSWORD)})
        check_streams(port, far, MIB)
        check_datagrams(port, far, 1200)
