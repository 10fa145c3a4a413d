"""Unix signals as calls in the hub."""

from __future__ import annotations

import signal
from collections.abc import Callable

from gevent import signal_handler


def on_signal(number: signal.Signals, call: Callable[[], object]) -> None:
    """Run `call` in a greenlet of its own whenever the signal comes. It should only hand the news on."""
    signal_handler(number, call)
