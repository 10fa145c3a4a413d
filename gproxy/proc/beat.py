"""Heartbeats: one word of shared memory for each worker, which it writes each second. A word that stands still tells
that the worker's hub does not turn. Nobody else writes there, so nothing needs a lock.
"""

from __future__ import annotations

import mmap
import struct

from gproxy.base.clock import now

# A hub that has not turned for so long, in seconds, serves nobody. Longer than any honest pause of a busy machine.
HUNG = 10.0

EVERY = 1.0

_WORD = struct.Struct("=d")


class Beats:
    """The words of one generation, made before its processes are forked. Worker -1 is control."""

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, (workers + 1) * _WORD.size)

    def beat(self, worker: int) -> None:
        """This worker is alive."""
        _WORD.pack_into(self._memory, (worker + 1) * _WORD.size, now())

    def silence(self, worker: int) -> float:
        """Seconds since its last beat."""
        (last,) = _WORD.unpack_from(self._memory, (worker + 1) * _WORD.size)
        return float(now() - last)
