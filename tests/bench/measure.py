"""What the kernel says of a process and its children: CPU, memory, descriptors."""

from __future__ import annotations

import os
import time
from pathlib import Path

_CPUCLOCK_SCHED = 2  # linux/include/linux/posix-timers.h: the scheduler's clock of a whole process
_QUIET_WINDOW = 0.05  # seconds
_QUIET_SHARE = 0.02  # of one CPU: a process below it has finished its work


def family(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    found = [pid]
    for parent in found:
        for task in _entries(f"/proc/{parent}/task"):
            found.extend(int(child) for child in _text(f"/proc/{parent}/task/{task}/children").split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and its children, all threads, the ended ones too.

    This is the sum in `/proc/PID/stat`, read from the process's CPU clock, which counts nanoseconds instead of ticks.
    """
    total = 0
    for member in family(pid):
        try:
            total += time.clock_gettime_ns((~member << 3) | _CPUCLOCK_SCHED)
        except OSError:
            continue  # it ended between the two calls
    return total / 1e9


def rss_bytes(pid: int) -> int:
    """Resident bytes of a process and its children. Exact: from smaps_rollup, not from the batched counters."""
    total = 0
    for member in family(pid):
        for line in _text(f"/proc/{member}/smaps_rollup").splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def descriptors(pid: int) -> int:
    """Open descriptors of a process and its children."""
    return sum(len(_entries(f"/proc/{member}/fd")) for member in family(pid))


def settle(pid: int, limit: float = 3.0) -> None:
    """Wait until the process has nothing more to do, `limit` seconds at most: closing is part of the work."""
    deadline = time.monotonic() + limit
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(_QUIET_WINDOW)
        now = cpu_seconds(pid)
        if now - before < _QUIET_WINDOW * _QUIET_SHARE:
            return
        before = now


def wait_descriptors(pid: int, wanted: int, limit: float) -> int:
    """Wait until no more than `wanted` descriptors are open, `limit` seconds at most; return how many there are."""
    deadline = time.monotonic() + limit
    while (count := descriptors(pid)) > wanted and time.monotonic() < deadline:
        time.sleep(_QUIET_WINDOW)
    return count


def _entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
