from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.procs import Processes, ProcessFailed

SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
server.accept()
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


def test_it_is_started_waited_for_and_stopped(processes: Processes) -> None:
    port = free_port()
    process = processes.start(sys.executable, "-c", SERVER, str(port), tcp=[port])
    process.wait_log("ready")
    assert process.returncode is None
    assert process.stop() == -signal.SIGTERM
    assert process.stop() == -signal.SIGTERM


def test_one_that_ends_too_early_says_why(processes: Processes) -> None:
    with pytest.raises(ProcessFailed, match="no such thing"):
        processes.start(sys.executable, "-c", "raise SystemExit('no such thing')", tcp=[free_port()])


def test_one_that_ignores_the_request_is_killed(processes: Processes) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    process = processes.start(sys.executable, "-c", stubborn)
    process.wait_log("up")
    assert process.stop(seconds=0.1) == -signal.SIGKILL
