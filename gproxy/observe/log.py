"""Log records: human on a terminal or in a file, JSON for machines. One format, one place."""

from __future__ import annotations

import json
import logging
import os
from typing import Final, Protocol

from gproxy.observe.lines import timestamp
from gproxy.observe.sink import Sink

TRACE: Final = 5

LEVELS: Final[dict[str, int]] = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}

_NAMES: Final = {TRACE: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error", 50: "fatal"}
_COLOURS: Final = {TRACE: "37", 10: "37", 20: "36", 30: "33", 40: "31", 50: "35"}


class Settings(Protocol):
    """The `log` table of the configuration."""

    @property
    def disabled(self) -> bool: ...
    @property
    def level(self) -> str: ...
    @property
    def output(self) -> str: ...
    @property
    def timestamp(self) -> bool: ...
    @property
    def format(self) -> str: ...


class HumanFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123+0000 info  app: the message`."""

    def __init__(self, *, timestamp: bool, colour: bool) -> None:
        super().__init__()
        self._timestamp = timestamp
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        level = f"{_NAMES.get(record.levelno, record.levelname):<5}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelno, '37')}m{level}\x1b[0m"
        stamp = timestamp(record.created) + " " if self._timestamp else ""
        text = f"{stamp}{level} {record.name.removeprefix('gproxy.')}: {_one_line(record.getMessage())}"
        return text + "\n" + self.formatException(record.exc_info) if record.exc_info else text


def _one_line(text: str) -> str:
    """Names and errors may come from a client, who must neither begin a line of its own nor speak to the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the session's facts if there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        import msgspec.json

        entry: dict[str, object] = {
            "time": timestamp(record.created),
            "level": _NAMES.get(record.levelno, record.levelname),
            "logger": record.name.removeprefix("gproxy."),
            "message": record.getMessage(),
        }
        entry.update(getattr(record, "facts", ()))
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(entry).decode()
        except UnicodeEncodeError:  # half a surrogate pair: rare, and no reason to lose the line
            return json.dumps(entry)


class _SinkHandler(logging.Handler):
    """Hands formatted records to the sink. The sink never waits, so no lock is needed around it."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def createLock(self) -> None:  # noqa: N802 - logging's own name
        """No lock."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._sink.write(self.format(record))


def setup(settings: Settings, *, colour: bool = True) -> Sink:
    """Send everything under the logger `gproxy` where `settings` say. Raises OSError when that can't be opened.

    Colours are for terminals, and not where the variable NO_COLOR is set (no-color.org).
    """
    sink = Sink(settings.output)
    colour = colour and sink.is_terminal and not os.environ.get("NO_COLOR")
    logger = logging.getLogger("gproxy")
    for old in list(logger.handlers):
        logger.removeHandler(old)
    handler = _SinkHandler(sink)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(HumanFormatter(timestamp=settings.timestamp, colour=colour))
    sink.tell_lost = lambda count: handler.format(_lost(count))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(LEVELS[settings.level])
    logger.disabled = settings.disabled
    if settings.disabled:
        logger.setLevel(logging.CRITICAL + 1)
    # Nobody asks a record for its thread or process, and finding them out costs as much as formatting does.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return sink


def _lost(count: int) -> logging.LogRecord:
    text = "%d log lines were lost: the log could not be written fast enough"
    return logging.LogRecord("gproxy.log", logging.WARNING, "", 0, text, (count,), None)
