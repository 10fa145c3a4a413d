"""A load that goes on: connections that are held and asked again and again, and new ones beside them, at a pace."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.doors import Way
from tests.bench.visits import Visit, Visits

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


class Steady(Visits):
    """The load. `ways` take turns; each held connection is replaced after `life` seconds.

    `rate`: new connections a second, and `requests` for each of them on those that are held; 0 for as many as go.
    """

    def __init__(self, ways: Sequence[tuple[str, Way]], rate: float, requests: float, life: float) -> None:
        super().__init__()
        self._ways = ways
        self._rate = rate
        self._requests = requests
        self._life = life
        self._next = 0
        self._idle: deque[Visit] = deque()  # the one that was asked longest ago comes first
        self._asking = 0
        self._missing = 0  # held connections that were lost
        self._tally = Tally()

    def grow(self, count: int, seconds: float) -> Tally:
        """Open so many connections more, evenly in that time, and hold them; return when all have been answered."""
        began = time.perf_counter()
        started = 0
        while started < count or self.opening:
            passed = time.perf_counter() - began
            for _ in range(min(count, int(passed / seconds * count) + 1) - started):
                self._open(keep=True)
                started += 1
            self.turn()
        return self._finish(began)

    def run(self, seconds: float) -> Tally:
        """Go on for so long. What is on its way then is not counted yet."""
        began = time.perf_counter()
        opened = asked = 0
        while (passed := time.perf_counter() - began) < seconds:
            opened += self._open_due(passed, opened)
            asked += self._ask_due(passed, asked)
            self.turn()
        return self._finish(began)

    def ask_all(self) -> Tally:
        """Ask each held connection once."""
        began = time.perf_counter()
        for _ in range(len(self._idle)):
            self._ask()
            while self._asking >= _AT_ONCE:
                self.turn()
        while self._asking:
            self.turn()
        return self._finish(began)

    def release(self) -> int:
        """Close all connections; return how many there were."""
        count = len(self.visits)
        for visit in list(self.visits.values()):
            self.leave(visit)
        self._idle.clear()
        self._asking = 0
        return count

    # -- what is due ---------------------------------------------------------------------------------------------------

    def _open_due(self, passed: float, opened: int) -> int:
        due = max(0, int(passed * self._rate) - opened if self._rate else _AT_ONCE - self.opening)
        for _ in range(due):
            self._open(keep=False)
        return due

    def _ask_due(self, passed: float, asked: int) -> int:
        due = max(0, int(passed * self._rate * self._requests) - asked if self._rate else _AT_ONCE - self._asking)
        for _ in range(due):
            self._ask()
        return due

    def _open(self, keep: bool) -> None:
        kind, way = self._ways[self._next % len(self._ways)]
        self._next += 1
        if self.opening < _MOST:
            self.open(kind, way, keep)
        else:
            self._tally.failed[f"{kind}: too many are on their way"] += 1

    def _ask(self) -> None:
        """Ask the one that has been silent longest, or replace it if it is old."""
        if not self._idle:
            return
        visit = self._idle.popleft()
        if time.perf_counter() - visit.born > self._life:
            self.leave(visit)
            self._open(keep=True)
        else:
            self._asking += 1
            self.ask(visit)

    # -- see Visits ----------------------------------------------------------------------------------------------------

    def opened(self, visit: Visit) -> None:
        self._tally.opened.append(time.perf_counter() - visit.since)
        if visit.keep:
            self._rest(visit)
        else:
            self.leave(visit)

    def answered(self, visit: Visit) -> None:
        self._asking -= 1
        self._tally.asked.append(time.perf_counter() - visit.since)
        self._rest(visit)

    def lost(self, visit: Visit, error: OSError) -> None:
        where = "open" if visit.is_open else f"step {visit.step}"
        self._tally.failed[f"{visit.kind}, {where}: {error}"] += 1
        self._missing += visit.keep
        if visit.idle:
            self._idle.remove(visit)
        elif visit.is_open:
            self._asking -= 1

    def sweep(self) -> None:
        """Replace held ones that were lost, too."""
        super().sweep()
        missing, self._missing = self._missing, 0
        for _ in range(missing):
            self._open(keep=True)

    # ------------------------------------------------------------------------------------------------------------------

    def _rest(self, visit: Visit) -> None:
        visit.idle = True
        self._idle.append(visit)

    def _finish(self, began: float) -> Tally:
        tally, self._tally = self._tally, Tally()
        tally.seconds = time.perf_counter() - began
        return tally
