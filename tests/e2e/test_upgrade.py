"""The master goes on as other code, here a copy of this one, with its sockets and its children."""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.clients import exactly, tunnel
from tests.e2e.proxy import inbound
from tests.e2e.supervised import Supervised, children, kill
from tests.support.origin import Server
from tests.support.ports import free_port
from tests.support.procs import Processes, run
from tests.support.wait import wait_until

GPROXY = (sys.executable, "-m", "gproxy")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def installed(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that the processes of this test run, so that it can be replaced under them."""
    folder = processes.folder / "installed"
    shutil.copytree(ROOT / "gproxy", folder / "gproxy", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(folder)
    return folder / "gproxy"


def new_version(package: Path, version: str) -> None:
    path = package / "__init__.py"
    text = path.read_text("utf-8")
    old = text.partition('__version__ = "')[2].partition('"')[0]
    path.write_text(text.replace(f'"{old}"', f'"{version}"'), "utf-8")


def port_of(gproxy: Supervised) -> int:
    port: int = gproxy.config["inbounds"][0]["listen_port"]
    return port


def test_new_code_takes_over(processes: Processes, installed: Path, echo: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()))
    status = gproxy.ask("status")
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        new_version(installed, "77.7")
        done = run(*GPROXY, "upgrade", "--control", gproxy.control)
        assert (done.returncode, done.stdout) == (0, b"gproxy 77.7: generation 2 serves\n"), done.stderr
        sock.sendall(b"still here?")
        assert exactly(sock, 11) == b"still here?"
        after = gproxy.ask("status")
        assert after["version"] == "77.7"
        assert after["pid"] == status["pid"]
        assert after["uptime"] >= status["uptime"]
        assert [each["state"] for each in after["generations"]] == ["draining", "serving"]
    gproxy.wait_alone()
    assert gproxy.ask("status")["counters"]["statuses"] == {"ok": 1}
    gproxy.stop()


def test_code_that_does_not_start_is_refused(processes: Processes, installed: Path) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()))
    workers = gproxy.workers()
    path = installed / "proc/template.py"
    good = path.read_text("utf-8")
    path.write_text(good.replace("\nimport logging\n", "\nimport no_such_thing\n"), "utf-8")
    done = run(*GPROXY, "upgrade", "--control", gproxy.control)
    assert done.returncode == 1
    assert b"refused, nothing has changed" in done.stderr
    assert b"no_such_thing" in done.stderr
    gproxy.send(signal.SIGUSR2)
    gproxy.wait_error("no upgrade", 2)
    assert gproxy.workers() == workers
    path.write_text(good, "utf-8")
    assert run(*GPROXY, "upgrade", "--control", gproxy.control).returncode == 0
    gproxy.stop()


def test_a_broken_file_keeps_the_old_generation(processes: Processes, installed: Path, echo: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()))
    good, workers = gproxy.path.read_text(), gproxy.workers()
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        gproxy.path.write_text("{")
        done = run(*GPROXY, "upgrade", "--control", gproxy.control)
        assert done.returncode == 1
        assert b"the new generation was refused" in done.stderr
        assert gproxy.workers() == workers
        sock.sendall(b"still here?")
        assert exactly(sock, 11) == b"still here?"
        gproxy.path.write_text(good)
        assert gproxy.ask("reload")["ok"]
    gproxy.wait_alone()
    gproxy.stop()


def test_signals_in_the_middle(processes: Processes, echo: Server) -> None:
    """All that come during the exec are obeyed afterwards; none of them ends the master."""
    gproxy = Supervised.start(processes, inbound("mixed", free_port()))
    number = 1
    for other in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGUSR2):
        gproxy.send(signal.SIGUSR2)
        for _ in range(200):
            gproxy.send(other)
        number += 1
        gproxy.wait_generation(number)
        wait_until(lambda: len(children(gproxy.process.pid)) == 1, "it does not settle", 20)
        serving = gproxy.serving()
        assert serving is not None
        number = serving["number"]
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        sock.sendall(b"x")
        assert exactly(sock, 1) == b"x"
    gproxy.send(signal.SIGUSR2)
    gproxy.send(signal.SIGTERM)
    assert gproxy.process.wait(20) == 0
    gproxy.check_log()


def test_what_died_before_is_replaced_after(processes: Processes, echo: Server) -> None:
    gproxy = Supervised.start(processes, inbound("mixed", free_port()), workers=1)
    gproxy.next_generation(signal.SIGUSR2)
    gproxy.wait_alone()
    victim = gproxy.workers()["0"]
    kill(victim)
    wait_until(lambda: gproxy.workers().get("0") not in {victim, None}, "not replaced", 10)
    with tunnel(port_of(gproxy), (echo.host, echo.port)) as sock:
        sock.sendall(b"x")
        assert exactly(sock, 1) == b"x"
    gproxy.stop()
