"""Heartbeats: one word of shared memory for each worker, which it writes each second. A word that stands still tells
that the worker's hub does not turn. Nobody else writes there, so nothing needs a lock.
"""

from __future__ import annotations

import mmap

from gproxy.base.clock import now

# A hub that has not turned for so long, in seconds, serves nobody. Longer than any honest pause of a busy machine.
HUNG = 10.0

EVERY = 1.0

_WORD = 8


class Beats:
    """The words of one generation, made before its processes are forked. Worker -1 is control."""

    def __init__(self, workers: int) -> None:
        # Words are written whole: struct would clear one before it writes it, and who looks in between finds a heart
        # that has stood still for ever.
        self._words = memoryview(mmap.mmap(-1, (workers + 1) * _WORD)).cast("d")

    def beat(self, worker: int) -> None:
        """This worker is alive."""
        self._words[worker + 1] = now()

    def silence(self, worker: int) -> float:
        """Seconds since its last beat."""
        return now() - self._words[worker + 1]
