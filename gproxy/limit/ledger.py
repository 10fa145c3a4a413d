"""What is counted against limits, in memory that all workers share: who has how much open, and has spent how much.

    section "ledger 2":
    +------+-------+-----------+---------+---------+---
    | key  | epoch | processes | group 0 | group 1 | …
    +------+-------+-----------+---------+---------+---
                     pid, start
    in group 0 for each row:
    +-----+----------+----------+-----+----------+
    | row | column 0 | column 1 | ... | column 6 |     lines of 8 words of 8 bytes; the next columns are in group 1
    +-----+----------+----------+-----+----------+
    a row:
    +-----+----------+--------+----------+--------+----------+--------+----------+
    | tag | last use | rate 0 | origin 0 | rate 1 | origin 1 | rate 2 | origin 2 |     a seat has its holder for rate 0
    +-----+----------+--------+----------+--------+----------+--------+----------+
    a column for each process that counts:
    +-------+-------+-------+------+------+------+---+---+
    | sum 0 | sum 1 | sum 2 | open | open | open |   |   |     sums only grow; numbers of what is open now
    +-------+-------+-------+------+------+------+---+---+

A row belongs to a key, such as a user or the prefix of an address. Each process writes to its own column only, and
reads all of them, so that nothing is locked where connections arrive: two processes that decide at the same moment may
not see each other's, which is the most that a limit can be missed by. What a process had open is gone with it, what it
has spent is kept in column 0. What is needed together lies together: memory is what such a look costs most.

A token bucket is one number for all: its origin, the moment at which nothing had been saved or spent, so that it has
`rate * (now - origin) - spent` tokens. Whoever sees more than the burst in it moves the origin, and so does whoever
comes with another rate.

A key's row is one of the few that its hash names; when all of them are taken, the longest unused one is given up, one
with nothing open first.
"""

from __future__ import annotations

