"""Memory that runs short: accept no more, end the longest idle sessions, and go on when there is enough again."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
from collections.abc import Callable
from math import inf

from gproxy.base.clock import now
from gproxy.base.errors import CloseReason
from gproxy.engine.table import Table
from gproxy.limit.bucket import TokenBucket
from gproxy.limit.gate import Gate
from gproxy.limit.room import Room
from gproxy.relay.idle import SWEEPER
from gproxy.rt.sync import sleep

_log = logging.getLogger("gproxy.app")

# How often a worker looks at its memory, in seconds.
_LOOK = 1.0

# Pressure that comes and goes is told about so often: at once, then every so many seconds.
_SAY_EVERY, _SAY_BURST = 10.0, 3

_PRESSURE: CloseReason = "pressure"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1024 * 1024


def memory_in_use() -> int:
    """Bytes of anonymous memory that this process holds: its resident pages without those of files (proc(5), statm)."""
    with open("/proc/self/statm", "rb") as file:
        _, resident, shared, *_ = file.read().split()
    return (int(resident) - int(shared)) * _PAGE


def give_back() -> None:
    """Return what is free to the system: garbage, and the holes that the C library keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)


class Pressure:
    """Keeps one process below `limit` bytes."""

    def __init__(self, limit: int, room: Room, table: Table, measure: Callable[[], int] = memory_in_use) -> None:
        self._measure = measure
        self._limit = limit
        self._room = room
        self._table = table
        self._gate = Gate(limit, measure())
        self._bucket = TokenBucket(1 / _SAY_EVERY, _SAY_BURST)
        self._said = False
        self._since = 0.0
        self._ended = 0

    def watch(self) -> None:
        """Look at the memory, for ever."""
        while True:
            self.look()
            sleep(_LOOK)

    def look(self) -> None:
        """Once."""
        gate, was_closed = self._gate, self._gate.closed
        if was_closed:
            give_back()
        used = self._measure()
        if gate.near(used):
            SWEEPER.sweep()  # more often than it does by itself, to know then who is idle
        count = gate.look(used, len(self._table))
        if gate.closed and not was_closed:
            self._enter(used)
        if count:
            self._ended += self._end_idle(count)
        if was_closed and not gate.closed:
            self._leave(used)

    def _enter(self, used: int) -> None:
        self._room.close()
        self._since = now()
        self._ended = 0
        self._said = self._bucket.take()
        if self._said:
            _log.warning("memory is short, %d of %d MiB are in use: accepting pauses, the longest idle sessions end",
                         used // _MIB, self._limit // _MIB)  # fmt: skip

    def _end_idle(self, count: int) -> int:
        """Relays by their silence, then whoever has none yet or any more, by age."""
        silent_since = SWEEPER.silent_since()
        return self._table.end_first(count, lambda task: silent_since.get(task, inf), _PRESSURE)

    def _leave(self, used: int) -> None:
        self._room.reopen()
        if not self._said:
            return
        what = "memory is there again" if not self._gate.beyond else "the memory limit can't be kept"
        _log.log(
            logging.INFO if not self._gate.beyond else logging.ERROR,
            "%s, %d of %d MiB are in use by %d sessions: accepting goes on, after %.1f s and the end of %d sessions",
            what, used // _MIB, self._limit // _MIB, len(self._table), now() - self._since, self._ended,
        )  # fmt: skip
