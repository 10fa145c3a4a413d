"""Where log lines end. Writing one never blocks the hub: they are collected, and a native thread writes batches.

Before `start` and after `close`, when there is no hub to protect, lines are written at once.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Callable

from gproxy.rt.group import Group
from gproxy.rt.offload import offload
from gproxy.rt.sync import Event, sleep

# A disk that stalls for longer than it takes to log this many lines loses the next ones, and says so.
MOST_LINES = 20_000

# Between two batches, in seconds: a busy log costs fifty hand-overs a second at most.
_PAUSE = 0.02

# How long a batch that is being written may take at the end, in seconds: a dead disk must not keep the process.
_LAST_BATCH = 2.0


class Sink:
    """A file, or standard error for an empty path. Raises OSError when the file can't be opened."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._fd = self._open()
        self._lines: deque[str] = deque()
        self._lost = 0
        self.tell_lost: Callable[[int], str] = "{} log lines were lost".format  # how the log says it
        self._stuck = False
        self._wake: Event | None = None
        self._writer = Group("log writer")

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads it live."""
        return os.isatty(self._fd)

    def _open(self) -> int:
        if not self._path:
            return sys.stderr.fileno()
        # A named pipe without a reader would hold up the hub until one comes; so it is an error.
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        os.set_blocking(fd, True)
        return fd

    def fileno(self) -> int:
        """For what must be written when the process is beyond logging."""
        return self._fd

    def write(self, line: str) -> None:
        """Take one line, without its newline. Never raises, never waits."""
        wake = self._wake
        if self._stuck:
            return
        if wake is None:
            self._put(line + "\n")
        elif len(self._lines) >= MOST_LINES:
            self._lost += 1
        else:
            self._lines.append(line)
            wake.set()

    def start(self) -> None:
        """From now on a background writer does the writing."""
        self._wake = Event()
        self._writer.spawn(self._run, self._wake)

    def _run(self, wake: Event) -> None:
        while self._wake is not None or self._lines:
            wake.wait()
            wake.clear()
            offload(self._put, self._batch())
            sleep(_PAUSE)

    def _batch(self) -> str:
        lines = list(self._lines)
        self._lines.clear()
        if self._lost:
            lines.append(self.tell_lost(self._lost))
            self._lost = 0
        return "".join(f"{line}\n" for line in lines)

    def _put(self, text: str) -> None:
        """Write it all; a log that can't be written (disk full, reader gone) must not stop the proxy."""
        rest = text.encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def reopen(self) -> None:
        """Open the file anew, after its old one was moved away. Raises OSError and keeps the old one."""
        if self._path:
            new = self._open()
            # The number stays, since a native thread may be about to write to it, and it must never mean a client.
            os.dup2(new, self._fd, inheritable=False)
            os.close(new)

    def close(self) -> None:
        """Write what is left and stop the background writer, which may be in the middle of a batch.

        If that batch can't be written for as long, nobody reads the log, and it takes no more lines.
        """
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()
            self._stuck = not self._writer.join(_LAST_BATCH)
            self._writer.kill()
