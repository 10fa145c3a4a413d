"""The users of managed inbounds and what they have moved, in the process that the services are in.

What is changed here is told on: users to all workers, corrections of the books to whoever keeps a copy of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.iface import Stream
from gproxy.observe.books import Books, Row

if TYPE_CHECKING:
    from gproxy.service.metrics.view import View

Check = Callable[[str], str]
"""What is wrong with a password of some inbound's users, without telling it; empty if nothing is."""


class Outlet(Protocol):
    """Where changes go."""

    def tell_users(self, inbound: str, users: Mapping[str, str]) -> None:
        """These are the users now, names with their passwords."""

    def tell_traffic(self, rows: list[Row]) -> None:
        """These have been added to the books here."""


class Management:
    """All managed inbounds of one configuration, by tag."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._users: dict[str, dict[str, str]] = {}
        self._outlet: Outlet | None = None
        self.books = Books()

    def attach(self, outlet: Outlet) -> None:
        """From now on changes go there."""
        self._outlet = outlet

    def inbounds(self) -> list[str]:
        """Those that are managed."""
        return list(self._checks)

    def problem(self, inbound: str, password: str) -> str:
        """What is wrong with a password for this inbound; empty if nothing is."""
        return self._checks[inbound](password)

    def known(self, inbound: str) -> bool:
        """Whether anybody has said yet who the users are."""
        return inbound in self._users

    def users(self, inbound: str) -> Mapping[str, str]:
        """Names with their passwords."""
        return self._users.get(inbound, {})

    def inherit(self, inbound: str, users: Mapping[str, str]) -> None:
        """Others have said that these are the users."""
        self._users[inbound] = dict(users)

    def replace(self, inbound: str, users: Mapping[str, str]) -> None:
        """These are the users from now on. The traffic of past ones stays in the inbound's total."""
        past = [name for name in self.users(inbound) if name not in users]
        self._users[inbound] = dict(users)
        if self._outlet is not None:
            self._outlet.tell_users(inbound, users)
        rows: list[Row] = []
        for name in past:
            traffic = self.books.of(inbound, name)
            rows += [[inbound, name, *(-each for each in traffic)], [inbound, "", *traffic]] if any(traffic) else []
        self.correct(rows)

    def clear(self, inbound: str) -> None:
        """Count the traffic of this inbound and its users from nothing."""
        self.correct([[tag, user, *(-each for each in fields)] for tag, user, *fields in self.books.rows([inbound])])

    def correct(self, rows: list[Row]) -> None:
        """Add rows that no worker has told."""
        if rows:
            self.books.add(rows)
            if self._outlet is not None:
                self._outlet.tell_traffic(rows)


@dataclass(frozen=True, slots=True)
class ServiceWiring:
    """What a service is handed when it is built."""

    tag: str
    management: Management
    log: logging.Logger
    view: View | None = None  # of what is counted, for those that tell it


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks: an address, or on a unix socket the program that has connected, as the kernel says."""

    source: Address = UNSPECIFIED
    uid: int | None = None
    pid: int | None = None


NOBODY: Final = Peer()
"""One of whom nothing is known."""


class Service(Protocol):
    """A configured service."""

    def load(self, inbounds: Collection[str]) -> None:
        """Take up what was saved about these inbounds. Never raises for what is wrong with that: it is logged."""

    def accept(self, stream: Stream, peer: Peer = NOBODY) -> None:
        """Serve one client; returns when that is over. The caller closes the stream. Raises GproxyError."""

    def hold(self) -> None:
        """Save all, and change nothing any more: another process does that now. Orders are refused until `go_on`."""

    def go_on(self) -> None:
        """Take orders."""

    def save(self) -> None:
        """Save what has changed. Never raises for what can't be saved: it is logged."""
