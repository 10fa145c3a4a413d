"""The audit log of a process: a file of its own (see gproxy.observe.events for what stands in it).

Whatever a stranger can cause is bounded: so many events of a kind are written in a second, and how many were left out
is written when the second is over.
"""

from __future__ import annotations

from typing import Final, Protocol

from gproxy.base.clock import now, wall
from gproxy.base.session import Session
from gproxy.observe.events import Event, liner
from gproxy.observe.linefile import Kept, LineFile
from gproxy.observe.lines import Clients
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep

_NAME: Final = "audit log"

_PERIOD: Final = 1.0  # seconds in which events are counted


class Settings(Protocol):
    """The `log.audit` table of the configuration."""

    @property
    def output(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def rate(self) -> int: ...


class AuditLog:
    """The file, and what was left out of it lately."""

    def __init__(self, settings: Settings, clients: Clients) -> None:
        self.file = LineFile(_NAME, settings.output)
        self._line = liner(settings.format, clients)
        self._rate = settings.rate
        self._counts: dict[str, int] = {}  # in this period, by kind
        self._since = 0.0
        self._telling = Group("audit log")

    def write(self, event: Event) -> None:
        """Write one line."""
        self.file.write(self._line(event, wall()))

    def admit(self, kind: str) -> bool:
        """Whether one more event of this kind may be written now; if not, it is counted."""
        at = now()
        if at - self._since >= _PERIOD:
            self._tell()
            self._since = at
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= self._rate:
            return True
        if not len(self._telling):
            self._telling.spawn(self._tell_later)
        return False

    def _tell_later(self) -> None:
        sleep(_PERIOD)
        self._tell()

    def _tell(self) -> None:
        for kind, count in self._counts.items():
            if count > self._rate:
                self.write(Event("left-out", count=count - self._rate, detail=kind))
        self._counts.clear()

    def close(self) -> None:
        """Write what is left."""
        self._telling.kill()
        self._tell()
        self.file.close()


_kept: Kept[AuditLog] = Kept(_NAME)

probe, start, reopen, close = _kept.probe, _kept.start, _kept.reopen, _kept.close


def setup(settings: Settings | None, clients: Clients = "whole") -> None:
    """Keep an audit log from now on, or none, with as much of clients' addresses. See LineFile."""
    _kept.book = AuditLog(settings, clients) if settings is not None else None


def wanted() -> bool:
    """Whether anybody reads it."""
    return _kept.book is not None


def write(event: Event) -> None:
    """An act, or what else no stranger can cause."""
    if (book := _kept.book) is not None:
        book.write(event)


def bounded(event: Event) -> None:
    """What strangers can cause, as often as they like."""
    if (book := _kept.book) is not None and book.admit(event.event):
        book.write(event)


def met(kind: str, session: Session, result: str, detail: str = "") -> None:
    """How a client has done with showing who he is; `kind` is one of `auth-…`. Failures are bounded."""
    book = _kept.book
    if book is None or (result != "ok" and not book.admit(kind)):
        return
    book.write(
        Event(
            kind, result, source=session.source, session=session.id, inbound=session.inbound, user=session.user or "",
            detail=detail,
        )
    )  # fmt: skip
