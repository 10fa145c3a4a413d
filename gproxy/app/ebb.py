"""After a flood of sessions: what they needed goes back to the system, which Python and the C library would keep."""

from __future__ import annotations

from collections.abc import Callable, Sized

from gproxy.app.pressure import give_back
from gproxy.rt.sync import sleep

# How often it is looked at, in seconds.
_LOOK = 1.0

# A flood had this many sessions at least, and is over when a quarter of them is left. Giving back takes milliseconds.
_FLOOD = 1000
_LEFT = 4


class Ebb:
    """Watches how many sessions there are."""

    def __init__(self, sessions: Sized, give: Callable[[], None] = give_back) -> None:
        self._sessions = sessions
        self._give = give
        self._peak = 0

    def watch(self) -> None:
        """Look for ever."""
        while True:
            sleep(_LOOK)
            self.look()

    def look(self) -> None:
        """Once."""
        count = len(self._sessions)
        self._peak = max(self._peak, count)
        if self._peak >= _FLOOD and count * _LEFT <= self._peak:
            self._peak = count
            self._give()
