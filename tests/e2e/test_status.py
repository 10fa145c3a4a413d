"""What `gproxy status` shows of circuit breakers and bans, of one process and of several."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gproxy.proc.admin import ask
from tests.e2e.clients import connect, everything
from tests.e2e.proxy import LOG
from tests.e2e.supervised import Supervised, tunnel_config
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, run
from tests.support.wait import wait_until


@pytest.mark.parametrize("workers", [0, 1], ids=["solo", "workers"])
def test_breakers_and_bans(workers: int, processes: Processes) -> None:
    port, control = free_port(), str(processes.folder / "control.sock")
    inbound = tunnel_config(port, free_port(), "tcp")
    breaker = {"failures": 1, "window": "1m", "pause": "1h", "max_pause": "1h"}
    proxy = {"type": "socks", "tag": "proxy", "server": LOOPBACK, "server_port": free_port(), "breaker": breaker}
    more: dict[str, Any] = {"outbounds": [proxy], "bans": {"path": str(processes.folder / "bans.json")}}
    if workers:
        process = Supervised.start(processes, inbound, workers=workers, runtime={"control": control}, **more).process
    else:
        process = processes.gproxy({"log": LOG, "inbounds": [inbound], "runtime": {"control": control}, **more})
    wait_until(Path(control).exists, lambda: process.log)

    def breakers() -> dict[str, Any]:
        (generation,) = ask(control, 20, ask="status")["generations"]
        told: dict[str, Any] = generation["breakers"]
        return told

    closed = {"proxy": {"closed": 1, "open": 0, "half-open": 0, "opened": 0}}
    wait_until(lambda: breakers() == closed, lambda: str(breakers()))
    with suppress(ConnectionResetError), connect(port) as sock:  # that may come so early
        assert everything(sock) == b""
    wait_until(
        lambda: breakers() == {"proxy": {"closed": 0, "open": 1, "half-open": 0, "opened": 1}}, lambda: str(breakers())
    )
    done = run(sys.executable, "-m", "gproxy", "ban", "add", "192.0.2.7", "--control", control)
    assert done.stdout == b"192.0.2.7 is banned for 1 d 0 h\n", done.stderr
    done = run(sys.executable, "-m", "gproxy", "status", "--control", control)
    assert b"breaker of proxy: open in 1 of its workers, opened once" in done.stdout
    assert b"bans: 1 now, 1 in all" in done.stdout
    assert process.stop() == 0
