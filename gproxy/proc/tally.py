"""What all generations have counted, ended ones included, so that totals never fall. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_SUMS = ("opened", "up", "down")


class Tally:
    """The newest counters of each generation, and the sums of those that are over."""

    def __init__(self) -> None:
        self._base: dict[str, Any] = {**dict.fromkeys(_SUMS, 0), "active": 0, "statuses": {}}
        self._latest: dict[int, dict[str, Any]] = {}

    def note(self, generation: int, counters: dict[str, Any]) -> None:
        """What a generation has counted by now."""
        self._latest[generation] = counters

    def close(self, generation: int) -> None:
        """It is over: its counters stay, its open sessions don't."""
        counters = self._latest.pop(generation, None)
        if counters is not None:
            self._base = _sum(self._base, {**counters, "active": 0})

    def totals(self) -> dict[str, Any]:
        """Sums over all generations; `active` over those that live."""
        total = self._base
        for counters in self._latest.values():
            total = _sum(total, counters)
        return total

    def active(self, generation: int) -> int | None:
        """Its open sessions; None if it has told nothing yet."""
        counters = self._latest.get(generation)
        return None if counters is None else counters["active"]

    def breakers(self, generation: int) -> dict[str, dict[str, int]]:
        """Its circuit breakers by outbound: in how many workers they are `closed`, `open` and `half-open`, and how
        often they have `opened` in all of them.
        """
        found: dict[str, dict[str, int]] = self._latest.get(generation, {}).get("breakers", {})
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it, for `from_json`."""
        return {"base": self._base, "latest": list(self._latest.items())}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Tally:
        """What `to_json` gave."""
        tally = cls()
        tally._base = values["base"]
        tally._latest = dict(values["latest"])
        return tally


def _sum(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    statuses = Counter(one["statuses"]) + Counter(other["statuses"])
    return {**{name: one[name] + other[name] for name in (*_SUMS, "active")}, "statuses": dict(statuses)}


def breakers_of(
    present: Iterable[Mapping[str, Any]], past: Iterable[Mapping[str, Any]] = ()
) -> dict[str, dict[str, int]]:
    """The breakers of some processes by what each has told, those of ended ones too. See Tally."""
    found: dict[str, dict[str, int]] = {}
    for told, lives in ((present, True), (past, False)):
        for breakers in told:
            for tag, (state, opened) in breakers.items():
                sums = found.setdefault(tag, {"closed": 0, "open": 0, "half-open": 0, "opened": 0})
                sums["opened"] += opened
                if lives:
                    sums[state] += 1
    return found
