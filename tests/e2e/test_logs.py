"""Access logs of real processes: rotated under load, on a disk that is full, and debugging while they are at work."""

from __future__ import annotations

import json
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gproxy.proc.admin import ask
from tests.e2e.clients import connect, everything, exactly
from tests.e2e.lines import files, lines
from tests.e2e.proxy import LOG
from tests.e2e.servers import CrowdEcho
from tests.e2e.supervised import Supervised, tunnel_config
from tests.support.ports import free_port
from tests.support.procs import Process, Processes, run
from tests.support.wait import wait_until


def all_there(path: Path, count: int) -> bool:
    """So many lines have come, and nothing is moved or compressed any more."""
    return len(lines(path)) >= count and all(each.suffix == ".gz" for each in files(path)[1:]) and _small(path)


def _small(path: Path) -> bool:
    return path.exists() and path.stat().st_size < 1000


class Load:
    """Connections one after the other, by some threads, until it is told to stop."""

    def __init__(self, port: int, threads: int = 2) -> None:
        self._port = port
        self._go = True
        self.done = [0] * threads
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(threads)]

    def _run(self, index: int) -> None:
        while self._go:
            self.one()
            self.done[index] += 1
            time.sleep(0.002)

    def one(self) -> None:
        """One connection, to its end."""
        with connect(self._port) as sock:
            sock.sendall(b"ping")
            sock.shutdown(1)
            assert everything(sock) == b"ping"

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go = False
        for each in self._threads:
            each.join()


@pytest.fixture
def crowd() -> Any:
    with CrowdEcho() as crowd:
        yield crowd


def access(path: Path, **more: Any) -> dict[str, Any]:
    return {**LOG, "level": "warn", "access": {"output": str(path), **more}}


def start(processes: Processes, workers: int, crowd: CrowdEcho, log: dict[str, Any]) -> tuple[Process, int]:
    """A tunnel to an echo, in one process or with workers."""
    port = free_port()
    control = str(processes.folder / "control.sock")
    item = tunnel_config(port, crowd.port, "tcp")
    if workers:
        gproxy = Supervised.start(processes, item, workers=workers, log=log, runtime={"control": control})
        return gproxy.process, port
    return processes.gproxy({"log": log, "inbounds": [item], "runtime": {"control": control}}), port


@pytest.mark.parametrize("workers", [0, 2], ids=["solo", "workers"])
def test_rotation_under_load_loses_no_line(workers: int, processes: Processes, crowd: CrowdEcho) -> None:
    path = processes.folder / "access.log"
    log = access(path, rotate_size="1 KB", keep=0)
    process, port = start(processes, workers, crowd, log)
    with Load(port) as load:
        wait_until(lambda: len(files(path)) >= 3, lambda: f"not rotated: {files(path)}\n{process.log}")
    count = sum(load.done)
    wait_until(lambda: all_there(path, count), lambda: f"{len(lines(path))} of {count} lines\n{process.log}")
    found = lines(path)
    assert len(found) == count
    assert len({each["session"] for each in found}) == count
    assert {(each["status"], each["up"], each["down"]) for each in found} == {("ok", 4, 4)}
    assert process.stop() == 0
    assert process.log == ""


def test_a_reload_under_load_leaves_no_gap(processes: Processes, crowd: CrowdEcho) -> None:
    """Two generations write to the same file, and both are told when it is moved away."""
    path, port = processes.folder / "access.log", free_port()
    log = access(path, rotate_size="1 KB", keep=0)
    gproxy = Supervised.start(processes, tunnel_config(port, crowd.port, "tcp"), log=log)
    held = connect(port)
    with Load(port) as load:
        wait_until(lambda: len(files(path)) >= 2, "not rotated")
        gproxy.next_generation()
        before = len(files(path))
        wait_until(lambda: len(files(path)) >= before + 1, "not rotated any more")
    packed = "what the workers of the first generation had open is not free"
    wait_until(lambda: all(each.suffix == ".gz" for each in files(path)[1:]), packed)
    with held:
        held.sendall(b"late")
        held.shutdown(1)
        assert everything(held) == b"late"
    count = sum(load.done) + 1
    wait_until(lambda: all_there(path, count), lambda: f"{len(lines(path))} of {count} lines")
    assert len(lines(path)) == count
    gproxy.wait_alone()
    gproxy.stop()


def test_a_full_disk_loses_lines_and_nothing_else(processes: Processes, crowd: CrowdEcho) -> None:
    folder = processes.folder / "small"
    folder.mkdir()
    around = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=16k small "{folder}" && exec "$0" "$@"')
    port = free_port()
    log = {**access(folder / "access.log"), "format": "human"}
    process = processes.gproxy({"log": log, "inbounds": [tunnel_config(port, crowd.port, "tcp")]}, around=around)
    load = Load(port)

    def told(text: str) -> bool:
        load.one()
        return text in process.log

    wait_until(lambda: told("lines of the access log were lost: No space left on device"), lambda: process.log)
    for _ in range(20):
        load.one()
    inside = Path(f"/proc/{process.pid}/root{folder}/access.log")
    with inside.open("r+b") as file:
        file.truncate(1000)
    wait_until(lambda: told("the access log can be written again"), lambda: process.log)
    assert process.log.count("lines of the access log were lost:") == 1, "it may not fill the other log instead"
    last = inside.read_bytes().splitlines()[-1]
    assert json.loads(last)["status"] == "ok"
    assert process.stop() == 0


# -- gproxy debug ------------------------------------------------------------------------------------------------------


def debug(control: str, what: str, **more: Any) -> list[dict[str, Any]]:
    answer = ask(control, 20.0, ask="debug", what=what, **more)
    assert answer["ok"], answer
    processes: list[dict[str, Any]] = answer["processes"]
    assert not any("error" in each for each in processes), processes
    return processes


@pytest.mark.parametrize("workers", [0, 2], ids=["solo", "workers"])
def test_a_look_into_processes_that_are_at_work(workers: int, processes: Processes, crowd: CrowdEcho) -> None:
    process, port = start(processes, workers, crowd, {**LOG, "level": "warn"})
    control = str(processes.folder / "control.sock")
    wait_until(Path(control).exists, lambda: f"no control socket\n{process.log}")
    mode = Path(control).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600
    who = [0] if not workers else [-1, 0, 1]
    with Load(port) as load, connect(port) as idle:
        idle.sendall(b"here")
        assert exactly(idle, 4) == b"here"
        stacks = debug(control, "stacks")
        assert [each["worker"] for each in stacks] == who
        text = json.dumps(stacks)
        assert "gproxy/app/data.py" in text, "what the plane does"
        assert "gproxy/relay" in text, "what waits for the idle client"
        lag = debug(control, "lag", seconds=0.3)
        assert all(each["looks"] > 3 and 0 <= each["median"] <= each["worst"] < 5000 for each in lag)
        memory = debug(control, "memory")
        assert all(each["resident"] > 5 << 20 and each["frozen_objects"] > 1000 and each["types"] for each in memory)
        profile = debug(control, "profile", seconds=0.7, worker=0)
        assert [each["worker"] for each in profile] == [0]
        assert profile[0]["samples"] > 3
        assert "gproxy/" in json.dumps(profile[0]["stacks"])
        before = sum(load.done)
        wait_until(lambda: sum(load.done) > before, "it serves no more")
        done = run(sys.executable, "-m", "gproxy", "debug", "memory", "--control", control)
        assert b"resident" in done.stdout
        assert ask(control, 5.0, ask="status")["counters"]["active"] >= 1
    assert process.stop() == 0
    assert process.log == ""
    assert not Path(control).exists()
