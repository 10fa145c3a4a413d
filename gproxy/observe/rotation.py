"""Rotation of a log file: by its size and by the clock, with compression and an end for old ones.

Whoever rotates only moves the file away; those who write to it are told afterwards, and open it anew. Until then they
go on writing to the old one, so that no line is lost. Each of them holds a shared lock on the file that it has open
(see Sink): a moved file is compressed as soon as nobody has it open any more.

    access.log                          what is being written
    access.log.20260131T120000Z         moved away at that time (UTC), still held by a writer
    access.log.20260131T110000Z.gz      compressed
"""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import gzip
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from gproxy.base.clock import wall

_STAMP = "%Y%m%dT%H%M%SZ"
_ENDING = re.compile(r"\.([0-9]{8}T[0-9]{6}Z)(\.gz(?:\.part)?)?", re.ASCII)
_CHUNK = 1 << 20

# Where locks don't work, a writer has opened the file anew by then, in seconds.
_SETTLED = 10.0

# How long a file may be missing that writers were told to open anew, before they are told again, in seconds: they could
# not make it, since the disk was full, or somebody else has moved it away.
_MISSED = 30.0


class Settings(Protocol):
    """What the configuration says of one file."""

    @property
    def output(self) -> str: ...
    @property
    def rotate_size(self) -> int: ...
    @property
    def rotate_every(self) -> float: ...
    @property
    def keep(self) -> int: ...
    @property
    def keep_for(self) -> float: ...
    @property
    def compress(self) -> bool: ...


class Rotation:
    """One file. Nothing here knows a hub: the calls touch the disk and may take their time."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = wall) -> None:
        self._path = Path(settings.output)
        self._size = settings.rotate_size
        self._period = settings.rotate_every
        self._keep = settings.keep
        self._keep_for = settings.keep_for
        self._compress = settings.compress
        self._clock = clock
        self._since = self._began()
        self._told = clock()  # when the file was there, or those who write to it were told to make it

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._path

    def _began(self) -> float:
        """When the file was begun, as far as can be told: after the last one was moved away, or when it was written."""
        with contextlib.suppress(OSError):
            old = self._old()
            return old[-1][0] if old else self._path.stat().st_mtime
        return self._clock()

    def rotate(self) -> bool:
        """Move the file away if it is time; whether that was done, or it is gone, so that writers must open it anew.

        Raises OSError.
        """
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return self._missed()
        at = self._clock()
        self._told = at
        if not stat.S_ISREG(facts.st_mode) or not self._due(facts.st_size, at):
            return False
        if not facts.st_size:
            self._since = at  # an empty file serves the next period as well
            return False
        moved = self._path.with_name(self._path.name + time.strftime("." + _STAMP, time.gmtime(at)))
        if moved.exists() or moved.with_name(moved.name + ".gz").exists():
            return False  # twice in a second: the next look does it
        self._path.rename(moved)
        self._since = at
        return True

    def _missed(self) -> bool:
        at = self._clock()
        if at - self._told < _MISSED:
            return False
        self._told = at
        return True

    def _due(self, size: int, at: float) -> bool:
        if self._size and size >= self._size:
            return True
        return bool(self._period) and self._number(at) > self._number(self._since)

    def _number(self, at: float) -> float:
        """Of the period that this time is in; days begin at local midnight, hours at the full hour."""
        return (at + time.localtime(at).tm_gmtoff) // self._period

    def tidy(self) -> None:
        """Compress what was moved away and is not written to any more, and remove what is too old. Raises OSError."""
        at = self._clock()
        old = self._old()
        excess = len(old) - self._keep if self._keep else 0
        for index, (moved, path) in enumerate(old):
            if index < excess or (self._keep_for and at - moved > self._keep_for):
                path.unlink(missing_ok=True)
            elif self._compress and path.suffix != ".gz":
                self._pack(path, settled=at - moved > _SETTLED)

    def _old(self) -> list[tuple[float, Path]]:
        """When each of the old files was moved away, the oldest first. What a crash has left half done is removed."""
        found = []
        for path in self._path.parent.iterdir():
            match = _ENDING.fullmatch(path.name.removeprefix(self._path.name))
            if match is None or not path.name.startswith(self._path.name):
                continue
            if (match[2] or "").endswith(".part"):
                path.unlink(missing_ok=True)
                continue
            with contextlib.suppress(ValueError):  # a date that no calendar has: not ours
                found.append((float(calendar.timegm(time.strptime(match[1], _STAMP))), path))
        return sorted(found)

    def _pack(self, path: Path, *, settled: bool) -> None:
        packed = path.with_name(path.name + ".gz")
        part = path.with_name(packed.name + ".part")
        with path.open("rb") as source:
            if not _free(source.fileno(), settled=settled):
                return
            try:
                with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb") as raw:
                    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw) as target:
                        shutil.copyfileobj(source, target, _CHUNK)
                    raw.flush()
                    os.fsync(raw.fileno())
                part.rename(packed)
            except OSError:
                part.unlink(missing_ok=True)
                raise
            path.unlink()


def _free(fd: int, *, settled: bool) -> bool:
    """Whether no writer has the file open any more; from now on none can begin."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return settled
    return True


def rotations(files: Sequence[Settings | None]) -> list[Rotation]:
    """Of those that gproxy is to rotate by itself; the others are left to logrotate."""
    return [Rotation(each) for each in files if each is not None and (each.rotate_size or each.rotate_every)]
