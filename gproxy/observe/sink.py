"""Where log lines end. Writing one never blocks the hub: they are collected, and a native thread writes batches.

Before `start` and after `close`, when there is no hub to protect, lines are written at once.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable

from gproxy.observe.opening import open_lines
from gproxy.rt.group import Group
from gproxy.rt.offload import offload
from gproxy.rt.sync import Event, sleep

# A disk that stalls for longer than it takes to log this many lines loses the next ones, and says so.
MOST_LINES = 20_000

# Between two batches, in seconds: a busy log costs fifty hand-overs a second at most.
_PAUSE = 0.02

# How long a batch that is being written may take at the end, in seconds: a dead disk must not keep the process.
_LAST_BATCH = 2.0

_NEWLINE = 10


class Sink:
    """A file, or standard error for an empty path. Raises OSError when the file can't be opened."""

    def __init__(self, path: str = "", *, held: bool = False) -> None:
        """`held`: while it is open, the file is locked (shared), so that nobody compresses what is still written to."""
        self._path = path
        self._held = held
        self._fd = self._open()
        self._lines: deque[str] = deque()
        self._lost = 0
        self._torn = False  # the file ends in the middle of a line
        self.tell_lost: Callable[[int], str] | None = "{} log lines were lost".format  # how the log says it
        self.report: Callable[[int, str], None] = _ignore  # told of lines that were lost and why; 0: it goes on again
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
        fd = open_lines(self._path, held=self._held)
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
            self._note(*self._put(line + "\n"))
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
            lines = list(self._lines)
            self._lines.clear()
            told, self._lost = self._lost, 0
            if told and self.tell_lost is not None:
                lines.append(self.tell_lost(told))
            elif told:
                self.report(told, "it could not be written fast enough")
            lost, why = offload(self._put, "".join(f"{line}\n" for line in lines))
            if lost and told and self.tell_lost is not None:
                lost += told - 1  # the line that told of them was the last, so it is lost, too
            self._note(lost, why)
            sleep(_PAUSE)

    def _put(self, text: str) -> tuple[int, str]:
        """Write it all; a log that can't be written (disk full, reader gone) must not stop the proxy.

        Gives the number of lines that were lost, and why.
        """
        rest = text.encode("utf-8", "backslashreplace")
        try:
            if self._torn:  # what follows is no part of the line that was cut
                os.write(self._fd, b"\n")
                self._torn = False
            while rest:
                written = os.write(self._fd, rest)
                self._torn = rest[written - 1] != _NEWLINE
                rest = rest[written:]
        except OSError as error:
            return rest.count(b"\n"), error.strerror or str(error)
        return 0, ""

    def _note(self, lost: int, why: str) -> None:
        if self.tell_lost is not None:
            self._lost += lost
        else:
            self.report(lost, why)

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


def _ignore(lost: int, why: str) -> None:
    """Nobody asks."""
