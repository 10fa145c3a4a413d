"""What every measure is made of: its rows with their bars, its samples, and the helpers that samples share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tests.bench import measure
from tests.bench.bench import Bench
from tests.bench.peers import Peer, Running
from tests.bench.worker import WorkFailed

CPU_BAR = 1.1
MICRO = 1e6
MILLI = 1e3
MB = 1e6

Figures = dict[str, float]
Sample = Callable[[Bench, str], Figures]  # of one peer, by its name; empty if the peer can't do that


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Bars: at most `ratio` times sing-box, and at most `limit` in the row's own unit.

    Where more is better, `ratio` is the least. `beside`: at most so many times other peers too.
    """

    key: str
    title: str
    unit: str
    ratio: float | None = None
    limit: float | None = None
    more_is_better: bool = False
    beside: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """A name for the command line, the rows it fills, and the samples that fill them."""

    name: str
    rows: tuple[Row, ...]
    parts: tuple[Sample, ...]
    slow: bool = False  # half the rounds do
    rounds: int = 0  # at least so many, unless it is to be quick
    group: str = ""  # another name for the command line, which several measures have in common


@dataclass(slots=True)
class Spent:
    """CPU seconds, known when the block that they are counted for is over."""

    seconds: float = 0.0


@contextmanager
def cpu_of(peer: Running) -> Iterator[Spent]:
    """Count the CPU seconds the peer spends on what happens inside, closing included."""
    spent = Spent()
    measure.settle(peer.pid)
    before = measure.cpu_seconds(peer.pid)
    yield spent
    measure.settle(peer.pid)
    spent.seconds = measure.cpu_seconds(peer.pid) - before


@contextmanager
def fresh(bench: Bench, name: str, cpus: int = 0) -> Iterator[Peer]:
    """A peer just started (see Bench.fresh), stopped at the end of the block."""
    peer = bench.fresh(name, cpus)
    try:
        yield peer
    finally:
        peer.stop()


class Counted(Protocol):
    """What became of connections that were opened."""

    failed: int


def none_failed(*openings: Counted) -> None:
    """A proxy that drops work must not look cheap. Raises WorkFailed."""
    failed = sum(opened.failed for opened in openings)
    if failed:
        raise WorkFailed(f"{failed} connections failed")


def latency(key: str, seconds: list[float]) -> Figures:
    """Their median and 99th percentile, in ms, as `key-p50` and `key-p99`."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return {f"{key}-p{part}": ordered[last * part // 100] * MILLI for part in (50, 99)}
