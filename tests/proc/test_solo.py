"""Solo mode as a process: it starts, serves, reopens its log, and stops."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gproxy.proc.admin import ask
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.procs import Processes, ProcessFailed
from tests.support.wait import wait_until


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


def tunnel(port: int, target: int, **more: object) -> dict[str, object]:
    return {
        "inbounds": [
            {
                "type": "direct", "listen": LOOPBACK, "listen_port": port, "network": "tcp",
                "override_address": LOOPBACK, "override_port": target,
            }
        ],
        **more,
    }  # fmt: skip


def test_it_serves_and_stops_when_its_sessions_have_ended(processes: Processes) -> None:
    port = free_port()
    with socket.create_server((LOOPBACK, 0)) as target:
        gproxy = processes.gproxy(tunnel(port, target.getsockname()[1]))
        gproxy.wait_log("is ready")
        with socket.create_connection((LOOPBACK, port)) as client:
            server, _ = target.accept()
            with server:
                client.sendall(b"ping")
                assert server.recv(16) == b"ping"
                gproxy.signal(signal.SIGTERM)
                client.shutdown(socket.SHUT_WR)
                assert server.recv(16) == b""
                server.sendall(b"a late answer")
                server.shutdown(socket.SHUT_WR)
                assert client.recv(64) == b"a late answer"
                assert client.recv(64) == b""
        assert gproxy.wait() == 0
    assert "stopped: 1 clients served, 4 bytes up, 13 bytes down, 0 sessions ended early" in gproxy.log
    assert not listening(port)


def test_a_second_signal_ends_at_once_what_does_not_end(processes: Processes) -> None:
    port = free_port()
    with socket.create_server((LOOPBACK, 0)) as target:
        gproxy = processes.gproxy(tunnel(port, target.getsockname()[1], runtime={"stop_grace": "1h"}))
        with socket.create_connection((LOOPBACK, port)):
            server, _ = target.accept()
            with server:
                gproxy.signal(signal.SIGINT)
                gproxy.signal(signal.SIGTERM)
                assert gproxy.wait() == 0
    assert "1 sessions ended early" in gproxy.log
    assert "closed-drained" in gproxy.log


def test_the_configuration_says_how_long_the_end_may_take(processes: Processes) -> None:
    port = free_port()
    with socket.create_server((LOOPBACK, 0)) as target:
        gproxy = processes.gproxy(tunnel(port, target.getsockname()[1], runtime={"stop_grace": "0"}))
        with socket.create_connection((LOOPBACK, port)):
            server, _ = target.accept()
            with server:
                gproxy.signal(signal.SIGTERM)
                assert gproxy.wait(4) == 0
    assert "1 sessions ended early" in gproxy.log


def test_its_log_goes_on_in_a_new_file(processes: Processes, tmp_path: Path) -> None:
    log, port = tmp_path / "gproxy.log", free_port()
    gproxy = processes.gproxy(tunnel(port, 9, log={"output": str(log)}))
    moved = log.with_suffix(".1")
    wait_until(lambda: "is ready" in log.read_text(), "it did not say that it is ready")
    log.rename(moved)
    gproxy.signal(signal.SIGUSR1)
    socket.create_connection((LOOPBACK, port)).close()
    gproxy.signal(signal.SIGTERM)
    assert gproxy.wait() == 0
    assert "is ready" in moved.read_text()
    assert "stopped: " in log.read_text()


def test_a_port_in_use_starts_nothing(processes: Processes) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        taken, free = other.getsockname()[1], free_port()
        both = tunnel(taken, 9)["inbounds"] + tunnel(free, 9)["inbounds"]  # type: ignore[operator]
        with pytest.raises(ProcessFailed, match="can't listen on"):
            processes.gproxy({"inbounds": both}, tcp=[taken, free])
    assert not listening(free)


def test_a_control_socket_where_it_is_wanted(processes: Processes, tmp_path: Path) -> None:
    control = tmp_path / "control.sock"
    gproxy = processes.gproxy(tunnel(free_port(), 9, runtime={"control": str(control)}))
    gproxy.wait_log("is ready")
    facts = ask(str(control), 10.0, ask="status")
    assert (facts["pid"], facts["generations"][0]["workers"]) == (gproxy.pid, {"0": gproxy.pid})
    assert ask(str(control), 10.0, ask="reload")["ok"] is False
    assert ask(str(control), 10.0, ask="stop") == {"ok": True}
    assert gproxy.wait() == 0
    assert not control.exists()


def test_or_in_the_folder_that_the_service_manager_has_made(processes: Processes, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    gproxy = processes.gproxy(tunnel(free_port(), 9), env={"RUNTIME_DIRECTORY": str(folder)})
    gproxy.wait_log("is ready")
    assert ask(str(folder / "control.sock"), 10.0, ask="status")["ok"]
    second = processes.gproxy(tunnel(free_port(), 9), env={"RUNTIME_DIRECTORY": str(folder)})
    second.wait_log("no control socket at ")
    second.wait_log("is ready")


def test_a_control_socket_that_can_t_be_made_starts_nothing(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = tunnel(free_port(), 9, runtime={"control": str(tmp_path / "file" / "control.sock")})
    gproxy = processes.gproxy(config, tcp=())
    assert gproxy.wait() == 1
    assert "no control socket at " in gproxy.log
    assert "Traceback" not in gproxy.log
