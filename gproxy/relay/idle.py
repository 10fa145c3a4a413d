"""Finding relays that nobody uses. One pass over all of them every second, and nothing at all on the data path."""

from __future__ import annotations

from typing import Protocol

from gproxy.base.clock import now
from gproxy.base.defaults import IDLE_SWEEP
from gproxy.relay.terms import Account
from gproxy.rt.sockets import Task, Timer, current


class Idler(Protocol):
    """A relay, or a UDP session, that can be asked whether it is in use."""

    seen: int  # the sweeper's own: what `moved` was when it last looked
    since: float  # the sweeper's own: when it last saw that this had changed, or when it was added

    def moved(self) -> int:
        """How much so far, both ways: bytes, or datagrams."""

    def traffic(self) -> tuple[int, int]:
        """Payload bytes so far, from the client and to it."""

    def patience(self) -> float:
        """Seconds of silence that it may have now."""

    def expire(self) -> None:
        """It had more."""


class _Bill:
    """What has been put on an account so far."""

    __slots__ = ("_account", "_down", "_up")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._up = 0
        self._down = 0

    def settle(self, idler: Idler) -> None:
        up, down = idler.traffic()
        self._account.up += up - self._up
        self._account.down += down - self._down
        self._up, self._down = up, down


class Sweeper:
    """Ends idle relays, and puts on their accounts what they have moved.

    Its timer runs only while there is something to look at.
    """

    def __init__(self, every: float = IDLE_SWEEP) -> None:
        self._every = every
        self._all: dict[Idler, Task] = {}  # each with the greenlet that runs it
        self._bills: dict[Idler, _Bill] = {}
        self._timer: Timer | None = None

    def add(self, idler: Idler, account: Account | None = None) -> None:
        """Watch it until `remove`. The running greenlet is the one that runs it."""
        if account is not None:
            self.charge(idler, account)
        idler.seen = idler.moved()
        idler.since = now()
        self._all[idler] = current()
        if self._timer is None:
            self._timer = Timer(self._every, self.sweep, repeat=True)

    def charge(self, idler: Idler, account: Account) -> None:
        """Put on this account what it has moved, and will move until `remove`."""
        if idler not in self._bills:
            self._bills[idler] = _Bill(account)

    def remove(self, idler: Idler) -> None:
        """Idempotent."""
        if self._bills and (bill := self._bills.pop(idler, None)) is not None:
            bill.settle(idler)
        self._all.pop(idler, None)
        if not self._all and self._timer is not None:
            self._timer.stop()
            self._timer = None

    def sweep(self) -> None:
        """One pass."""
        at = now()
        for idler, bill in tuple(self._bills.items()):
            bill.settle(idler)
        for idler in tuple(self._all):
            moved = idler.moved()
            if moved != idler.seen:
                idler.seen = moved
                idler.since = at
            elif at - idler.since >= idler.patience():
                idler.expire()

    def silent_since(self) -> dict[Task, float]:
        """Since when each relay has been seen to be silent, by the greenlet that runs it."""
        self.sweep()
        return {task: idler.since for idler, task in self._all.items()}


SWEEPER = Sweeper()
"""The worker's own."""
