"""Too many clients: a crowd that comes more often than it may, and one that says next to nothing; two workers.

gproxy alone: the peers refuse nobody. What others notice of it is measured beside the same without the crowd.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from tests.bench import measure, sandbox
from tests.bench.bench import Bench
from tests.bench.certificate import make_certificate
from tests.bench.crowd import Crowd, Dripped, Drips, Loris, Pressed, addresses
from tests.bench.doors import Door
from tests.bench.origin import Ports
from tests.bench.peers import Running, run_arguments
from tests.bench.sampling import MB, MILLI, Figures, Measure, Row
from tests.bench.worker import Worker, WorkFailed

_WORKERS = 2
_CROWD = 500  # addresses
_EACH = 4.0  # times a second each comes
_MAY = 2.0  # times a second each is let in
_SPREAD = 1.0  # seconds in which they begin
_GOOD = 100  # addresses of those who come rarely
_GOOD_EACH = 0.5
_SECONDS = 20.0
_SLOW = 5000
_SLOW_SOURCES = 200
_OPENING = 5.0  # seconds in which they come
_EVERY = 2.0  # seconds between two bytes
_DEADLINE = 15.0  # seconds: what gproxy gives a handshake
_PATIENCE = 30.0
_RETURN = 10.0
_LOOK = 0.5
_KIB = 1024
_PASSWORD = "password"


class House(Running):
    """A gproxy with three inbounds, and a limit of new connections for each address if there is one."""

    def __init__(self, command: list[str], ports: Ports, home: Path, rate: float | None) -> None:
        home.mkdir(parents=True)
        certificate = make_certificate(home)
        self.socks, self.http, self.trojan = sandbox.free_ports(3)
        self.to_echo = Door("socks5", self.socks, ports.echo)
        tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
        users = [{"password": _PASSWORD}]
        inbounds: list[dict[str, Any]] = [
            {"type": "socks", "tag": "socks", "listen_port": self.socks},
            {"type": "http", "tag": "http", "listen_port": self.http},
            {"type": "trojan", "tag": "tls", "listen_port": self.trojan, "users": users, "tls": tls},
        ]  # fmt: skip
        limits = [] if rate is None else [{"tag": "each", "each": ["source"], "connections_per_second": rate}]
        options = {
            "log": {"level": "warn", "output": str(home / "log")},
            "runtime": {"workers": _WORKERS, "control": str(home / "control.sock")},
            "inbounds": [
                {"listen": "127.0.0.1", **each, **({"limits": "each"} if limits else {})} for each in inbounds
            ],
            "limits": limits,
            "outbounds": [{"type": "direct", "tag": "direct"}],
        }
        super().__init__([*command, *run_arguments(home, options)], home, self._probe)

    def _probe(self) -> None:
        self.to_echo.connect().close()


def _house(bench: Bench, rate: float | None) -> House:
    command, home = bench.command("gproxy"), bench.home("flood")
    return bench.kept(("flood", rate), lambda: House(command, bench.origin.ports, home, rate))


def _limits(bench: Bench, name: str) -> Figures:
    if name != "gproxy":
        return {}
    house = _house(bench, _MAY)
    bad, good = Worker(Crowd), Worker(Crowd)
    try:
        alone = _of_good(good.call(*_good(house)))
        crowd = bad.begin(Crowd.press, house.to_echo, addresses(_CROWD, 1), _EACH, round(_EACH * _SECONDS), _SPREAD)
        beside = _of_good(good.call(*_good(house)))
        pressed = crowd()
    finally:
        bad.stop()
        good.stop()
    return admitted(pressed) | {
        "flood-good-alone": alone,
        "flood-good-beside": beside,
        "flood-good-ratio": beside / alone,
    }


def _good(house: House) -> Any:
    return Crowd.press, house.to_echo, addresses(_GOOD, 2), _GOOD_EACH, round(_GOOD_EACH * _SECONDS), 1 / _GOOD_EACH


def _of_good(pressed: Pressed) -> float:
    """Their p99 in ms. Raises WorkFailed if one was not served."""
    if pressed.failed or pressed.refused:
        raise WorkFailed(f"good clients: {pressed.refused.total()} refused, {dict(pressed.failed)}")
    ordered = sorted(pressed.latencies)
    return ordered[(len(ordered) - 1) * 99 // 100] * MILLI


def admitted(pressed: Pressed) -> Figures:
    """How far the addresses are from what each may: those of a second at once, and then so many a second.

    An address comes at fixed moments, so that a rest of less than one connection is not used up.
    """
    if pressed.failed:
        raise WorkFailed(f"the crowd: {dict(pressed.failed)}")
    may = _MAY + _MAY * (_SECONDS - 1 / _EACH)  # from the first time to the last one
    most = _MAY + _MAY * (pressed.seconds - _SPREAD)  # what waited in a queue came later
    counts = [pressed.admitted[source] for source in addresses(_CROWD, 1)]
    return {
        "flood-came": (pressed.admitted.total() + pressed.refused.total()) / pressed.seconds,
        "flood-admitted": sum(counts) / _CROWD,
        "flood-least": 100 * (math.floor(may) - min(counts)) / may,
        "flood-most": 100 * (max(counts) - most) / most,
    }


_LIMIT_ROWS = (
    Row("flood-came", f"crowd of {_CROWD}: came", "/s"),
    Row("flood-admitted", f"crowd of {_CROWD}: admitted of each, in the mean", f"in {_SECONDS:g} s"),
    Row("flood-least", f"crowd of {_CROWD}: the one with the fewest, below {_MAY:g}/s", "%", limit=5),
    Row("flood-most", f"crowd of {_CROWD}: the one with the most, above {_MAY:g}/s", "%", limit=5),
    Row("flood-good-alone", "good clients without the crowd: first answer, p99", "ms"),
    Row("flood-good-beside", "good clients beside the crowd: first answer, p99", "ms"),
    Row("flood-good-ratio", "good clients: p99 beside the crowd, without it", "x", limit=2),
)


def _loris(bench: Bench, name: str) -> Figures:
    if name != "gproxy":
        return {}
    house = _house(bench, None)
    bad, good = Worker(Loris), Worker(Crowd)
    try:
        alone = _of_good(good.call(*_good(house)))
        measure.settle(house.pid)
        descriptors, rss = measure.descriptors(house.pid), measure.rss_bytes(house.pid)
        drips = (
            Drips(house.socks, b"\x05\xff" + bytes(255)),
            Drips(house.http, b"GET / HTTP/1.1\r\nX: " + b"x" * 1000),
            Drips(house.trojan, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
        )
        slow = bad.begin(Loris.drip, drips, addresses(_SLOW_SOURCES, 1), _SLOW, _OPENING, _EVERY, _PATIENCE)
        others = good.begin(*_good(house))
        peak = _peak(house, _SECONDS)
        beside = _of_good(others())
        dripped = slow()
    finally:
        bad.stop()
        good.stop()
    left = measure.wait_descriptors(house.pid, descriptors, _RETURN) - descriptors
    return _deadline(dripped) | {
        "loris-memory": (peak - rss) / _SLOW / _KIB,
        "loris-peak": (peak - rss) / MB,
        "loris-descriptors": max(0, left),
        "loris-good-alone": alone,
        "loris-good-beside": beside,
        "loris-good-ratio": beside / alone,
    }


def _peak(house: House, seconds: float) -> int:
    """The most RSS that it has in that time."""
    end = time.monotonic() + seconds
    most = 0
    while time.monotonic() < end:
        most = max(most, measure.rss_bytes(house.pid))
        time.sleep(_LOOK)
    return most


def _deadline(dripped: Dripped) -> Figures:
    if dripped.left or not dripped.closed:
        raise WorkFailed(f"{dripped.left} slow clients were never closed")
    return {
        "loris-first": _DEADLINE - min(dripped.closed),
        "loris-last": max(dripped.closed) - _DEADLINE,
    }


_LORIS_ROWS = (
    Row("loris-first", f"{_SLOW:,} slow clients: the first one closed, before the deadline", "s", limit=0.1),
    Row("loris-last", f"{_SLOW:,} slow clients: the last one closed, after the deadline", "s", limit=2),
    Row("loris-peak", f"{_SLOW:,} slow clients: RSS more than before", "MB"),
    Row("loris-memory", f"{_SLOW:,} slow clients: RSS for each", "KiB", limit=32),
    Row("loris-descriptors", f"{_SLOW:,} slow clients: descriptors left after", "fds", limit=0),
    Row("loris-good-alone", "good clients without them: first answer, p99", "ms"),
    Row("loris-good-beside", "good clients beside them: first answer, p99", "ms"),
    Row("loris-good-ratio", "good clients: p99 beside them, without them", "x"),
)

MEASURES = (
    Measure("flood-limits", _LIMIT_ROWS, (_limits,), slow=True, group="floods"),
    Measure("flood-loris", _LORIS_ROWS, (_loris,), slow=True, group="floods"),
)
