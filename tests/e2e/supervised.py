"""A gproxy with worker processes under test: asked over its control socket, looked at through /proc."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gproxy.proc.admin import ask
from tests.e2e.proxy import LOG
from tests.support.ports import LOOPBACK
from tests.support.procs import Process, Processes
from tests.support.wait import wait_until

START = 60.0


class Supervised:
    """One master with its generations."""

    def __init__(self, process: Process, path: Path, config: dict[str, Any], control: str) -> None:
        self.process = process
        self.path = path
        self.config = config
        self.control = control

    @classmethod
    def start(cls, processes: Processes, *inbounds: Mapping[str, Any], workers: int = 2, **more: Any) -> Supervised:
        """Start it and wait until it serves. `more` are tables of the configuration."""
        control = str(processes.folder / f"{len(list(processes.folder.iterdir()))}.sock")
        runtime = {"workers": workers, "control": control, **more.pop("runtime", {})}
        config = {"log": LOG, "inbounds": list(inbounds), "runtime": runtime, **more}
        process = processes.gproxy(config, tcp=())
        self = cls(process, Path(process.argv[-1]), config, runtime["control"])
        self.wait_generation(1)
        return self

    # -- what it says --------------------------------------------------------------------------------------------------

    def ask(self, what: str, seconds: float = 30.0) -> dict[str, Any]:
        """The answer of the control socket."""
        return ask(self.control, seconds, ask=what)

    def serving(self) -> dict[str, Any] | None:
        """The generation that serves, None while nobody answers or none does."""
        try:
            generations = self.ask("status")["generations"]
        except OSError:
            return None
        serving = [each for each in generations if each["state"] == "serving"]
        return serving[-1] if serving else None

    def workers(self) -> dict[str, int]:
        """The pids of the serving generation's workers."""
        serving = self.serving()
        assert serving is not None, self.process.log[-3000:]
        workers: dict[str, int] = serving["workers"]
        return workers

    def wait_generation(self, number: int, seconds: float = START) -> None:
        """Until this generation, or a later one, serves."""

        def arrived() -> bool:
            assert self.process.returncode is None, self.process.log[-3000:]
            serving = self.serving()
            return serving is not None and serving["number"] >= number

        wait_until(arrived, lambda: f"generation {number} does not serve:\n{self.process.log[-3000:]}", seconds)

    def wait_alone(self, seconds: float = START) -> None:
        """Until all other generations have ended."""
        wait_until(
            lambda: len(self.ask("status")["generations"]) == 1,
            lambda: f"not alone: {self.ask('status')}\n{self.process.log[-2000:]}",
            seconds,
        )

    def errors(self) -> list[str]:
        """What went wrong, by its log."""
        records = [json.loads(line) for line in self.process.log.split("\n")[:-1] if line.startswith("{")]
        return [each["message"] for each in records if each["level"] in {"error", "fatal"}]

    def wait_error(self, text: str, times: int = 1) -> None:
        """Until its log has told so many errors with this text."""
        wait_until(
            lambda: sum(text in each for each in self.errors()) >= times,
            lambda: f"{text!r} is not told {times} times:\n{self.process.log[-3000:]}",
        )

    def check_log(self) -> None:
        """No trace of a fault."""
        assert "Traceback" not in self.process.log, self.process.log[-4000:]

    # -- what is done to it --------------------------------------------------------------------------------------------

    def write(self, config: Mapping[str, Any] | None = None, **tables: Any) -> None:
        """Change its configuration file; the tables that are named, if no whole configuration is given."""
        self.config = dict(config) if config is not None else {**self.config, **tables}
        self.path.write_text(json.dumps(self.config), "utf-8")

    def send(self, number: signal.Signals) -> None:
        """To the master."""
        self.process.signal(number)

    def next_generation(self, number: signal.Signals = signal.SIGHUP) -> int:
        """Reload or upgrade by a signal; the number of the generation that serves then."""
        before = self.serving()
        assert before is not None
        self.send(number)
        self.wait_generation(before["number"] + 1)
        serving = self.serving()
        assert serving is not None
        return int(serving["number"])

    def stop(self) -> None:
        """End it in order, and without a trace of a fault."""
        for _ in range(2):
            if self.process.returncode is None:
                self.send(signal.SIGTERM)
                wait_until(lambda: not Path(self.control).exists(), "it does not hear")
        assert self.process.wait() == 0, self.process.log[-3000:]
        self.check_log()


def children(pid: int) -> list[int]:
    """The processes that this one has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    return [int(each) for each in text.split()]


def family(pid: int) -> list[int]:
    """It and all below it."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def alive(pid: int) -> bool:
    """Whether it runs; one that is dead and not collected yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def pss(pid: int) -> int:
    """Its share of memory in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no Pss")


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """To one process."""
    os.kill(pid, number)


def tunnel_config(port: int, target_port: int, network: str, tag: str = "tunnel") -> dict[str, Any]:
    """An inbound that leads to one port of loopback."""
    return {
        "type": "direct", "tag": tag, "listen": LOOPBACK, "listen_port": port, "network": network,
        "override_address": LOOPBACK, "override_port": target_port,
    }  # fmt: skip
