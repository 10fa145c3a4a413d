"""What the kernel says of a process and its children: CPU, memory, descriptors."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
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
    """User and system seconds of a process and its descendants, all threads, the ended ones too.

    For the living this is the sum in `/proc/PID/stat`, read from the process's CPU clock, which counts nanoseconds
    instead of ticks. The dead are in the account of the living one that has waited for them, in ticks. A reading that
    falls into the very moment of a death may miss the dead one; the next has it.
    """
    total = 0.0
    for member in family(pid):
        total += reaped_ticks(_text(f"/proc/{member}/stat")) / _TICKS  # before its children's: none is counted twice
        try:
            total += time.clock_gettime_ns((~member << 3) | _CPUCLOCK_SCHED) / 1e9
        except OSError:
            continue  # it ended between the two calls
    return total


def reaped_ticks(stat: str) -> int:
    """`cutime` and `cstime` of a line of `/proc/PID/stat` (proc_pid_stat(5)); 0 of an empty one.

    The name in the second field may hold blanks and brackets.
    """
    fields = stat.rpartition(")")[2].split()
    return int(fields[13]) + int(fields[14]) if fields else 0


def rss_bytes(pid: int) -> int:
    """Resident bytes of a process and its descendants. Exact: from smaps_rollup, not from the batched counters."""
    return sum(field_bytes(_text(f"/proc/{member}/smaps_rollup"), "Rss") for member in family(pid))


def pss_bytes(pid: int) -> int:
    """Bytes of a process and its descendants, a page that n processes of the machine share counted as 1/n for each."""
    return sum(field_bytes(_text(f"/proc/{member}/smaps_rollup"), "Pss") for member in family(pid))


def alone_bytes(pid: int) -> int:
    """What `pss_bytes` would be on a machine where no other process uses the same programs and libraries.

    Anonymous pages are shared within the family only. Of each part of a file the member counts that has most of it.
    """
    anonymous = 0
    files: dict[str, int] = {}
    for member in family(pid):
        anonymous += field_bytes(_text(f"/proc/{member}/smaps_rollup"), "Pss_Anon")
        anonymous += field_bytes(_text(f"/proc/{member}/smaps_rollup"), "Pss_Shmem")
        for part, size in file_bytes(_text(f"/proc/{member}/smaps")).items():
            files[part] = max(size, files.get(part, 0))
    return anonymous + sum(files.values())


def field_bytes(rollup: str, name: str) -> int:
    """A field of `/proc/PID/smaps_rollup` (proc_pid_smaps(5)); 0 if it is not there."""
    for line in rollup.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def file_bytes(smaps: str) -> dict[str, int]:
    """Resident bytes that are still the file's own, by offset, device, inode and path, from `/proc/PID/smaps`.

    Shared memory (device 00:01 and the like, and /dev/zero) is no file.
    """
    found: dict[str, int] = {}
    part = ""
    for line in smaps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # a new mapping: range, permissions, offset, device, inode, path
            on_disk = len(words) > 5 and words[5].startswith("/") and not words[3].startswith("00:01")
            part = " ".join(words[2:]) if on_disk else ""
        elif part and words[0] == "Rss:":
            found[part] = found.get(part, 0) + int(words[1]) * 1024
        elif part and words[0] == "Anonymous:":
            found[part] -= int(words[1]) * 1024
    return found


def shared_bytes(smaps: str) -> int:
    """Resident bytes of memory that processes share and that no file on a disk is behind, from `/proc/PID/smaps`."""
    total = 0
    shared = False
    for line in smaps.splitlines():
        words = line.split()
        if not words[0].endswith(":"):  # see file_bytes
            shared = words[1].endswith("s") and words[3].startswith("00:")
        elif shared and words[0] == "Rss:":
            total += int(words[1]) * 1024
    return total


def descriptors(pid: int) -> int:
    """Open descriptors of a process and its descendants."""
    return sum(descriptors_each(pid).values())


def descriptors_each(pid: int) -> dict[int, int]:
    """Open descriptors of a process and of each of its descendants, by their process ids."""
    return {member: len(_entries(f"/proc/{member}/fd")) for member in family(pid)}


def settle(pid: int, limit: float = 3.0) -> None:
    """Wait until it and its descendants have nothing to do, `limit` seconds at most: closing is part of the work."""
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
