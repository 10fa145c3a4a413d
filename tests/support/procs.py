"""Real processes, gproxy or a peer: started, waited for by their ports, stopped by their process id, their log kept."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.ports import listening

# Patience with processes: on a busy machine a start takes many times as long as on one that is idle.
START = 60.0
END = 30.0
STOP = 10.0
_STEP = 0.01
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # loaded here: a child between fork and exec must load nothing


class ProcessFailed(AssertionError):
    """A process did not do what it was started for. The text ends with the end of its log."""


class Process:
    """A process in a session of its own, killed by the kernel should the test run die before it."""

    def __init__(
        self, argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.argv = list(argv)
        self.log_path = log
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd,
                env={**os.environ, **(env or {})}, start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the kernel and nothing else
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def log(self) -> str:
        """What it has written to standard output and error so far."""
        return self.log_path.read_text("utf-8", "replace")

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def wait_listening(self, tcp: Iterable[int] = (), udp: Iterable[int] = (), seconds: float = START) -> None:
        """Wait until every port is open. Raises ProcessFailed."""
        wanted = [(port, "tcp") for port in tcp] + [(port, "udp") for port in udp]
        self._until(lambda: all(listening(port, "udp" if net == "udp" else "tcp") for port, net in wanted),
                    f"listens on {wanted}", seconds)  # fmt: skip

    def wait_log(self, text: str, seconds: float = START) -> None:
        """Wait until `text` stands in its log. Raises ProcessFailed."""
        self._until(lambda: text in self.log, f"logs {text!r}", seconds)

    def _until(self, condition: Any, what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if self.returncode is not None:
                raise ProcessFailed(f"{self.argv}: ended with {self.returncode} before it {what}\n{self._tail()}")
            if time.monotonic() > end:
                raise ProcessFailed(f"{self.argv}: {seconds} s are over, and it never {what}\n{self._tail()}")
            time.sleep(_STEP)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def wait(self, seconds: float = END) -> int:
        """Its exit code, when it has ended by itself. Raises ProcessFailed."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise ProcessFailed(f"{self.argv}: still runs after {seconds} s\n{self._tail()}") from late

    def stop(self, seconds: float = STOP) -> int:
        """Ask it to end, then make it. Its children go with it. Gives the exit code; may be repeated."""
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait(seconds)
        try:
            os.killpg(self.pid, signal.SIGKILL)  # what it left behind, in the session that is its alone
        except ProcessLookupError:
            pass
        return self._popen.returncode

    def memory(self) -> int:
        """Its resident memory in bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _tail(self) -> str:
        return self.log[-3000:]

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Processes:
    """The processes of one test, stopped in reverse order at its end. Logs and files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[Process] = []
        self._open_folders: list[Path] = []

    def start(
        self,
        *argv: str,
        tcp: Iterable[int] = (),
        udp: Iterable[int] = (),
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a program, and return when the ports are open."""
        name = f"{len(self._all)}-{Path(argv[0]).name}.log"
        process = Process(argv, self.folder / name, env=env, cwd=cwd)
        self._all.append(process)
        process.wait_listening(tcp, udp)
        return process

    @property
    def latest(self) -> Process:
        """The one that was started last."""
        return self._all[-1]

    def gproxy(
        self,
        config: Mapping[str, Any] | str,
        *arguments: str,
        tcp: Iterable[int] | None = None,
        udp: Iterable[int] = (),
        env: Mapping[str, str] | None = None,
        around: Sequence[str] = (),
    ) -> Process:
        """Start `gproxy run` with a configuration: a mapping, or text in TOML; behind the command `around`, if any.

        It is waited for: its `listen_port`s if the configuration is a mapping, and the ports of `tcp` and `udp`.
        """
        path = write_config(self.folder, len(self._all), config)
        ports = _listen_ports(config) if tcp is None and not isinstance(config, str) else list(tcp or ())
        command = (*around, sys.executable, "-m", "gproxy", "run", "-c", str(path), *arguments)
        return self.start(*command, tcp=ports, udp=udp, env=env)

    def open_folder(self) -> Path:
        """A folder that every user of the system may write, for a program that gives up root. It goes with the test."""
        path = Path(tempfile.mkdtemp(prefix="gproxy-test-"))
        path.chmod(0o777)
        self._open_folders.append(path)
        return path

    def stop(self) -> None:
        """Stop them all."""
        while self._all:
            self._all.pop().stop()
        while self._open_folders:
            shutil.rmtree(self._open_folders.pop())


def write_config(folder: Path, number: int, config: Mapping[str, Any] | str) -> Path:
    """Write a configuration to a file of its own; TOML if it is text, else JSON."""
    if isinstance(config, str):
        path = folder / f"config-{number}.toml"
        path.write_text(config, "utf-8")
    else:
        path = folder / f"config-{number}.json"
        path.write_text(json.dumps(config, indent=2), "utf-8")
    return path


def _listen_ports(config: Mapping[str, Any]) -> list[int]:
    """The TCP ports of its inbounds."""
    return [
        item["listen_port"]
        for item in config.get("inbounds", ())
        if "listen_port" in item and item.get("network") != "udp"
    ]


def run(
    *argv: str, seconds: float = 60.0, env: Mapping[str, str] | None = None, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, and give its exit code, output and errors. Raises subprocess.TimeoutExpired."""
    return subprocess.run(
        argv, input=data, capture_output=True, timeout=seconds, check=False, env={**os.environ, **(env or {})}
    )


def curl(*arguments: str, seconds: float = 30.0) -> bytes:
    """What curl prints to standard output. Raises ProcessFailed when it fails."""
    done = run("curl", "-q", "-sS", "--noproxy", "", "-m", str(seconds), *arguments, seconds=seconds + 5)
    if done.returncode != 0:
        raise ProcessFailed(f"curl {' '.join(arguments)}: {done.returncode}\n{done.stderr.decode('utf-8', 'replace')}")
    return done.stdout
