"""The master's own log lines, on standard error, in the form of the others. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from gproxy.base.clock import wall

# A pipe that nobody reads must not hold up the master.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal", "panic")


class Voice:
    """Writes lines as the `log` table of the current configuration says; on standard error until it is known."""

    def __init__(self) -> None:
        self._output = ""
        self._json = False
        self._timestamp = False
        self._silent = False
        self._least = "info"

    def become(self, log: dict[str, Any]) -> None:
        """Write as this `log` table says."""
        self._output = log.get("output", "")
        self._json = log.get("format") == "json"
        self._timestamp = bool(log.get("timestamp"))
        self._silent = bool(log.get("disabled"))
        self._least = log.get("level", "info")

    def say(self, level: str, text: str) -> None:
        """Write one line. A log that can't be written must not stop the master."""
        if self._silent or _LEVELS.index(level) < _LEVELS.index(self._least):
            return
        line = self._line(level, text) + "\n"
        with contextlib.suppress(OSError):
            if not self._output:
                os.write(2, line.encode("utf-8", "backslashreplace"))
                return
            fd = os.open(self._output, _FLAGS, 0o640)
            try:
                os.write(fd, line.encode("utf-8", "backslashreplace"))
            finally:
                os.close(fd)

    def _line(self, level: str, text: str) -> str:
        at = wall()
        zone = time.strftime("%z")
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S')}.{int(at % 1 * 1000):03d}{zone[:3]}:{zone[3:]}"
        if self._json:
            return json.dumps({"time": stamp, "level": level, "logger": "master", "message": text})
        return f"{stamp + ' ' if self._timestamp else ''}{level:<5} master: {text}"
