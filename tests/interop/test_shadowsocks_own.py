"""gproxy with gproxy: what the foreign halves don't keep is kept here, in every method."""

from __future__ import annotations

import pytest

from tests.interop.lab import Association
from tests.interop.shadowsocks import METHODS, bulk, gproxy_client, gproxy_server, password_for
from tests.interop.traffic import Far, check_streams, far, half_closes, speaks_first
from tests.support.origin import content
from tests.support.ports import LOOPBACK
from tests.support.procs import Processes

__all__ = ["far"]

LONGEST = 60_000


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method: str, processes: Processes, far: Far) -> None:
    password = password_for(method)
    port = gproxy_client(processes, method, password, gproxy_server(processes, method, password))
    check_streams(port, far, bulk(method))
    speaks_first(port)
    assert half_closes(port) == "both"
    with Association(port) as association:  # one session for all of them
        for target in ((LOOPBACK, far.udp.port), ("::1", far.udp6.port), ("localhost", far.udp.port)):
            for size in (1, 1472, LONGEST):
                association.echo(target, next(content(size)))
