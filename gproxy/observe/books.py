"""What users have moved, summed up over workers, their lives and generations. Standard library only.

Rows are added and never compared: a worker tells what has come on top, whoever sums up adds it, and a correction is a
row with negative numbers. So it does not matter in which order they arrive, or through how many hands.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

Row = list[Any]
"""Inbound, user, and the fields of Traffic: JSON. No user stands for those of the inbound that are no more."""

# Users are known by configuration or management, so that there are never this many of one inbound. Those beyond share
# the row of nobody.
MOST = 100_000


class Traffic(NamedTuple):
    """Payload bytes and datagrams from clients and to them, and sessions that were begun."""

    up: int = 0
    down: int = 0
    up_packets: int = 0
    down_packets: int = 0
    tcp: int = 0
    udp: int = 0


NOTHING = Traffic()


class Books:
    """The sums, by inbound and user. What has come to nothing takes no room."""

    def __init__(self) -> None:
        self._by_inbound: dict[str, dict[str, Traffic]] = {}

    def add(self, rows: Iterable[Row]) -> None:
        """Add these. Raises ValueError or TypeError for what is no row."""
        for inbound, user, *fields in rows:
            users = self._by_inbound.setdefault(inbound, {})
            if user not in users and len(users) >= MOST:
                user = ""
            traffic = Traffic(*map(sum, zip(users.get(user, NOTHING), fields, strict=True)))
            if any(traffic):
                users[user] = traffic
            else:
                users.pop(user, None)

    def rows(self, inbounds: Iterable[str] | None = None) -> list[Row]:
        """All of it, or all of these inbounds, to be added elsewhere."""
        tags = self._by_inbound if inbounds is None else inbounds
        return [[tag, user, *each] for tag in tags for user, each in self._by_inbound.get(tag, {}).items()]

    def of(self, inbound: str, user: str) -> Traffic:
        """One user's."""
        return self._by_inbound.get(inbound, {}).get(user, NOTHING)

    def total(self, inbound: str) -> Traffic:
        """That of all users of an inbound, past ones included."""
        rows = self._by_inbound.get(inbound, {}).values()
        return Traffic(*map(sum, zip(*rows, strict=True))) if rows else NOTHING
