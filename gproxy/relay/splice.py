"""Pipes for splice(2): a direction has one only while bytes are in it, so that idle connections hold none."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import ClassVar

PIPE_SIZE = 1024 * 1024
"""Bytes that a pipe holds: what an unprivileged process may ask for (pipe(7), pipe-max-size)."""

_SPARE = 16

# The kernel's numbers (splice(2)); Python 3.11 names none of them on every build.
_MOVE_NONBLOCK = 1 | 2


class Pipe:
    """A kernel buffer between two descriptors."""

    __slots__ = ("_held", "_read", "_write")

    _spare: ClassVar[list[Pipe]] = []

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._held = 0
        with contextlib.suppress(OSError):  # past the user's share of pipe memory a smaller pipe must do
            fcntl.fcntl(self._write, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    @classmethod
    def lend(cls) -> Pipe | None:
        """An empty pipe, or None when there are no descriptors for one."""
        if cls._spare:
            return cls._spare.pop()
        try:
            return cls()
        except OSError:
            return None

    def fill(self, source: int, most: int = PIPE_SIZE) -> int:
        """Take what the source has, as far as it fits; 0 = its end. Raises OSError, BlockingIOError among them."""
        self._held = os.splice(source, self._write, most, flags=_MOVE_NONBLOCK)
        return self._held

    def drain(self, target: int) -> bool:
        """Give it to the target; False when it would not take all now. Raises OSError."""
        while self._held:
            try:
                self._held -= os.splice(self._read, target, self._held, flags=_MOVE_NONBLOCK)
            except BlockingIOError:
                return False
        return True

    def give_back(self) -> None:
        """It is empty: keep it for the next one."""
        if len(self._spare) < _SPARE:
            self._spare.append(self)
        else:
            self.destroy()

    def destroy(self) -> None:
        """Close it, with whatever is in it."""
        os.close(self._read)
        os.close(self._write)
