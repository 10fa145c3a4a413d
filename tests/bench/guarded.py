"""What limits and metrics cost: gproxy with them beside gproxy without, in small pieces of work by turns.

Half of a piece's noise is what else the machine does just then. So the two take turns within each sample, and the
figure is their ratio. The limit is one that nobody reaches: what is measured is that it is looked at.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import measure, sandbox, sealed
from tests.bench.bench import Bench
from tests.bench.doors import Door
from tests.bench.load import Client
from tests.bench.origin import Ports
from tests.bench.peers import Running, run_arguments
from tests.bench.sampling import MB, MICRO, MILLI, Figures, Measure, Row, Sample, cpu_of, none_failed
from tests.bench.sealed import SealedDoor
from tests.bench.worker import WorkFailed
from tests.support.shadowsocks import key_of

_PAIRS = 7
_TURNS = 8  # of each of a pair
_METHOD, _PASSWORD = "aes-128-gcm", "password"
_READ = 1 << 20
_AT_ONCE = 50
_EVERY = 15.0  # seconds between two scrapes of a Prometheus that is left as it comes
_IDLE = 60.0
_SERIES = 2000
_LIMIT = 60.0  # seconds

_KINDS = {"limit": "a limit on bytes and connections for each address", "metrics": "metrics"}
_BULK = {"socks": "socks", "ss": f"shadowsocks {_METHOD}"}
_RATE = "100 Gbps"  # far beyond what one processor moves


class Server(Running):
    """A gproxy with a SOCKS and a Shadowsocks inbound, and what `kind` says besides; its doors."""

    def __init__(self, command: list[str], ports: Ports, home: Path, kind: str, workers: int = 0) -> None:
        home.mkdir(parents=True)
        socks, shadowsocks, self.metrics = sandbox.free_ports(3)
        key = key_of(_METHOD, _PASSWORD)
        self.to_echo = Door("socks5", socks, ports.echo)
        self.to_bulk: dict[str, Door | SealedDoor] = {
            "socks": Door("socks5", socks, ports.bulk),
            "ss": SealedDoor(key, shadowsocks, ports.bulk),
        }
        local = {"listen": "127.0.0.1"}
        options = {
            "log": {"level": "warn", "output": str(home / "log")},
            "runtime": {"workers": workers, "control": str(home / "control.sock")},
            "inbounds": [
                {"type": "socks", "tag": "socks", **local, "listen_port": socks},
                {"type": "shadowsocks", "tag": "ss", **local, "listen_port": shadowsocks,
                 "method": _METHOD, "password": _PASSWORD},
            ],
            "outbounds": [{"type": "direct", "tag": "direct"}],
            **self._more(kind),
        }  # fmt: skip
        super().__init__([*command, *run_arguments(home, options)], home, lambda: self.to_echo.connect().close())

    def _more(self, kind: str) -> dict[str, Any]:
        if kind == "limit":
            limit = {"tag": "wide", "each": ["source"], "up": _RATE, "down": _RATE, "connections_per_second": 1_000_000}
            return {"limits": [limit]}
        if kind == "metrics":
            return {"services": [{"type": "metrics", "listen": "127.0.0.1", "listen_port": self.metrics}]}
        return {}

    def scrape(self) -> str:
        """What a Prometheus gets. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics, timeout=_LIMIT)
        try:
            connection.request("GET", "/metrics")
            return connection.getresponse().read().decode()
        finally:
            connection.close()


def _server(bench: Bench, kind: str) -> Server:
    """One that is started when first asked for, and serves all samples."""

    def start() -> Server:
        return Server(bench.command("gproxy"), bench.origin.ports, bench.home(f"guarded-{kind}"), kind)

    return bench.kept(("guarded", kind), start)


def _pair(bench: Bench, kind: str, work: Callable[[Server], None]) -> tuple[float, float, float]:
    """CPU seconds for a piece of work of the one that has it, of the one that has not, and their ratio: medians."""
    servers = _server(bench, kind), _server(bench, "")
    turns: list[list[float]] = []
    for number in range(_TURNS):
        seconds = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            with cpu_of(servers[which]) as spent:
                work(servers[which])
            seconds[which] = spent.seconds
        turns.append(seconds)
    return median(each[0] for each in turns), median(each[1] for each in turns), median(a / b for a, b in turns)


def _bulk(kind: str, name: str) -> Sample:
    def sample(bench: Bench, peer: str) -> Figures:
        if peer != "gproxy":
            return {}
        each = bench.work.bulk_bytes // _TURNS

        def work(server: Server) -> None:
            door = server.to_bulk[name]
            if isinstance(door, SealedDoor):
                bench.client.call(sealed.download, door, each)
                bench.client.call(sealed.upload, door, each)
            else:
                bench.client.call(Client.download, door, each, _READ)
                bench.client.call(Client.upload, door, each, _READ)

        seconds, without, ratio = _pair(bench, kind, work)
        moved, key = 2 * each / 1e9, f"{kind}-bulk-{name}"
        return {key: seconds / moved, f"{key}-without": without / moved, f"{key}-ratio": ratio}

    return sample


