"""What there is to be seen: by the process that answers, of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gproxy.base.clock import now, wall
from gproxy.base.iface import Outbound
from gproxy.service.metrics.board import Board, Gauge, Shown
from gproxy.service.metrics.totals import Totals

# A worker shows itself each second. One that has not for so long, in seconds, serves nobody.
STALE = 5.0

Facts = Callable[[], Iterable[Gauge]]


def _nothing() -> None:
    return None


@dataclass(slots=True)
class View:
    """One for each house. Families of gauges are those of `gproxy.service.metrics.families`."""

    totals: Totals
    board: Board
    workers: int
    generation: int = 0
    since: float = field(default_factory=wall)
    refresh: Callable[[], None] = _nothing  # shows and tells what this process has
    facts: list[Facts] = field(default_factory=list)  # what is known here; it may read files
    files: list[str] = field(default_factory=list)  # that are written to all the time
    outbound: Callable[[str], Outbound] | None = None

    def known(self) -> list[Gauge]:
        """All facts. It may wait for files, and touches nothing else."""
        return [each for facts in self.facts for each in facts()]

    def serving(self) -> list[Shown]:
        """The workers of this generation that are well."""
        return [each for each in self.own() if each.state == "serving" and now() - each.at < STALE]

    def own(self) -> list[Shown]:
        """The workers of this generation."""
        return [each for each in self.board.read() if each.generation == self.generation and each.worker >= 0]
