"""A log in a file of its own. Writing never waits; what can't be written is lost, and the other log tells of that."""

from __future__ import annotations

import logging
import os
from typing import Generic, Protocol, TypeVar

from gproxy.base.clock import now
from gproxy.base.errors import ConfigError
from gproxy.observe.sink import Sink

_log = logging.getLogger("gproxy.log")

# While lines are lost, this is told so often at most, in seconds.
_TELL_LOST = 60.0


class LineFile:
    """One such file. `name` is what the log calls it, such as `access log`.

    One that can't be opened stops nobody (`probe` has refused it before): that is told, and `reopen` tries again.
    """

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        self._path = path
        self._sink: Sink | None = None
        self._started = False
        self._lost = 0
        self._losing = False
        self._quiet_until = 0.0
        try:
            self._sink = self._open()
        except OSError as error:
            _log.error("there is no %s, %s can't be opened: %s", name, path, error.strerror)

    def _open(self) -> Sink:
        sink = Sink(self._path, held=True)
        sink.tell_lost = None
        sink.report = self._report
        return sink

    def write(self, line: str) -> None:
        """Take one line, without its newline. Never raises, never waits."""
        if self._sink is not None:
            self._sink.write(line)

    def _report(self, lost: int, why: str) -> None:
        """Tell of lines that were lost, without filling the other log by that."""
        self._lost += lost
        if lost:
            self._losing = True
            if now() >= self._quiet_until:
                _log.error("%d lines of the %s were lost: %s", self._lost, self._name, why)
                self._lost = 0
                self._quiet_until = now() + _TELL_LOST
        elif self._losing:
            self._losing = False
            _log.warning("the %s can be written again; %d more lines were lost", self._name, self._lost)
            self._lost = 0

    def start(self) -> None:
        """From now on a background writer does the writing."""
        self._started = True
        if self._sink is not None:
            self._sink.start()

    def reopen(self) -> None:
        """Open the file anew, after the old one was moved away. Raises OSError and keeps the old one."""
        if self._sink is not None:
            self._sink.reopen()
            return
        self._sink = self._open()
        if self._started:
            self._sink.start()

    def close(self) -> None:
        """Write what is left."""
        if self._sink is not None:
            self._sink.close()


def probe(name: str, path: str) -> None:
    """Open the file and close it again. Raises ConfigError when that can't be done."""
    try:
        os.close(Sink(path).fileno())
    except OSError as error:
        raise ConfigError(f"can't open the {name} {path}: {error.strerror}") from error


class Settings(Protocol):
    """What every table of such a log has."""

    @property
    def output(self) -> str: ...


class Book(Protocol):
    """A log that stands in such a file."""

    @property
    def file(self) -> LineFile: ...

    def close(self) -> None:
        """Write what is left."""


B = TypeVar("B", bound=Book)


class Kept(Generic[B]):
    """The one log of a kind that a process keeps, or none. As with loggers, there is one in a process."""

    __slots__ = ("_name", "book")

    def __init__(self, name: str) -> None:
        """`name`: see LineFile."""
        self._name = name
        self.book: B | None = None

    def probe(self, settings: Settings | None) -> None:
        """Open the file and close it again. Raises ConfigError when that can't be done."""
        if settings is not None:
            probe(self._name, settings.output)

    def start(self) -> None:
        """From now on a background writer does the writing."""
        if self.book is not None:
            self.book.file.start()

    def reopen(self) -> None:
        """Open the file anew, after the old one was moved away. Raises OSError and keeps the old one."""
        if self.book is not None:
            self.book.file.reopen()

    def close(self) -> None:
        """Write what is left, and keep no such log any more."""
        book, self.book = self.book, None
        if book is not None:
            book.close()
