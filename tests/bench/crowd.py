"""Crowds: clients of hundreds of addresses that come at a pace, and thousands that say next to nothing."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.doors import Declined, Way
from tests.bench.visits import Visit, Visits

_LOCALHOST = "127.0.0.1"
_BEAT = 0.001  # seconds: those who are due come one by one, not in bursts
_TICK = 0.02
_BURST = 512


def addresses(count: int, network: int) -> list[str]:
    """So many addresses of 127.`network`.0.0/16."""
    return [f"127.{network}.{number // 250}.{number % 250 + 1}" for number in range(count)]


@dataclass(slots=True)
class Pressed:
    """What became of a crowd that came at a pace, by its addresses."""

    admitted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # hung up on without a word
    failed: Counter[str] = field(default_factory=Counter)  # by what went wrong
    latencies: list[float] = field(default_factory=list)  # seconds from connect() to the whole answer
    seconds: float = 0.0  # from the first connection to the last answer


class Crowd(Visits):
    """Clients that make one exchange each and leave."""

    def __init__(self) -> None:
        super().__init__()
        self._pressed = Pressed()

    def press(self, way: Way, sources: Sequence[str], each: float, times: int, spread: float) -> Pressed:
        """Come from each address so many `times`, `each` times a second; return when all have been answered.

        The first times of all are spread evenly over so many seconds: if they began together, they would all be let
        in, and refused, at the same moments.
        """
        self._pressed = Pressed()
        first = spread / len(sources)
        due = sorted(
            (number * first + turn / each, source) for number, source in enumerate(sources) for turn in range(times)
        )
        began = time.perf_counter()
        come = 0
        while come < len(due) or self.opening:
            passed = time.perf_counter() - began
            while come < len(due) and due[come][0] <= passed:
                source = due[come][1]
                self.open(source, way, source=source)
                come += 1
            self.turn(_BEAT)
        self._pressed.seconds = time.perf_counter() - began
        return self._pressed

    def opened(self, visit: Visit) -> None:
        self._pressed.admitted[visit.kind] += 1
        self._pressed.latencies.append(time.perf_counter() - visit.since)
        self.leave(visit)

    def lost(self, visit: Visit, error: OSError) -> None:
        hung_up = isinstance(error, ConnectionResetError | BrokenPipeError | Declined)
        if hung_up and visit.step == 0 and not visit.got:
            self._pressed.refused[visit.kind] += 1
        else:
            self._pressed.failed[f"step {visit.step}: {error}"] += 1


@dataclass(frozen=True, slots=True)
class Drips:
    """A port, and what is said there a byte at a time, without an end."""

    port: int
    said: bytes


@dataclass(slots=True)
class Dripped:
    """What became of those who say next to nothing."""

    closed: list[float] = field(default_factory=list)  # seconds from connect() until the proxy hung up
    left: int = 0  # that it never hung up on


class Loris:
    """Thousands of clients that drip."""

    def drip(
        self, drips: Sequence[Drips], sources: Sequence[str], count: int, opening: float, every: float, limit: float
    ) -> Dripped:
        """Open `count` connections in `opening` seconds, and say a byte on each `every` so many, until all are closed.

        Those that are still open `limit` seconds after the last one was opened are counted and left. Raises OSError if
        one can't be opened.
        """
        dripped = Dripped()
        slow: dict[int, _Slow] = {}
        turns: deque[tuple[float, _Slow]] = deque()  # who says the next byte, and when: all wait equally long
        began = time.perf_counter()
        come = 0
        with select.epoll() as poll:
            while come < count or slow:
                now = time.perf_counter()
                if now - began > opening + limit:
                    break
                while come < min(count, int((now - began) / opening * count) + 1):
                    one = _Slow(drips[come % len(drips)], sources[come % len(sources)])
                    slow[one.sock.fileno()] = one
                    turns.append((now + every, one))
                    poll.register(one.sock.fileno(), select.EPOLLIN | select.EPOLLHUP)
                    come += 1
                for fd, _ in poll.poll(_TICK, _BURST):
                    if slow[fd].is_over():
                        dripped.closed.append(slow.pop(fd).close())
                while turns and turns[0][0] <= now:
                    one = turns.popleft()[1]
                    if one.drip():
                        turns.append((now + every, one))
        dripped.left = len(slow)
        for one in slow.values():
            one.close()
        return dripped


class _Slow:
    """One of them."""

    def __init__(self, drips: Drips, source: str) -> None:
        self._drips = drips
        self._place = 0
        self.sock = socket.socket()
        self.sock.bind((source, 0))
        self.sock.connect((_LOCALHOST, drips.port))
        self.sock.setblocking(False)
        self._born = time.perf_counter()

    def drip(self) -> bool:
        """Say a byte; whether it can say another."""
        byte = self._drips.said[self._place % len(self._drips.said)]
        self._place += 1
        try:
            self.sock.send(bytes([byte]))
        except OSError:
            return False
        return True

    def is_over(self) -> bool:
        """Take what has come; whether the proxy has hung up."""
        try:
            return not self.sock.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> float:
        """Close it, and return the seconds that it has lasted."""
        self.sock.close()
        return time.perf_counter() - self._born
