"""gproxy's Shadowsocks client with servers of other makers."""

from __future__ import annotations

import pytest

from tests.interop.shadowsocks import PEERS, bulk, each_method, gproxy_client, password_for
from tests.interop.traffic import Far, check_datagrams, check_streams, far
from tests.support.procs import Processes

__all__ = ["far"]


@pytest.mark.parametrize(("name", "method"), each_method("server"))
def test_every_method(name: str, method: str, processes: Processes, far: Far) -> None:
    peer = PEERS[name]
    password = password_for(method)
    port = gproxy_client(processes, method, password, peer.server(processes, method, password))
    check_streams(port, far, bulk(method))
    check_datagrams(port, far, peer.longest)
