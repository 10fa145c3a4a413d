"""Counters of one worker: plain slots, so that counting costs tens of nanoseconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from gproxy.observe.books import Row


@dataclass(slots=True)
class Account:
    """What one user of one inbound has moved and begun since this was told last (see relay's Account)."""

    up: int = 0
    down: int = 0
    up_packets: int = 0
    down_packets: int = 0
    tcp: int = 0
    udp: int = 0
    sessions: int = 0  # that are open now

    def leave(self) -> None:
        """A session has ended."""
        self.sessions -= 1

    def _take(self) -> tuple[int, ...]:
        told = (self.up, self.down, self.up_packets, self.down_packets, self.tcp, self.udp)
        self.up = self.down = self.up_packets = self.down_packets = self.tcp = self.udp = 0
        return told


@dataclass(slots=True)
class Meter:
    """Totals since the start, which are never set back; and what users have moved, which is told once."""

    opened: int = 0
    active: int = 0
    up: int = 0
    down: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    _accounts: dict[tuple[str, str], Account] = field(default_factory=dict)

    def begin(self) -> None:
        """A client has connected, or sent its first datagram."""
        self.opened += 1
        self.active += 1

    def leave(self) -> None:
        """It has gone."""
        self.active -= 1

    def record(self, status: str, up: int, down: int) -> None:
        """A session has finished, with its status word and its payload bytes from and to the client."""
        self.up += up
        self.down += down
        self.statuses[status] += 1

    def queries(self, answered: int, dropped: int, up: int, down: int) -> None:
        """Questions of clients were answered, or dropped since there were too many, with the bytes of their datagrams.

        Among the status words they are `query` and `query-dropped`.
        """
        self.up += up
        self.down += down
        if answered:
            self.statuses["query"] += answered
        if dropped:
            self.statuses["query-dropped"] += dropped

    def enter(self, inbound: str, user: str, network: Literal["tcp", "udp"]) -> Account:
        """A session of this user begins. What it moves is to be put on the account; at its end, `leave` that."""
        account = self._accounts.get((inbound, user))
        if account is None:
            account = self._accounts[inbound, user] = Account()
        account.sessions += 1
        if network == "tcp":
            account.tcp += 1
        else:
            account.udp += 1
        return account

    def take_traffic(self) -> list[Row]:
        """What was put on the accounts since this was asked last. Accounts that nobody uses any more are forgotten."""
        rows: list[Row] = []
        for (inbound, user), account in list(self._accounts.items()):
            told = account._take()
            if any(told):
                rows.append([inbound, user, *told])
            if not account.sessions:
                del self._accounts[inbound, user]
        return rows
