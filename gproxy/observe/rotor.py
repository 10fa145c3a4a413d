"""Looks after the log files that gproxy rotates by itself. One process does this for all others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gproxy.observe.rotation import Rotation
from gproxy.rt.group import Group
from gproxy.rt.offload import offload
from gproxy.rt.sync import sleep

_log = logging.getLogger("gproxy.log")

# How often the files are looked at, in seconds.
_LOOK = 1.0

# Every how many looks old files are compressed and removed.
_TIDY = 2


class Rotor:
    """Moves files away when it is time, says so, and tidies up behind."""

    def __init__(self, rotations: Sequence[Rotation], moved: Callable[[], None]) -> None:
        """`moved` is called in the hub when all who write are to open their files anew."""
        self._rotations = rotations
        self._moved = moved
        self._tasks = Group("log rotation")
        self._running = False
        self._complained: dict[Callable[[], bool | None], str] = {}

    def start(self) -> None:
        """Begin, unless it has begun, or there is nothing to do."""
        if self._rotations and not self._running:
            self._running = True
            self._tasks.spawn(self._run)

    def stop(self) -> None:
        """Look no more. What is being compressed is left for later."""
        self._running = False
        self._tasks.kill()

    def _run(self) -> None:
        looks = due = 0
        while True:
            if any(self._try(each, each.rotate) for each in self._rotations):
                self._moved()
                due = looks + 1  # by then all have opened their files anew
            if looks == due or looks % _TIDY == 0:
                for each in self._rotations:
                    self._try(each, each.tidy)
            looks += 1
            sleep(_LOOK)

    def _try(self, rotation: Rotation, do: Callable[[], bool | None]) -> bool:
        """A disk that is full, or a folder that is not ours, is told once; it is tried again with the next look."""
        try:
            done = offload(do)
        except OSError as error:
            text = error.strerror or str(error)
            if self._complained.get(do) != text:
                self._complained[do] = text
                _log.error("%s can't be rotated: %s", rotation.path, text)
            return False
        self._complained.pop(do, None)
        return bool(done)
