"""Plugins that are programs: one process for each and generation, through crashes, reloads and the end."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.supervised import Supervised, alive, family, kill
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed, curl, run
from tests.support.wait import wait_until

PROGRAM = Path(__file__).with_name("plugin.py")
KEYS = {"method": "aes-128-gcm", "password": "pw", "network": "tcp"}


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    """The plugin as a program of its own, that no other test has."""
    path = tmp_path / "test-plugin"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {PROGRAM} "$0"\n')
    path.chmod(0o755)
    yield str(path)
    assert running(str(path)) == {}


def running(program: str) -> dict[int, str]:
    """The processes of a plugin, each with its options."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().decode().split("\0")
            told = Path(f"/proc/{name}/environ").read_bytes().decode().split("\0")
        except OSError:
            continue
        if program in words and alive(int(name)):
            told_options = [each for each in told if each.startswith("SS_PLUGIN_OPTIONS=")]
            found[int(name)] = "".join(told_options).partition("=")[2]
    return found


def server(program: str, port: int, **more: Any) -> dict[str, Any]:
    return {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, **KEYS,
            "plugin": program, "plugin_opts": "server", **more}  # fmt: skip


def ways(program: str) -> dict[str, Any]:
    """Tables: an inbound for curl, its way out through the plugin, the plugin before the way in, and to the site."""
    front, back = free_port(), free_port()
    way = {"type": "shadowsocks", "tag": "way", "server": LOOPBACK, "server_port": back, **KEYS,
           "plugin": program, "plugin_opts": "client"}  # fmt: skip
    return {
        "inbounds": [
            {"type": "mixed", "tag": "front", "listen": LOOPBACK, "listen_port": front},
            server(program, back),
        ],
        "outbounds": [{"type": "direct", "tag": "out"}, way],
        "route": {"rules": [{"inbound": "front", "outbound": "way"}]},
    }


def hello(tables: dict[str, Any], site: Server) -> bool:
    port = tables["inbounds"][0]["listen_port"]
    return curl("-x", f"socks5h://{LOOPBACK}:{port}", f"http://{site.host}:{site.port}/").startswith(b"hello")


def wait_for_hello(tables: dict[str, Any], site: Server) -> None:
    """A program that has just been started does not listen at once."""

    def hello_now() -> bool:
        try:
            return hello(tables, site)
        except ProcessFailed:
            return False

    wait_until(hello_now, "there is no way through", 15)


def start(processes: Processes, tables: dict[str, Any]) -> Supervised:
    rest = {key: value for key, value in tables.items() if key != "inbounds"}
    return Supervised.start(processes, *tables["inbounds"], **rest)


def test_one_process_for_each_and_none_is_left(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    assert sorted(running(program).values()) == ["client", "server"]
    gproxy.stop()
    assert running(program) == {}


def test_one_that_dies_comes_back(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    for pid in before:
        kill(pid)
    wait_until(lambda: len(running(program)) == 2, "they do not come back", 10)
    assert not before.keys() & running(program).keys()
    wait_for_hello(tables, site)
    gproxy.wait_error("killed by SIGKILL (the plugin listens)", 2)
    gproxy.stop()


def test_a_dead_worker_takes_none_along(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    for pid in gproxy.workers().values():
        kill(pid)
    wait_for_hello(tables, site)
    assert running(program) == before
    gproxy.stop()


def test_a_dead_control_takes_them_along_and_they_come_back(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    (control,) = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in before}
    kill(control)
    wait_until(lambda: not any(map(alive, before)), "they stay without anybody who keeps them")
    wait_until(lambda: len(running(program)) == 2, "they do not come back", 10)
    wait_for_hello(tables, site)
    gproxy.stop()


def test_a_reload_changes_them_over(program: str, processes: Processes, site: Server) -> None:
    """The plugin has no SO_REUSEPORT: the old one must have let go of the port."""
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    gproxy.next_generation()
    gproxy.wait_alone()
    wait_for_hello(tables, site)
    after = running(program)
    assert sorted(after.values()) == ["client", "server"]
    assert not before.keys() & after.keys()
    gproxy.next_generation()
    gproxy.wait_alone()
    wait_for_hello(tables, site)
    gproxy.stop()


def test_a_refused_reload_leaves_them_in_place(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    front, back = tables["inbounds"]
    gproxy.write(inbounds=[front, {**back, "plugin": program + "-of-nobody"}])
    gproxy.send(signal.SIGHUP)
    gproxy.process.wait_log("there is no program")
    assert running(program) == before
    assert hello(tables, site)
    gproxy.stop()


def test_one_that_does_not_want_to_run(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    tables["inbounds"][1]["plugin_opts"] = "server;fail"
    gproxy = start(processes, tables)
    gproxy.process.wait_log("started again in 1 s")
    gproxy.wait_error("exit status 1 (the plugin does not want to)")
    gproxy.stop()


def test_solo(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = processes.gproxy({**tables, "runtime": {"workers": 0}})
    wait_for_hello(tables, site)
    assert sorted(running(program).values()) == ["client", "server"]
    gproxy.signal(signal.SIGTERM)
    assert gproxy.wait() == 0
    assert running(program) == {}


def test_solo_killed(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = processes.gproxy({**tables, "runtime": {"workers": 0}})
    wait_for_hello(tables, site)
    before = running(program)
    gproxy.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, before)), "orphans")


def test_a_generation_that_is_killed_leaves_no_orphans(program: str, processes: Processes, site: Server) -> None:
    tables = ways(program)
    gproxy = start(processes, tables)
    wait_for_hello(tables, site)
    before = running(program)
    for pid in reversed(family(gproxy.process.pid)):
        if pid not in before:
            kill(pid)
    wait_until(lambda: not any(map(alive, before)), "orphans")


def test_the_tools_run_them_too(program: str, processes: Processes, site: Server, tmp_path: Path) -> None:
    tables = ways(program)
    processes.gproxy({**tables, "outbounds": tables["outbounds"][:1], "route": {}})
    path = tmp_path / "tools.json"
    path.write_text(json.dumps({"outbounds": tables["outbounds"]}))
    url = f"http://{site.host}:{site.port}/"
    done = run(sys.executable, "-m", "gproxy", "tools", "fetch", "-o", "way", "-c", str(path), url)
    assert done.stdout.startswith(b"hello"), done.stderr


def test_check_refuses_a_program_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"inbounds": [server("some-plugin-of-nobody", 8388)]}))
    done = run(sys.executable, "-m", "gproxy", "check", "-c", str(path))
    assert done.returncode == 3
    assert b"there is no program `some-plugin-of-nobody`" in done.stderr
