"""What is counted against limits, in memory that all workers share: who has how much open, and has spent how much.

    section "ledger 1":
    +------+-------+-----------+--------+----------+----------+---
    | key  | epoch | processes | rows   | column 0 | column 1 | …      a column for each process that counts
    +------+-------+-----------+--------+----------+----------+---
                     pid, start  tag, last use, holder, rates and their origins
                                          of each row: three sums that only grow, and three numbers of what is open now

A row belongs to a key, such as a user or the prefix of an address. Each process writes to its own column only, and
reads all of them, so that nothing is locked where connections arrive: two processes that decide at the same moment may
not see each other's, which is the most that a limit can be missed by. What a process had open is gone with it, what it
has spent is kept in column 0.

A token bucket is one number for all: its origin, the moment at which nothing had been saved or spent, so that it has
`rate * (now - origin) - spent` tokens. Whoever sees more than the burst in it moves the origin, and so does whoever
comes with another rate.

A key's row is one of the few that its hash names; when all of them are taken, the longest unused one is given up, one
with nothing open first.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from gproxy.base.clock import now
from gproxy.limit.memory import KEY, PAGE, Memory, draw_key, started, tag_of

RATES: Final = 3
"""How many token buckets a row has."""

COUNTS: Final = 3
"""How many numbers of open things a row has."""

_ROWS: Final = 1 << 15
_WAYS: Final = 8  # rows that a key may have
_COLUMNS: Final = 64  # of processes at the same time, draining ones included; the first is nobody's

_PROCESS = struct.Struct("=QQ")  # pid, and when it was started, by which it is told from a later one of that number
_EPOCH_AT: Final = KEY  # changes with the processes
_PROCESSES_AT: Final = KEY + 8
_ROWS_AT: Final = PAGE
_ROW_WORDS: Final = 3 + 2 * RATES  # of 8 bytes
_SUMS_SIZE: Final = RATES * _ROWS * 8
_COLUMN_SIZE: Final = _SUMS_SIZE + COUNTS * _ROWS * 4
_COLUMNS_AT: Final = (_ROWS_AT + _ROWS * _ROW_WORDS * 8 + PAGE - 1) // PAGE * PAGE
_SIZE: Final = _COLUMNS_AT + _COLUMNS * _COLUMN_SIZE

_CLAIM: Final = 1  # the bytes of the section that are locked: to give a row to a key,
_JOIN: Final = 2  # to give a column to a process

# How long a row may have been in use before its last use is written down again, in seconds.
_FRESH: Final = 1.0


class _Column:
    """What one process writes."""

    __slots__ = ("counts", "sums")

    def __init__(self, memory: memoryview, number: int) -> None:
        at = _COLUMNS_AT + number * _COLUMN_SIZE
        sums = memory[at : at + _SUMS_SIZE].cast("Q")
        counts = memory[at + _SUMS_SIZE : at + _COLUMN_SIZE].cast("I")
        self.sums = [sums[rate * _ROWS : (rate + 1) * _ROWS] for rate in range(RATES)]
        self.counts = [counts[count * _ROWS : (count + 1) * _ROWS] for count in range(COUNTS)]


class Ledger:
    """The book of this process and all others. `join` comes before all else, after the fork."""

    def __init__(self, memory: Memory) -> None:
        """Raises OSError."""
        self._section = memory.section("ledger 1", _SIZE, draw_key)
        self._memory = memoryview(self._section.mapped)
        self._secret = bytes(self._memory[:KEY])
        words = self._memory[_ROWS_AT : _ROWS_AT + _ROWS * _ROW_WORDS * 8]
        self._tags = words[: _ROWS * 8].cast("Q")
        self._used = words[_ROWS * 8 : _ROWS * 16].cast("d")
        self._holders = words[_ROWS * 16 : _ROWS * 24].cast("Q")
        pace = words[_ROWS * 24 :].cast("d")
        self._rates = [pace[which * _ROWS : (which + 1) * _ROWS] for which in range(RATES)]
        self._origins = [pace[which * _ROWS : (which + 1) * _ROWS] for which in range(RATES, 2 * RATES)]
        self._epoch = self._memory[_EPOCH_AT : _EPOCH_AT + 8].cast("Q")
        self._processes = self._memory[_PROCESSES_AT : _PROCESSES_AT + _COLUMNS * _PROCESS.size]
        self._seen = -1  # the epoch when the columns were last looked for
        self._columns: Sequence[_Column] = ()
        self._sums: Sequence[Sequence[memoryview]] = ()  # of all columns, by rate
        self._counts: Sequence[Sequence[memoryview]] = ()  # of all columns, by number
        self._own = _Column(self._memory, 0)
        self._known: dict[bytes, tuple[int, int]] = {}  # key → its row and tag

    def join(self) -> None:
        """Begin to count in this process, and forget what processes that are over had open.

        Raises OSError when there are too many.
        """
        with self._section.held(_JOIN):
            free = 0
            for number in range(_COLUMNS - 1, 0, -1):
                pid, since = self._process(number)
                if pid and started(pid) != since:
                    self._retire(number)
                    pid = 0
                if not pid:
                    free = number
            if not free:
                raise OSError("too many processes count")
            pid = os.getpid()
            _PROCESS.pack_into(self._processes, free * _PROCESS.size, pid, started(pid))
            self._epoch[0] += 1
        self._own = _Column(self._memory, free)

    def _process(self, number: int) -> tuple[int, int]:
        pid, since = _PROCESS.unpack_from(self._processes, number * _PROCESS.size)
        return pid, since

    def _retire(self, number: int) -> None:
        """Keep what a process that is over has spent."""
        gone, kept = _Column(self._memory, number), _Column(self._memory, 0)
        for theirs, ours in zip(gone.sums, kept.sums, strict=True):
            for row, spent in enumerate(theirs.tolist()):
                if spent:
                    ours[row] += spent
        at = _COLUMNS_AT + number * _COLUMN_SIZE
        self._memory[at : at + _COLUMN_SIZE] = bytes(_COLUMN_SIZE)
        _PROCESS.pack_into(self._processes, number * _PROCESS.size, 0, 0)

    def _others(self) -> Sequence[_Column]:
        """All columns that are in use."""
        if self._epoch[0] != self._seen:
            self._look_again()
        return self._columns

    def _look_again(self) -> None:
        self._seen = self._epoch[0]
        self._columns = [
            _Column(self._memory, number) for number in range(_COLUMNS) if not number or self._process(number)[0]
        ]
        self._sums = [[column.sums[which] for column in self._columns] for which in range(RATES)]
        self._counts = [[column.counts[which] for column in self._columns] for which in range(COUNTS)]

    # -- rows ----------------------------------------------------------------------------------------------------------

    def row(self, key: bytes) -> int:
        """The row of a key, which is given one if it has none."""
        known = self._known.get(key)
        if known is None or self._tags[known[0]] != known[1]:
            known = self._find(key)
        row = known[0]
        at = now()
        if at - self._used[row] > _FRESH:
            self._used[row] = at
        return row

    def tag(self, row: int) -> int:
        """Whose the row is now: another one, if it was given to another key since."""
        return self._tags[row]

    def _find(self, key: bytes) -> tuple[int, int]:
        tag = tag_of(key, self._secret)
        ways = [(tag + way) % _ROWS for way in range(_WAYS)]
        if len(self._known) >= _ROWS:
            self._known.clear()
        for row in ways:
            if self._tags[row] == tag:
                break
        else:
            with self._section.held(_CLAIM):
                row = self._claim(ways, tag)
        self._known[key] = found = row, tag
        return found

    def hand(self, row: int, holder: bytes) -> None:
        """Give a row to somebody, who is not its key."""
        self._holders[row] = tag_of(holder, self._secret)

    def holds(self, row: int, holder: bytes) -> bool:
        """Whether he has it."""
        return self._holders[row] == tag_of(holder, self._secret)

    def _claim(self, ways: list[int], tag: int) -> int:
        for row in ways:
            if self._tags[row] == tag:  # another process was faster
                return row
        row = min(ways, key=lambda row: (self._tags[row] != 0, self._is_open(row), self._used[row]))
        for column in self._others():
            for array in (*column.sums, *column.counts):
                if array[row]:
                    array[row] = 0
        self._holders[row] = 0
        for rates in self._rates:
            rates[row] = 0.0
        self._used[row] = now()
        self._tags[row] = tag
        return row

    def _is_open(self, row: int) -> bool:
        return any(counts[row] for column in self._others() for counts in column.counts)

    # -- rates ---------------------------------------------------------------------------------------------------------

    def tokens(self, row: int, which: int, rate: float, burst: float) -> float:
        """What a bucket has: at most `burst`; less than nothing where more was taken than there was."""
        if self._epoch[0] != self._seen:
            self._look_again()
        spent = 0
        for sums in self._sums[which]:
            spent += sums[row]
        at = now()
        paced = self._rates[which][row]
        if paced == 0.0:  # nobody has asked before: it is full
            level = burst
        else:
            level = paced * (at - self._origins[which][row]) - spent
            if level <= burst and paced == rate:
                return level
            level = min(level, burst)
        self._origins[which][row] = at - (level + spent) / rate
        self._rates[which][row] = rate
        return level

    def take(self, row: int, which: int, rate: float, burst: float) -> bool:
        """Take one token, if there is one."""
        if self.tokens(row, which, rate, burst) < 1:
            return False
        sums = self._own.sums[which]
        sums[row] += 1
        return True

    def spend(self, row: int, which: int, amount: int) -> None:
        """Take tokens whether they are there or not."""
        self._own.sums[which][row] += amount

    # -- numbers of open things ----------------------------------------------------------------------------------------

    def count(self, row: int, which: int) -> int:
        """How many are open, in all processes."""
        if self._epoch[0] != self._seen:
            self._look_again()
        total = 0
        for counts in self._counts[which]:
            total += counts[row]
        return total

    def enter(self, row: int, which: int) -> None:
        """One more is open, here."""
        self._own.counts[which][row] += 1

    def leave(self, row: int, which: int, tag: int) -> None:
        """One less is open. `tag` is what the row's was when it was entered."""
        counts = self._own.counts[which]
        if self._tags[row] == tag and counts[row]:
            counts[row] -= 1