import os
import struct
from math import inf
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
_LINE: Final = 8  # words
_LINES: Final = 8  # of a row in each group
_STEP: Final = _LINE * _LINES  # words from row to row
_FIRST: Final = -_STEP  # a mask for a row's first word
_TAG, _USED, _PACE, _HOLDER = 0, 1, 2, 2  # among its words; after `_PACE` a rate and an origin for each bucket
_GROUP: Final = _ROWS * _STEP * 8
_SIZE: Final = _ROWS_AT + (_COLUMNS // _LINES + 1) * _GROUP
_NOTHING: Final = bytes(PAGE)

_CLAIM: Final = 1  # the bytes of the section that are locked: to give a row to a key,
_JOIN: Final = 2  # to give a column to a process

# How long a row may have been in use before its last use is written down again, in seconds.
_FRESH: Final = 1.0


class Row:
    """A key's row, to be kept by whoever asks often: where it lies may change, when others need its place."""

    __slots__ = ("at", "key", "tag")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.at = 0  # its first word
        self.tag = -1  # nobody's: it has no place yet


Entry = tuple[int, int]
"""What is open: where it is counted, and whose that was."""


class Ledger:
    """The book of this process and all others. `join` comes before all else, after the fork."""

    def __init__(self, memory: Memory) -> None:
        """Raises OSError."""
        self._section = memory.section("ledger 2", _SIZE, draw_key)
        self._memory = memoryview(self._section.mapped)
        self._secret = bytes(self._memory[:KEY])
        rows = self._memory[_ROWS_AT : _ROWS_AT + _GROUP]
        self._tags = rows.cast("Q")  # the holders of seats too
        self._times = rows.cast("d")  # and the rates
        self._epoch = self._memory[_EPOCH_AT : _EPOCH_AT + 8].cast("Q")
        self._processes = self._memory[_PROCESSES_AT : _PROCESSES_AT + _COLUMNS * _PROCESS.size]
        self._seen = -1  # the epoch when the columns were last looked for
        self._columns: tuple[memoryview, ...] = ()  # all that are in use
        self._living: tuple[memoryview, ...] = ()  # those of processes
        self._own = self._column(0)
        self._known: dict[bytes, Row] = {}

    def _column(self, number: int) -> memoryview:
        """What one process writes: its lines, which are found by the first words of rows."""
        group, line = divmod(number + 1, _LINES)
        at = _ROWS_AT + group * _GROUP
        return self._memory[at + line * _LINE * 8 : at + _GROUP].cast("Q")

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
        self._own = self._column(free)

    def _process(self, number: int) -> tuple[int, int]:
        pid, since = _PROCESS.unpack_from(self._processes, number * _PROCESS.size)
        return pid, since

    def _retire(self, number: int) -> None:
        """Keep what a process that is over has spent, and nothing else of it."""
        gone, kept = self._column(number), self._column(0)
        group, line = divmod(number + 1, _LINES)
        for at in range(0, _GROUP, PAGE):
            piece = self._section.read(_ROWS_AT + group * _GROUP + at, PAGE)
            if piece == _NOTHING:
                continue
            words = memoryview(piece).cast("Q")
            for which in range(RATES + COUNTS):
                for word, value in enumerate(words[line * _LINE + which :: _STEP].tolist()):
                    if value:
                        place = at // 8 + word * _STEP + which
                        gone[place] = 0
                        kept[place] += value if which < RATES else 0
        _PROCESS.pack_into(self._processes, number * _PROCESS.size, 0, 0)

    def _look_again(self) -> None:
        self._seen = self._epoch[0]
        self._columns = tuple(
            self._column(number) for number in range(_COLUMNS) if not number or self._process(number)[0]
        )
        self._living = self._columns[1:]

    # -- rows ----------------------------------------------------------------------------------------------------------

    def row(self, key: bytes) -> Row:
        """The row of a key."""
        row = self._known.get(key)
        if row is None:
            if len(self._known) >= _ROWS:
                self._known.clear()
            row = self._known[key] = Row(key)
        return row

    def _place(self, row: Row) -> None:
        """Find where it lies; it is given a place if it has none."""
        tag = tag_of(row.key, self._secret)
        ways = [(tag + way) % _ROWS * _STEP for way in range(_WAYS)]
        for at in ways:
            if self._tags[at] == tag:
                break
        else:
            with self._section.held(_CLAIM):
                at = self._claim(ways, tag)
        row.at, row.tag = at, tag

    def _claim(self, ways: list[int], tag: int) -> int:
        tags, times = self._tags, self._times
        for at in ways:
            if tags[at] == tag:  # another process was faster
                return at
        at = min(ways, key=lambda at: (tags[at] != 0, self._is_open(at), times[at + _USED]))
        for column in self._all():
            for word in range(at, at + RATES + COUNTS):
                if column[word]:
                    column[word] = 0
        for which in range(RATES):
            times[at + _PACE + 2 * which] = 0.0
        times[at + _USED] = now()
        tags[at] = tag
        return at

    def _is_open(self, at: int) -> bool:
        return any(column[word] for column in self._all() for word in range(at + RATES, at + RATES + COUNTS))

    def _all(self) -> tuple[memoryview, ...]:
        if self._epoch[0] != self._seen:
            self._look_again()
        return self._columns

    def hand(self, row: Row, holder: bytes) -> None:
        """Make a row somebody's seat. It has no rates then."""
        self._tags[row.at + _HOLDER] = tag_of(holder, self._secret)

    def holds(self, row: Row, holder: bytes) -> bool:
        """Whether it is his seat."""
        return self._tags[row.at + _HOLDER] == tag_of(holder, self._secret)

    def use(self, row: Row, moment: float) -> None:
        """It is needed now: all that follows is to be called at once. `moment` is by `now`, here as there."""
        if self._tags[row.at] != row.tag:
            self._place(row)
        if self._epoch[0] != self._seen:
            self._look_again()
        used = row.at + _USED
        if moment - self._times[used] > _FRESH:
            self._times[used] = moment

    # -- rates ---------------------------------------------------------------------------------------------------------

    def charge(
        self, row: Row, which: int, rate: float, burst: float, moment: float, amount: int = 0, least: float = -inf
    ) -> float:
        """Take so many tokens, if there are at least so many; what there was before that.

        A bucket has at most `burst`, and less than nothing where more was taken than there was.
        """
        word = row.at + which
        spent = 0
        for column in self._columns:
            spent += column[word]
        times = self._times
        pace = row.at + _PACE + 2 * which
        paced = times[pace]
        if paced == rate:
            level = rate * (moment - times[pace + 1]) - spent
            if level > burst:
                level = burst
                times[pace + 1] = moment - (burst + spent) / rate
        else:  # nobody has asked before: it is full
            level = min(paced * (moment - times[pace + 1]) - spent, burst) if paced else burst
            times[pace + 1] = moment - (level + spent) / rate
            times[pace] = rate
        if amount and level >= least:
            self._own[word] += amount
        return level

    def spend(self, row: Row, which: int, amount: int) -> None:
        """Take tokens whether they are there or not."""
        self._own[row.at + which] += amount

    # -- numbers of open things ----------------------------------------------------------------------------------------

    def count(self, row: Row, which: int) -> int:
        """How many are open, in all processes."""
        word = row.at + RATES + which
        total = 0
        for column in self._living:
            total += column[word]
        return total

    def enter(self, row: Row, which: int) -> Entry:
        """One more is open, here."""
        word = row.at + RATES + which
        self._own[word] += 1
        return word, row.tag

    def leave(self, entry: Entry) -> None:
        """One less is open, unless the row was given to another key since."""
        word, tag = entry
        own = self._own
        if self._tags[word & _FIRST] == tag and own[word]:
            own[word] -= 1
