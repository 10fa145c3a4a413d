"""A load that goes on: connections that are held and asked again and again, and new ones beside them, at a pace.

One process, one epoll, nothing that blocks: what the proxy is late with is waited for, and what never comes is counted.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.bench import origin
from tests.bench.doors import Declined, Step, Talk, Way

STALL = 10.0
"""Seconds after which a connection or a request that is not answered is lost."""

_BURST = 256
_READ = 65535
_TICK = 0.01  # seconds between two looks at what is due
_SWEEP = 1.0  # seconds between two looks at what is late
_AT_ONCE = 50  # connections, and as many requests, in flight where no rate is given
_MOST = 5000  # connections that may be on their way: a proxy that hangs shall not take all descriptors


@dataclass(slots=True)
class Tally:
    """What became of a load."""

    opened: list[float] = field(default_factory=list)  # seconds from connect() to the whole answer
    asked: list[float] = field(default_factory=list)  # seconds of a request on a held connection
    failed: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def tried(self) -> int:
        """How many connections and requests there were."""
        return len(self.opened) + len(self.asked) + self.failed.total()

    def add(self, other: Tally) -> None:
        """What became of more of it."""
        self.opened += other.opened
        self.asked += other.asked
        self.failed += other.failed
        self.seconds += other.seconds


@dataclass(slots=True, eq=False)
class _Visit:
    """One connection."""

    kind: str
    sock: socket.socket
    talk: Talk
    keep: bool
    born: float
    since: float  # when it was opened, or asked last
    whole: Callable[[bytearray], bool] = bool  # whether what is waited for has come
    step: int = -1  # of the talk's steps; -1: it is connecting; their number: it is open
    idle: bool = False
    got: bytearray = field(default_factory=bytearray)


class Steady:
    """The load. `ways` take turns; each held connection is replaced after `life` seconds.

    `rate`: new connections a second, and `requests` for each of them on those that are held; 0 for as many as go.
    """

    def __init__(self, ways: Sequence[tuple[str, Way]], rate: float, requests: float, life: float) -> None:
        self._ways = ways
        self._rate = rate
        self._requests = requests
        self._life = life
        self._turn = 0
        self._poll = select.epoll()
        self._visits: dict[int, _Visit] = {}
        self._idle: deque[_Visit] = deque()  # the one that was asked longest ago comes first
        self._opening = 0
        self._asking = 0
        self._missing = 0  # held connections that were lost
        self._swept = time.perf_counter()
        self._tally = Tally()

    def grow(self, count: int, seconds: float) -> Tally:
        """Open so many connections more, evenly in that time, and hold them; return when all have been answered."""
        began = time.perf_counter()
        started = 0
        while started < count or self._opening:
            passed = time.perf_counter() - began
            for _ in range(min(count, int(passed / seconds * count) + 1) - started):
                self._open(keep=True)
                started += 1
            self._turn_once()
        return self._finish(began)

    def run(self, seconds: float) -> Tally:
        """Go on for so long. What is on its way then is not counted yet."""
        began = time.perf_counter()
        opened = asked = 0
        while (passed := time.perf_counter() - began) < seconds:
            opened += self._open_due(passed, opened)
            asked += self._ask_due(passed, asked)
            self._turn_once()
        return self._finish(began)

    def ask_all(self) -> Tally:
        """Ask each held connection once."""
        began = time.perf_counter()
        for _ in range(len(self._idle)):
            self._ask()
            if self._asking >= _AT_ONCE:
                self._turn_once()
        while self._asking:
            self._turn_once()
        return self._finish(began)

    def release(self) -> int:
        """Close all connections; return how many there were."""
        count = len(self._visits)
        for visit in list(self._visits.values()):
            self._leave(visit)
        self._idle.clear()
        self._opening = self._asking = 0
        return count

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _open_due(self, passed: float, opened: int) -> int:
        due = int(passed * self._rate) - opened if self._rate else _AT_ONCE - self._opening
        for _ in range(due):
            self._open(keep=False)
        return max(0, due)

    def _ask_due(self, passed: float, asked: int) -> int:
        due = int(passed * self._rate * self._requests) - asked if self._rate else _AT_ONCE - self._asking
        for _ in range(due):
            self._ask()
        return max(0, due)

    def _open(self, keep: bool) -> None:
        kind, way = self._ways[self._turn % len(self._ways)]
        self._turn += 1
        if self._opening >= _MOST:
            self._tally.failed[f"{kind}: too many are on their way"] += 1
            return
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = time.perf_counter()
        visit = _Visit(kind, sock, way.talk(origin.BODY), keep, now, now)
        self._visits[sock.fileno()] = visit
        self._opening += 1
        with suppress(BlockingIOError):
            sock.connect(("127.0.0.1", way.port))
        self._poll.register(sock.fileno(), select.EPOLLOUT)

    def _ask(self) -> None:
        """Ask the one that has been silent longest, or replace it if it is old."""
        if not self._idle:
            return
        visit = self._idle.popleft()
        now = time.perf_counter()
        if now - visit.born > self._life:
            self._leave(visit)
            self._open(keep=True)
            return
        visit.idle = False
        visit.since = now
        self._asking += 1
        try:
            self._say(visit, visit.talk.again())
        except OSError as error:
            self._lose(visit, error)

    # -- what has come -------------------------------------------------------------------------------------------------

    def _turn_once(self) -> None:
        for fd, _ in self._poll.poll(_TICK, _BURST):
            visit = self._visits[fd]
            try:
                self._advance(visit)
            except OSError as error:
                self._lose(visit, error)
        if time.perf_counter() - self._swept > _SWEEP:
            self._sweep()

    def _advance(self, visit: _Visit) -> None:
        if visit.step < 0:
            self._connected(visit)
            return
        data = visit.sock.recv(_READ)
        if not data:
            raise Declined("hung up while it was idle" if visit.idle else "hung up")
        visit.got += data
        if visit.idle or not visit.whole(visit.got):  # a ticket of TLS comes when nothing was asked: it is taken later
            return
        visit.got.clear()
        steps = visit.talk.steps
        if visit.step == len(steps):
            self._asking -= 1
            self._tally.asked.append(time.perf_counter() - visit.since)
            self._rest(visit)
            return
        visit.step += 1
        if visit.step < len(steps):
            self._say(visit, steps[visit.step])
            return
        self._opening -= 1
        self._tally.opened.append(time.perf_counter() - visit.since)
        if visit.keep:
            self._rest(visit)
        else:
            self._leave(visit)

    def _connected(self, visit: _Visit) -> None:
        if error := visit.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        visit.step = 0
        self._say(visit, visit.talk.steps[0])
        self._poll.modify(visit.sock.fileno(), select.EPOLLIN)

    @staticmethod
    def _say(visit: _Visit, step: Step) -> None:
        said, visit.whole = step
        visit.sock.send(said)

    def _rest(self, visit: _Visit) -> None:
        visit.idle = True
        self._idle.append(visit)

    # -- how it ends ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Give up those that are late, and replace held ones that were lost."""
        self._swept = now = time.perf_counter()
        for visit in list(self._visits.values()):
            if not visit.idle and now - visit.since > STALL:
                self._lose(visit, TimeoutError(f"no answer in {STALL:g} s"))
        missing, self._missing = self._missing, 0
        for _ in range(missing):
            self._open(keep=True)

    def _lose(self, visit: _Visit, error: OSError) -> None:
        where = "open" if visit.step == len(visit.talk.steps) else f"step {visit.step}"
        self._tally.failed[f"{visit.kind}, {where}: {error}"] += 1
        self._missing += visit.keep
        if visit.idle:
            self._idle.remove(visit)
        elif visit.step == len(visit.talk.steps):
            self._asking -= 1
        else:
            self._opening -= 1
        del self._visits[visit.sock.fileno()]
        visit.sock.close()

    def _leave(self, visit: _Visit) -> None:
        del self._visits[visit.sock.fileno()]
        with visit.sock, suppress(OSError):  # the other side may have gone
            if visit.step == len(visit.talk.steps) and (said := visit.talk.farewell()):
                visit.sock.send(said)

    def _finish(self, began: float) -> Tally:
        tally, self._tally = self._tally, Tally()
        tally.seconds = time.perf_counter() - began
        return tally
