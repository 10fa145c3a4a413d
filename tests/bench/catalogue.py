"""The measures: what each does to a peer, the figures it gives, and the bars they have to pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench import dns, floods, guarded, limits, measure, rules, shadowsocks, tls, workers
from tests.bench.bench import Bench
from tests.bench.doors import Door
from tests.bench.load import Client
from tests.bench.peers import PROGRAMS, Peer
from tests.bench.sampling import (
    CPU_BAR,
    MB,
    MICRO,
    MILLI,
    Figures,
    Measure,
    Row,
    Sample,
    cpu_of,
    fresh,
    latency,
    none_failed,
)
from tests.bench.worker import WorkFailed

_AT_ONCE = 50
_OPENERS = 100  # handshakes at once while thousands of connections are opened
_WARM = 100  # connections before a reading: lazily made things exist by then
_UDP_CLIENTS = 8
_UDP_WINDOW = 16  # datagrams in flight for each of them
_UDP_IN_FLIGHT = _UDP_CLIENTS * _UDP_WINDOW  # not lost: on their way when the count is full
_WAVES = 3  # by the second one an allocator has found its shape: what the third one adds is a leak
_RETURN_LIMIT = 10.0  # seconds for descriptors to come back
_GIVING_BACK = 3.0  # seconds in which a proxy may notice that a flood is over and return what it needed
_SIZES = {"1K": 1 << 10, "64K": 1 << 16, "1M": 1 << 20}
_BULK_SHARES = {"1K": 0.25, "64K": 1.0, "1M": 1.0}  # of the bytes: small writes cost ten times as much
_BULK_STREAMS = 4  # one after the other: how well one stream's windows fall is luck
_BULK_BAR = 1.05
_LABELS = ("socks", "direct")
_HTTP = ", http inbound"
_UDP_SIZES = (64, 1200)
_REQUEST = "keep-alive request, 50 at once"
_INFO = ", info log to a file"
_KIB = 1024


def _bulk(label: str, way: str, size: str) -> Sample:
    move = Client.download if way == "down" else Client.upload

    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].offers(label):
            return {}
        peer = bench.shared(name)
        door = peer.to_bulk[label]
        each = int(bench.work.bulk_bytes * PROGRAMS[name].bulk_share * _BULK_SHARES[size]) // _BULK_STREAMS
        with cpu_of(peer) as spent:
            for _ in range(_BULK_STREAMS):
                bench.client.call(move, door, each, _SIZES[size])
        return {f"{way}-{size}-{label}": spent.seconds / (each * _BULK_STREAMS) * 1e9}

    return sample


def _new(label: str, level: str, suffix: str) -> Sample:
    def measured(bench: Bench, peer: Peer, door: Door) -> Figures:
        count = bench.work.connections
        with cpu_of(peer) as spent:
            opened = bench.client.call(Client.connections, door, count, _AT_ONCE)
        none_failed(opened)
        cost = {f"new-{label}{suffix}": spent.seconds / count * MICRO}
        return cost | latency(f"busy-{label}{suffix}", opened.latencies)

    return _through(label, measured, level)


def _keep_alive(label: str) -> Sample:
    def measured(bench: Bench, peer: Peer, door: Door) -> Figures:
        none_failed(bench.client.call(Client.connections, door, _AT_ONCE, _AT_ONCE, keep=True))
        with cpu_of(peer) as spent:
            done = bench.client.call(Client.exchange, bench.work.requests)
        bench.client.call(Client.release)
        if done < bench.work.requests:
            raise WorkFailed(f"{bench.work.requests - done} requests were not answered")
        return {f"request-{label}": spent.seconds / done * MICRO}

    return _through(label, measured)


def _first_byte(label: str) -> Sample:
    def measured(bench: Bench, _peer: Peer, door: Door) -> Figures:
        opened = bench.client.call(Client.connections, door, bench.work.first_bytes, 1)
        none_failed(opened)
        return latency(f"first-{label}", opened.latencies)

    return _through(label, measured)


def _through(label: str, measured: Callable[[Bench, Peer, Door], Figures], level: str = "warn") -> Sample:
    """A sample through one kind of door to the echo; nothing from a peer that has no such door."""

    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].offers(label):
            return {}
        peer = bench.shared(name, level)
        return measured(bench, peer, peer.to_echo[label])

    return sample


def _idle_memory(label: str) -> Sample:
    """The slope between two numbers of held connections: what is made once, at the start, is not in it."""

    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].offers(label):
            return {}
        few, many = bench.work.idle
        with fresh(bench, name) as peer:
            door = peer.to_echo[label]
            first = _rss_holding(bench, peer, door, few)
            second = _rss_holding(bench, peer, door, many - few)
            bench.client.call(Client.release)
        return {f"idle-memory-{label}": (second - first) / (many - few) / _KIB}

    return sample


def _rss_holding(bench: Bench, peer: Peer, door: Door, more: int) -> int:
    none_failed(bench.client.call(Client.connections, door, more, _OPENERS, keep=True))
    measure.settle(peer.pid)
    return measure.rss_bytes(peer.pid)


def _idle(bench: Bench, name: str) -> Figures:
    if not PROGRAMS[name].offers("socks"):
        return {}
    with fresh(bench, name) as peer:
        measure.settle(peer.pid)
        start_cpu = measure.cpu_seconds(peer.pid)
        before, started = measure.cpu_seconds(peer.pid), time.monotonic()
        time.sleep(bench.work.quiet_seconds)
        share = (measure.cpu_seconds(peer.pid) - before) / (time.monotonic() - started)
        return {
            "idle-rss": measure.rss_bytes(peer.pid) / MB,
            "idle-cpu": share * 100,
            "start": peer.start_seconds,
            "start-cpu": start_cpu,
        }


def _udp(label: str, size: int) -> Sample:
    def sample(bench: Bench, name: str) -> Figures:
        if not PROGRAMS[name].udp:
            return {}
        peer = bench.shared(name)
        door = peer.to_udp[label]
        with cpu_of(peer) as spent:
            result = bench.client.call(Client.datagrams, door, bench.work.datagrams, size, _UDP_CLIENTS, _UDP_WINDOW)
        relayed = 2 * result.received  # there and back
        return {
            f"udp-{size}-{label}": relayed / spent.seconds / MILLI,
            f"udp-{size}-{label}-lost": max(0, result.sent - result.received - _UDP_IN_FLIGHT),
        }

    return sample


def _many(bench: Bench, name: str) -> Figures:
    """Three waves of thousands of connections: opened, idle, asked whether they live, closed."""
    if not PROGRAMS[name].offers("socks"):
        return {}
    with fresh(bench, name) as peer:
        bench.client.call(Client.connections, peer.to_echo["socks"], _WARM, _AT_ONCE)
        measure.settle(peer.pid)
        descriptors, rss = measure.descriptors(peer.pid), measure.rss_bytes(peer.pid)
        waves = [_wave(bench, peer, descriptors) for _ in range(_WAVES)]
    return {
        "many-seconds": max(wave.seconds for wave in waves),
        "many-failed": sum(wave.failed for wave in waves),
        "many-lost": sum(wave.lost for wave in waves),
        "many-descriptors": waves[-1].descriptors - descriptors,
        "many-peak": waves[0].peak / MB,
        "many-kept": (waves[0].rss - rss) / MB,
        "many-second": (waves[1].rss - waves[0].rss) / MB,
        "many-third": (waves[2].rss - waves[1].rss) / MB,
    }


@dataclass(frozen=True, slots=True)
class _Wave:
    seconds: float
    failed: int
    lost: int
    descriptors: int
    peak: int
    rss: int


def _wave(bench: Bench, peer: Peer, descriptors: int) -> _Wave:
    work = bench.work
    opened = bench.client.call(Client.connections, peer.to_echo["socks"], work.many, _OPENERS, keep=True)
    measure.settle(peer.pid)
    peak = measure.rss_bytes(peer.pid)
    time.sleep(work.quiet_seconds)
    lost = work.many - opened.failed - bench.client.call(Client.alive)
    bench.client.call(Client.release)
    left = measure.wait_descriptors(peer.pid, descriptors, _RETURN_LIMIT)
    measure.settle(peer.pid)
    time.sleep(_GIVING_BACK)
    return _Wave(opened.seconds, opened.failed, lost, left, peak, measure.rss_bytes(peer.pid))


def _bulk_rows() -> tuple[Row, ...]:
    ways = {"down": "download, reads of", "up": "upload, writes of"}
    return tuple(
        Row(f"{way}-{size}-{label}", f"{label}: {text} {size}", "CPU s/GB", ratio=_BULK_BAR)
        for label in _LABELS
        for way, text in ways.items()
        for size in _SIZES
    )


def _new_rows(suffix: str, note: str, labels: tuple[str, ...] = _LABELS, bar: float | None = CPU_BAR) -> Iterator[Row]:
    for label in labels:
        yield Row(f"new-{label}{suffix}", f"{label}: new connection{note}", "CPU µs", ratio=bar)
        for part in (50, 99):
            yield Row(f"busy-{label}{suffix}-p{part}", f"{label}: its first byte, 50 at once, p{part}{note}", "ms")


def _udp_rows() -> Iterator[Row]:
    for label in _LABELS:
        for size in _UDP_SIZES:
            yield Row(f"udp-{size}-{label}", f"{label}: datagrams of {size} B", "k/CPU s", more_is_better=True)
            yield Row(f"udp-{size}-{label}-lost", f"{label}: of those, lost", "datagrams")


def _per_door(
    key: str, title: str, unit: str, ratio: float | None = None, limit: float | None = None
) -> tuple[Row, ...]:
    return tuple(Row(key.format(d), f"{d}: {title}", unit, ratio, limit) for d in _LABELS)


_FIRST_ROWS = tuple(
    row for part in (50, 99) for row in _per_door(f"first-{{}}-p{part}", f"first byte, one at a time, p{part}", "ms")
)
_IDLE_ROWS = (
    Row("idle-rss", "mixed: idle RSS", "MB", limit=45),
    Row("idle-cpu", "mixed: idle CPU", "%", limit=1),
    Row("start", "mixed: start to first reply", "s", limit=0.5),
    Row("start-cpu", "mixed: start to first reply", "CPU s"),
)
_MANY_ROWS = (
    Row("many-seconds", "5,000 connections: opened in", "s", limit=10),
    Row("many-failed", "5,000 connections: refused", "of 15,000", limit=0),
    Row("many-lost", "5,000 connections: lost while idle", "of 15,000", limit=0),
    Row("many-descriptors", "5,000 connections: descriptors left after", "fds", limit=0),
    Row("many-peak", "5,000 connections: RSS while held", "MB"),
    Row("many-kept", "5,000 connections: RSS kept after the first wave", "MB", limit=5),
    Row("many-second", "5,000 connections: RSS grown by a second wave", "MB"),
    Row("many-third", "5,000 connections: RSS grown by a third wave", "MB", limit=1),
)


# Nobody has set a bar for these.
_HTTP_ROWS = (
    *_new_rows("", _HTTP, labels=("connect",), bar=None),
    Row("request-forward", f"forward: {_REQUEST}{_HTTP}", "CPU µs"),
)


def _pair(part: Callable[[str], Sample]) -> tuple[Sample, ...]:
    return tuple(part(label) for label in _LABELS)


_BULK = tuple(_bulk(label, way, size) for label in _LABELS for way in ("down", "up") for size in _SIZES)
_UDP = tuple(_udp(label, size) for label in _LABELS for size in _UDP_SIZES)

MEASURES = (
    Measure("bulk", _bulk_rows(), _BULK),
    Measure("new", tuple(_new_rows("", "")), _pair(lambda label: _new(label, "warn", ""))),
    Measure("new-info", tuple(_new_rows("-info", _INFO)), _pair(lambda label: _new(label, "info", "-info"))),
    Measure("keep-alive", _per_door("request-{}", _REQUEST, "CPU µs", CPU_BAR), _pair(_keep_alive)),
    Measure("http", _HTTP_ROWS, (_new("connect", "warn", ""), _keep_alive("forward"))),
    Measure("first-byte", _FIRST_ROWS, _pair(_first_byte)),
    Measure("idle-memory", _per_door("idle-memory-{}", "idle connection", "KiB", CPU_BAR, 12), _pair(_idle_memory)),
    Measure("idle", _IDLE_ROWS, (_idle,)),
    Measure("udp", tuple(_udp_rows()), _UDP),
    Measure("many", _MANY_ROWS, (_many,), slow=True),
    workers.MEASURE,
    *shadowsocks.MEASURES,
    *tls.MEASURES,
    *dns.MEASURES,
    *rules.MEASURES,
    *limits.MEASURES,
    *guarded.MEASURES,
    *floods.MEASURES,
)
