"""Rates of bytes that many share: what a relay pays, and what a datagram costs."""

from __future__ import annotations

from typing import Final, NamedTuple

from gproxy.base.clock import now
from gproxy.limit.ledger import Ledger, Row

# A piece is what the rate moves in this time, in seconds, within bounds: small enough for many to take turns, large
# enough to be worth a read.
_TURN: Final = 0.02
_SLACK: Final = 0.001  # what is moved in this time may be paid for later: a bucket is looked at for many reads at once
_SMALLEST: Final = 4 * 1024
_LARGEST: Final = 1024 * 1024


class Budget(NamedTuple):
    """A token bucket of bytes in the ledger."""

    row: Row
    which: int  # of its rates
    rate: float  # bytes a second
    burst: float  # bytes


class SharedToll:
    """See gproxy.relay.terms.Toll: the budgets that one direction of sessions spends from, as many as there are."""

    __slots__ = ("_budgets", "_ledger", "piece", "slack")

    def __init__(self, ledger: Ledger, budgets: tuple[Budget, ...]) -> None:
        self._ledger = ledger
        self._budgets = budgets
        slowest = min(budget.rate for budget in budgets)
        self.piece = int(min(max(slowest * _TURN, _SMALLEST), _LARGEST))
        self.slack = int(min(slowest * _SLACK, _LARGEST))

    def and_of(self, other: SharedToll) -> SharedToll:
        """What both ask for."""
        return SharedToll(self._ledger, self._budgets + other._budgets)

    def pay(self, size: int) -> float:
        """See Toll."""
        ledger, moment = self._ledger, now()
        wait = 0.0
        for row, which, rate, burst in self._budgets:
            ledger.use(row, moment)
            left = ledger.charge(row, which, rate, burst, moment, size) - size
            if left < 0:
                wait = max(wait, -left / rate)
        return wait

    def afford(self, size: int) -> bool:
        """Pay for a datagram, if there is enough: it can't wait, so that others are lost."""
        ledger, moment = self._ledger, now()
        for row, which, rate, burst in self._budgets:
            ledger.use(row, moment)
            if ledger.charge(row, which, rate, burst, moment) < min(size, burst):
                return False
        for row, which, _, _ in self._budgets:
            ledger.spend(row, which, size)
        return True
