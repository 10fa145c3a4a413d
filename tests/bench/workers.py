"""Two workers on two CPUs, beside one worker on one: what a second CPU is worth, and what it costs.

The proxy shares the CPUs with the origin and the clients, so a rate here is not what the proxy could do alone: it is
what the machine does when nobody waits. The clients run closed-loop in several processes, the same for all proxies:
each connection asks again as soon as it is answered. The rows "CPUs at work" show whether anybody did wait (near the
number of CPUs: nobody), and "load's own CPU" what the clients and the origin take for each request or connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from tests.bench import measure
from tests.bench.bench import Bench
from tests.bench.load import Client
from tests.bench.peers import PROGRAMS, Peer
from tests.bench.sampling import MB, MICRO, MILLI, Figures, Measure, Row, cpu_of, fresh, none_failed
from tests.bench.worker import WorkFailed

_CLIENTS = 2  # processes
_OPEN = 200  # connections of each that ask at once
_AT_ONCE = 50  # new connections of each at once
_HELD = 1000  # connections of each whose distribution is counted: chance alone makes 49:51 of it
_FEW, _MORE = 2, 4  # workers whose memory is compared
_RATE_BAR = 0.9
_GROWTH_BAR = 1.0

P = ParamSpec("P")
R = TypeVar("R")


def _all(bench: Bench, method: Callable[Concatenate[Client, P], R], *args: P.args, **kwargs: P.kwargs) -> list[R]:
    """The same call in all client processes at the same time."""
    results = [client.begin(method, *args, **kwargs) for client in bench.crowd(_CLIENTS)]
    return [result() for result in results]


def _load_seconds(bench: Bench) -> float:
    """CPU seconds of the clients and of the origin."""
    pids = [client.pid for client in bench.crowd(_CLIENTS)] + bench.origin.pids
    return sum(measure.cpu_seconds(pid) for pid in pids)


def _under_load(bench: Bench, peer: Peer, key: str, work: Callable[[], int]) -> Figures:
    """What the peer spends on each of the pieces of work, whose number `work` returns when they are done."""
    with cpu_of(peer) as spent:
        before, started = _load_seconds(bench), time.perf_counter()
        done = work()
        seconds = time.perf_counter() - started
    load = _load_seconds(bench) - before
    return {
        f"{key}-rate": done / seconds / MILLI,
        f"{key}-cpu": spent.seconds / done * MICRO,
        f"{key}-load": load / done * MICRO,
        f"{key}-busy": (spent.seconds + load) / seconds,
    }


def _both(bench: Bench, name: str, key: str, sample: Callable[[Bench, Peer], Figures]) -> Figures:
    """A sample with one CPU, then one with two, and what the second one adds to the cost."""
    if not PROGRAMS[name].cpus:
        return {}
    one, two = (sample(bench, bench.shared(name, cpus=cpus)) for cpus in (1, 2))
    return two | {f"{key}-growth": two[f"{key}-cpu"] / one[f"{key}-cpu"]}


def _requests(bench: Bench, name: str) -> Figures:
    return _both(bench, name, "workers-request", _requests_of)


def _requests_of(bench: Bench, peer: Peer) -> Figures:
    door = peer.to_echo["socks"]
    none_failed(*_all(bench, Client.connections, door, _OPEN, _AT_ONCE, keep=True))

    def work() -> int:
        done = sum(_all(bench, Client.exchange, bench.work.requests))
        if done < bench.work.requests * _CLIENTS:
            raise WorkFailed(f"{bench.work.requests * _CLIENTS - done} requests were not answered")
        return done

    figures = _under_load(bench, peer, "workers-request", work)
    _all(bench, Client.release)
    return figures


def _new(bench: Bench, name: str) -> Figures:
    return _both(bench, name, "workers-new", _new_of)


def _new_of(bench: Bench, peer: Peer) -> Figures:
    def work() -> int:
        opened = _all(bench, Client.connections, peer.to_echo["socks"], bench.work.connections, _AT_ONCE)
        none_failed(*opened)
        return bench.work.connections * _CLIENTS

    return _under_load(bench, peer, "workers-new", work)


def _split(bench: Bench, name: str) -> Figures:
    """How many of the descriptors that held connections need are the busiest worker's."""
    if not PROGRAMS[name].workers:
        return {}
    peer = bench.shared(name, cpus=2)
    measure.settle(peer.pid)
    before = measure.descriptors_each(peer.pid)
    none_failed(*_all(bench, Client.connections, peer.to_echo["socks"], _HELD, _AT_ONCE, keep=True))
    held = measure.descriptors_each(peer.pid)
    _all(bench, Client.release)
    return {"workers-split": 100 * largest_share(before, held)}


def largest_share(before: dict[int, int], held: dict[int, int]) -> float:
    """The share of the process that has got most of what is there more than before, 0 to 1.

    Raises WorkFailed if there is no more than before.
    """
    more = [count - before.get(pid, 0) for pid, count in held.items()]
    if sum(more) <= 0:
        raise WorkFailed("no process holds the connections")
    return max(more) / sum(more)


def _memory(bench: Bench, name: str) -> Figures:
    program = PROGRAMS[name]
    if not program.cpus:
        return {}
    few, alone = _memory_with(bench, name, _FEW)
    figures = {"workers-pss": few / MB, "workers-alone": alone / MB}
    if program.workers:
        more, _ = _memory_with(bench, name, _MORE)
        figures["workers-further"] = (more - few) / (_MORE - _FEW) / MB
    return figures


def _memory_with(bench: Bench, name: str, cpus: int) -> tuple[int, int]:
    with fresh(bench, name, cpus) as peer:
        measure.settle(peer.pid)
        return measure.pss_bytes(peer.pid), measure.alone_bytes(peer.pid)


def _load_rows(key: str, title: str, rate: str) -> tuple[Row, ...]:
    return (
        Row(f"{key}-rate", f"2 workers: {title}", rate, ratio=_RATE_BAR, more_is_better=True),
        Row(f"{key}-cpu", f"2 workers: {title}, for each", "CPU µs"),
        Row(f"{key}-growth", f"2 workers: {title}, CPU for each beside 1 worker's", "x", ratio=_GROWTH_BAR),
        Row(f"{key}-load", f"2 workers: {title}, load's own CPU for each", "CPU µs"),
        Row(f"{key}-busy", f"2 workers: {title}, CPUs at work, load's included", "CPUs"),
    )


_ROWS = (
    *_load_rows("workers-request", f"keep-alive requests, {_CLIENTS * _OPEN} at once", "k/s"),
    *_load_rows("workers-new", f"new connections, {_CLIENTS * _AT_ONCE} at once", "k/s"),
    Row("workers-split", f"2 workers: of {_CLIENTS * _HELD} connections, the busier one's", "%", limit=60),
    Row("workers-pss", "2 workers: idle PSS, all processes", "MB", limit=80),
    Row("workers-alone", "2 workers: idle PSS if nothing else ran the same files", "MB", limit=80),
    Row("workers-further", "each further worker: idle PSS", "MB", limit=8),
)

MEASURE = Measure("workers", _ROWS, (_requests, _new, _split, _memory))
