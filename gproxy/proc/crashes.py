"""How long a process that died waits before it is replaced. Standard library only."""

from __future__ import annotations

# A process that dies again within this time, in seconds, waits longer each time; one that lived longer, not at all.
WINDOW = 30.0
FIRST_WAIT = 0.5
LONGEST_WAIT = 15.0


class Crashes:
    """Back-off by worker number: the first death is replaced at once, a crash loop ever later."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, float]] = {}  # worker → when it died, how long it waited then

    def wait(self, worker: int, now: float) -> float:
        """Seconds to wait for the replacement of one that has just died."""
        died, waited = self._last.get(worker, (-WINDOW, 0.0))
        wait = 0.0 if now - died >= WINDOW + waited else min(LONGEST_WAIT, max(FIRST_WAIT, waited * 2))
        self._last[worker] = (now, wait)
        return wait
