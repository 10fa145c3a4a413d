"""Unix signals as calls in the hub."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from gevent import get_hub

_watchers: list[Any] = []  # they live as long as the process


def on_signal(number: signal.Signals, call: Callable[[], object]) -> None:
    """Run `call` in the hub whenever the signal comes: it hands the news on, and never waits.

    Waiting for a signal is something to do: a hub that waits for nothing else does not end.
    """
    watcher = get_hub().loop.signal(number)
    watcher.start(call)
    _watchers.append(watcher)
