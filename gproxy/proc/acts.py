"""What administrators do, for the audit log: whatever an act is answered is written down as well.

Standard library only: the master writes its lines by itself, and opens the file for each, so that it never holds one
that was moved away.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from gproxy.base.clock import wall
from gproxy.observe.events import Event, Line, liner
from gproxy.observe.opening import open_lines
from gproxy.proc.admin import Request

Write = Callable[[Event], object]

_LONGEST: Final = 64  # characters of what is repeated of a request

_SIGNALLED: Final = "signal"


class Act(Request):
    """A request that is written down when it is answered. Without one, it is a signal or what else begins an act."""

    def __init__(self, write: Write, event: str, request: Request | None = None, by: str = _SIGNALLED) -> None:
        self.values = request.values if request is not None else {}
        self._write = write
        self._event = event
        self._request = request
        self._by = by

    def answer(self, **values: Any) -> None:
        """See Request."""
        self._write(self._told(values))
        if self._request is not None:
            self._request.answer(**values)

    def _told(self, answer: dict[str, Any]) -> Event:
        request = self._request
        done = bool(answer.get("ok"))
        asked, prefix, seconds, count = self.values, "", None, None
        detail = "" if done else str(answer.get("error", ""))
        if self._event == "debug":
            detail = detail or _text(asked.get("what"))
        elif self._event == "ban-add":
            told = answer.get("ban") or {}
            prefix, seconds = told.get("network") or _text(asked.get("network")), told.get("length")
        elif self._event == "ban-remove":
            prefix, count = _text(asked.get("network")), len(answer["removed"]) if done else None
        return Event(
            self._event,
            "ok" if done else "refused",
            "control" if request is not None else self._by,
            request.uid if request is not None else None,
            request.pid if request is not None else None,
            prefix=prefix,
            seconds=seconds,
            count=count,
            generation=answer.get("generation"),
            detail=detail,
        )


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


_ACTS: Final = frozenset({"reload", "upgrade", "stop", "debug"})
_BAN_ACTS: Final = {"add": "ban-add", "remove": "ban-remove"}


def acted(request: Request, write: Write) -> Request:
    """The request, as an act if it is one; to look at something is none."""
    asked, does = request.values.get("ask"), request.values.get("do")
    event = None
    if asked == "ban" and isinstance(does, str):
        event = _BAN_ACTS.get(does)
    elif isinstance(asked, str) and asked in _ACTS:
        event = asked
    return request if event is None else Act(write, event, request)


class Record:
    """The master's part of the audit log. `say` tells the log of lines that were lost."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say
        self._file: _File | None = None
        self._before: _File | None = None

    def become(self, audit: dict[str, Any] | None) -> None:
        """Write as this `log.audit` table says. Until `settle`, the file before gets the lines, too.

        So who ends an audit log by a reload is the last that stands in it.
        """
        before, self._file = self._file, _File(audit) if audit is not None else None
        if before is not None and (self._file is None or self._file.path != before.path):
            self._before = before

    def settle(self) -> None:
        """The file before is done with."""
        self._before = None

    def write(self, event: Event) -> None:
        """Write one line. That it can't be written is said once."""
        for file in (self._before, self._file):
            if file is None:
                continue
            lost, problem = file.write(event)
            if problem and lost == 1:
                self._say("error", f"the audit log {file.path} can't be written: {problem}")
            elif lost and not problem:
                self._say("warn", f"the audit log {file.path} can be written again; {lost} lines were lost")


class _File:
    def __init__(self, audit: dict[str, Any]) -> None:
        self.path = str(audit["output"])
        self._line: Line = liner(str(audit["format"]), audit["clients"])
        self._lost = 0
        self._torn = False  # the file ends in the middle of a line

    def write(self, event: Event) -> tuple[int, str]:
        """How many lines were lost by now, and why this one is one of them; empty if it is not."""
        text = ("\n" if self._torn else "") + self._line(event, wall()) + "\n"
        try:
            fd = open_lines(self.path, held=True)
            try:
                self._append(fd, text.encode("utf-8", "backslashreplace"))
            finally:
                os.close(fd)
        except OSError as error:
            self._lost += 1
            return self._lost, error.strerror or str(error)
        lost, self._lost = self._lost, 0
        return lost, ""

    def _append(self, fd: int, data: bytes) -> None:
        """Raises OSError."""
        while data:
            written = os.write(fd, data)
            self._torn = not data[:written].endswith(b"\n")
            data = data[written:]
