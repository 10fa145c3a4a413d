"""Reloads and upgrades under load: nobody notices."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.load import Load, watchful_echo
from tests.e2e.proxy import inbound
from tests.e2e.supervised import Supervised, tunnel_config
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

FULL = pytest.mark.skipif(not os.environ.get("GPROXY_FULL"), reason="a minute long: set GPROXY_FULL=1")


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("seconds", "reloads", "upgrades", "size"),
    [pytest.param(15, 5, 1, 1 << 28, id="short"), pytest.param(60, 20, 3, 1 << 30, id="full", marks=FULL)],
)
def test_nobody_notices(
    seconds: int, reloads: int, upgrades: int, size: int, processes: Processes, site: Server, record_property: object
) -> None:
    port, datagram_port = free_port(), free_port()
    with watchful_echo() as echo, watchful_echo() as other:
        gproxy = Supervised.start(
            processes, inbound("mixed", port), tunnel_config(datagram_port, echo.port, "udp"), log={"level": "error"}
        )
        with Load() as load:
            for _ in range(3):
                load.add("requests", lambda: load.requests(port, site))
                load.add("connections", lambda: load.connections(port, site))
            load.add("stream", lambda: load.stream(port, site, size, seconds * 0.9))
            load.add("flow", lambda: load.flow(datagram_port))
            load.add("association", lambda: load.association(port, (LOOPBACK, other.port)))
            wait_until(lambda: echo.sources and other.sources, "no datagram arrives")
            steps = [signal.SIGHUP] * reloads
            for number in range(upgrades):  # evenly among the reloads
                steps.insert((number + 1) * len(steps) // (upgrades + 1), signal.SIGUSR2)
            began = time.monotonic()
            for index, step in enumerate(steps):
                due = began + seconds * index / len(steps)
                wait_until(lambda due=due: time.monotonic() >= due, "time stands still", seconds)
                gproxy.next_generation(step)
            wait_until(lambda: time.monotonic() >= began + seconds, "time stands still", seconds + 5)
        assert callable(record_property)
        record_property("done", load.done)
        print(load.done)
        assert load.failures == []
        assert len(echo.sources) == 1, echo.sources
        assert len(other.sources) == 1, other.sources
    serving = gproxy.serving()
    assert serving is not None
    assert serving["number"] == 1 + reloads + upgrades
    assert gproxy.errors() == []
    gproxy.stop()
