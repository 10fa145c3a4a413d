"""gproxy with gproxy: what the foreign halves don't keep is kept here, in every method."""

from __future__ import annotations

import pytest

from tests.interop.lab import Association
from tests.interop.shadowsocks import METHODS, RETIRED, gproxy_clients, gproxy_servers
from tests.interop.traffic import MIB, Far, check_streams, far, half_closes, speaks_first
from tests.support.netns import module_network as own_network
from tests.support.origin import content
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes

__all__ = ["far", "own_network"]

LONGEST = 60_000


@pytest.fixture(scope="module")
def clients(lasting: Processes) -> dict[str, int]:
    """The SOCKS5 port of each method: one client with one server."""
    servers = gproxy_servers(lasting, METHODS)
    return gproxy_clients(lasting, {method: (method, port) for method, port in servers.items()})


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method: str, clients: dict[str, int], far: Far) -> None:
    port = clients[method]
    check_streams(port, far, MIB if method in RETIRED else 8 * MIB)  # 64 MiB go between each half and all the others
    speaks_first(port)
    assert half_closes(port) == "both"
    with Association(port) as association:  # one session for all of them
        for target in ((LOOPBACK, far.udp.port), ("::1", far.udp6.port), ("localhost", far.udp.port)):
            for size in (1, 1472, LONGEST):
                association.echo(target, next(content(size)))
