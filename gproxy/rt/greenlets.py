"""What all greenlets are doing: for somebody who looks into a process that runs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import FrameType

from gevent import get_hub, getcurrent, sleep
from greenlet import greenlet

# After so many of them others may run: whoever looks into a busy process must not stop it.
_AT_ONCE = 200

# Deeper stacks are cut at their outer end.
_DEPTH = 64


def stacks() -> Iterator[tuple[str, ...]]:
    """The stack of each greenlet that has begun and not ended, the outermost call first; the caller's own is left out.

    Others run in between, so that this is no picture of one moment.
    """
    me = getcurrent()
    for number, each in enumerate(_all(), 1):
        frame = each.gr_frame
        if each is not me and frame is not None:
            yield frames(frame)
        frame = None  # or it lives on with all its variables
        if number % _AT_ONCE == 0:
            sleep(0)


def _all() -> list[greenlet]:
    """Those that the garbage collector knows; and hub and main, which may be older than what it was told to forget."""
    found = [each for each in gc.get_objects() if issubclass(type(each), greenlet) and not each.dead]
    known = set(map(id, found))
    older: greenlet | None = get_hub()
    while older is not None:
        if id(older) not in known:
            found.append(older)
        older = older.parent
    return found


def frames(frame: FrameType | None) -> tuple[str, ...]:
    """The calls that this one is within, the outermost first: `gproxy/relay/pump.py:88 Pump.run`."""
    told: list[str] = []
    while frame is not None and len(told) < _DEPTH:
        code = frame.f_code
        told.append(f"{short(code.co_filename)}:{frame.f_lineno} {code.co_qualname}")
        frame = frame.f_back
    return tuple(reversed(told))


@lru_cache(1024)
def short(path: str) -> str:
    """A file's name without the folder that its package is in."""
    for folder in _folders():
        if path.startswith(folder):
            return path[len(folder) :]
    return path


def _folders() -> list[str]:
    return sorted((f"{each}/" for each in sys.path if each), key=len, reverse=True)
