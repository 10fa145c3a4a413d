"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

from gproxy.rt.sync import sleep

_STEP = 0.005


def wait_until(condition: Callable[[], object], failing: str | Callable[[], str], seconds: float = 30.0) -> None:
    """Let greenlets run until `condition()` holds. Raises AssertionError with `failing` after `seconds`."""
    end = time.monotonic() + seconds  # the real clock: the other one may be held
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(failing if isinstance(failing, str) else failing())
        sleep(_STEP)