def _new(kind: str) -> Sample:
    def sample(bench: Bench, peer: str) -> Figures:
        if peer != "gproxy":
            return {}
        count = bench.work.connections // _TURNS

        def work(server: Server) -> None:
            none_failed(bench.client.call(Client.connections, server.to_echo, count, _AT_ONCE))

        seconds, without, ratio = _pair(bench, kind, work)
        return {
            f"{kind}-new": seconds / count * MICRO,
            f"{kind}-new-without": without / count * MICRO,
            f"{kind}-new-ratio": ratio,
        }

    return sample


def _idle(bench: Bench, peer: str) -> Figures:
    """Master, template, control and two workers, of whom nobody wants anything but a scrape now and then."""
    if peer != "gproxy":
        return {}
    server = Server(bench.command("gproxy"), bench.origin.ports, bench.home("guarded-idle"), "metrics", workers=2)
    try:
        server.scrape()
        measure.settle(server.pid)
        before, began = measure.cpu_seconds(server.pid), time.monotonic()
        seconds = _IDLE if bench.work.quiet_seconds > 1 else _EVERY + 1
        while (left := began + seconds - time.monotonic()) > 0:
            time.sleep(min(_EVERY, left))
            server.scrape()
        spent = measure.cpu_seconds(server.pid) - before
        return {
            "metrics-idle": 100 * spent / (time.monotonic() - began),
            "metrics-idle-processes": len(measure.family(server.pid)),
            "metrics-idle-rss": measure.pss_bytes(server.pid) / MB,
        }
    finally:
        server.stop()


def _scrape(bench: Bench, peer: str) -> Figures:
    if peer != "gproxy":
        return {}
    command = [sys.executable, "-m", "tests.bench.guarded"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    if done.returncode:
        raise WorkFailed(done.stderr[-500:])
    figures: Figures = json.loads(done.stdout)
    return figures


def scraped() -> Figures:
    """Processor time of one scrape of so many series, written anew each time, in a process that does nothing else."""
    from gproxy.limit.memory import Memory
    from gproxy.observe.timing import Timing
    from gproxy.service.metrics.board import Board
    from gproxy.service.metrics.scrape import scrape
    from gproxy.service.metrics.text import write
    from gproxy.service.metrics.totals import Totals
    from gproxy.service.metrics.view import View

    memory = Memory()
    view = View(Totals(memory, 1000), Board(memory), 2, 1)
    view.totals.add([(("dial", f"out{index}"), Timing().values()) for index in range(100)])
    view.totals.add([(("session", "in", f"out{index}", "ok"), (index,)) for index in range(400)])
    times = []
    text = b""
    for _ in range(30):
        began = time.process_time()
        text = write(scrape(view, (), ready=True))
        times.append(time.process_time() - began)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    assert series >= _SERIES, series
    return {"metrics-scrape": min(times) * MILLI, "metrics-scrape-first": times[0] * MILLI}


def _rows() -> tuple[Row, ...]:
    rows: list[Row] = []
    for kind, what in _KINDS.items():
        for name, inbound in _BULK.items():
            key, title = f"{kind}-bulk-{name}", f"{inbound}: bulk, both ways"
            rows += (
                Row(key, f"{title}, {what}", "CPU s/GB"),
                Row(f"{key}-without", f"{title}, without", "CPU s/GB"),
                Row(f"{key}-ratio", f"{title}, with / without", "x", limit=1.03),
            )
        rows += (
            Row(f"{kind}-new", f"socks: new connection, {what}", "CPU µs"),
            Row(f"{kind}-new-without", "socks: new connection, without", "CPU µs"),
            Row(f"{kind}-new-ratio", "socks: new connection, with / without", "x"),
        )
    return tuple(rows)


_PARTS = tuple(
    part for kind in _KINDS for part in (*(_bulk(kind, name) for name in _BULK), _new(kind))
)  # each of them is a pair

_SERVICE_ROWS = (
    Row("metrics-scrape", f"a scrape of {_SERIES:,} series", "CPU ms", limit=20),
    Row("metrics-scrape-first", "the first one", "CPU ms", limit=20),
    Row("metrics-idle", f"idle: 2 workers, scraped every {_EVERY:.0f} s", "CPU %", limit=1),
    Row("metrics-idle-processes", "idle: processes", ""),
    Row("metrics-idle-rss", "idle: PSS, all processes", "MB"),
)

MEASURES = (
    Measure("guarded", _rows(), _PARTS, group="limits", rounds=_PAIRS),
    Measure("metrics", _SERVICE_ROWS, (_scrape, _idle), slow=True, group="limits"),
)

if __name__ == "__main__":
    print(json.dumps(scraped()))
