"""Replay filters of one process, in plain sets."""

from __future__ import annotations

from gproxy.base.wiring import Replays


class KnownSalts:
    """A SaltFilter that never forgets."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()

    def first(self, salt: bytes, /) -> bool:
        """See SaltFilter."""
        fresh = salt not in self.known
        self.known.add(salt)
        return fresh


def no_replays() -> Replays:
    """Filters that know nothing yet."""
    return Replays(KnownSalts(), KnownSalts())
