"""gproxy's Shadowsocks client with servers of other makers."""

from __future__ import annotations

import pytest

from tests.interop.lab import through
from tests.interop.shadowsocks import (
    ONE_OF_EACH_KIND,
    PASSWORD,
    PEERS,
    bulk,
    each_method,
    gproxy_client,
    options,
    password_for,
    ss_server,
)
from tests.interop.traffic import MIB, Far, check_datagrams, check_streams, far, half_closes, speaks_first
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes

__all__ = ["far"]


@pytest.mark.parametrize(("name", "method"), each_method("server"))
def test_every_method(name: str, method: str, processes: Processes, far: Far) -> None:
    peer = PEERS[name]
    password = password_for(method)
    port = gproxy_client(processes, method, password, peer.server(processes, method, password))
    check_streams(port, far, bulk(method))
    check_datagrams(port, far, peer.longest)


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_a_target_that_speaks_first(name: str, method: str, processes: Processes) -> None:
    peer = PEERS[name]
    password = password_for(method)
    speaks_first(gproxy_client(processes, method, password, peer.server(processes, method, password)))


@pytest.mark.parametrize(("name", "method"), ONE_OF_EACH_KIND)
def test_ends(name: str, method: str, processes: Processes) -> None:
    peer = PEERS[name]
    password = password_for(method)
    port = gproxy_client(processes, method, password, peer.server(processes, method, password))
    assert half_closes(port) == peer.server_half_close


def test_a_server_that_is_reached_by_ipv6_or_by_name(processes: Processes, far: Far) -> None:
    method = "chacha20-ietf-poly1305"
    for listen, host in (("::1", "::1"), (LOOPBACK, "localhost")):
        server = ss_server(processes, method, PASSWORD, listen)
        port = through(processes, "shadowsocks", {"server": host, "server_port": server, **options(method, PASSWORD)})
        check_streams(port, far, MIB)
        check_datagrams(port, far, 1200)
