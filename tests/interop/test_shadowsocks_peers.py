"""Shadowsocks among the peers: before gproxy is blamed, the same pair must work with two foreign halves."""

from __future__ import annotations

import pytest

from tests.interop.shadowsocks import PEERS, each_method, password_for
from tests.interop.traffic import MIB, Far, at_once, check_datagrams, echo, far
from tests.support.procs import Processes

__all__ = ["far"]


@pytest.mark.parametrize(("name", "method"), each_method("server"))
def test_its_own_halves(name: str, method: str, processes: Processes, far: Far) -> None:
    peer = PEERS[name]
    password = password_for(method)
    port = peer.client(processes, method, password, peer.server(processes, method, password))
    echo(port, (far.tcp.host, far.tcp.port), MIB)
    at_once(port, (far.tcp.host, far.tcp.port))
    check_datagrams(port, far, peer.longest)
