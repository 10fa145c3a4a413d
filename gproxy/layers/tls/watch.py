"""Whether files have changed, asked often and looked at seldom."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gproxy.base.clock import now

# How often the files are looked at, in seconds, when somebody asks.
LOOK: Final = 1.0

_Stamp = tuple[int, int, int] | None


class Watch:
    """Files, and directories with what is in them. What does not exist is nothing until it does."""

    __slots__ = ("_looked", "_paths", "_stamps")

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._looked = now()
        self._stamps = self._look()

    def changed(self) -> bool:
        """Whether anything has changed since this was True, or since the beginning."""
        at = now()
        if not self._paths or at - self._looked < LOOK:
            return False
        self._looked = at
        before, self._stamps = self._stamps, self._look()
        return self._stamps != before

    def _look(self) -> list[dict[str, _Stamp]]:
        return [_stamps(path) for path in self._paths]


def _stamps(path: str) -> dict[str, _Stamp]:
    stamps = {"": _stamp(Path(path))}
    with contextlib.suppress(OSError):  # a file, or nothing
        stamps.update((each.name, _stamp(each)) for each in Path(path).iterdir())
    return stamps


def _stamp(path: Path) -> _Stamp:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
