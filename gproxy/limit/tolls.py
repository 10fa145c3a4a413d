"""Rates of bytes that many share: what a relay pays, and what a datagram costs."""

from __future__ import annotations

from typing import Final, NamedTuple

from gproxy.limit.ledger import Ledger

# A piece is what the rate moves in this time, in seconds, within bounds: small enough for many to take turns, large
# enough to be worth a read.
_TURN: Final = 0.02
_SMALLEST: Final = 4 * 1024
_LARGEST: Final = 256 * 1024


class Budget(NamedTuple):
    """A token bucket of bytes in the ledger."""

    key: bytes
    which: int  # of the row's rates
    rate: float  # bytes a second
    burst: float  # bytes


class SharedToll:
    """See gproxy.relay.terms.Toll: the budgets that one direction of one session spends from."""

    __slots__ = ("_budgets", "_ledger", "piece")

    def __init__(self, ledger: Ledger, budgets: tuple[Budget, ...]) -> None:
        self._ledger = ledger
        self._budgets = budgets
        slowest = min(budget.rate for budget in budgets)
        self.piece = int(min(max(slowest * _TURN, _SMALLEST), _LARGEST))

    def pay(self, size: int) -> float:
        """See Toll."""
        ledger = self._ledger
        wait = 0.0
        for key, which, rate, burst in self._budgets:
            row = ledger.row(key)  # it may have been given to another key since
            left = ledger.tokens(row, which, rate, burst) - size
            ledger.spend(row, which, size)
            if left < 0:
                wait = max(wait, -left / rate)
        return wait

    def afford(self, size: int) -> bool:
        """Pay for a datagram, if there is enough: it can't wait, so that others are lost."""
        ledger = self._ledger
        rows = [ledger.row(budget.key) for budget in self._budgets]
        for row, (_, which, rate, burst) in zip(rows, self._budgets, strict=True):
            if ledger.tokens(row, which, rate, burst) < min(size, burst):
                return False
        for row, budget in zip(rows, self._budgets, strict=True):
            ledger.spend(row, budget.which, size)
        return True
