"""All metrics at this moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from gproxy import __version__
from gproxy.base.clock import now
from gproxy.service.metrics.board import Gauge
from gproxy.service.metrics.families import COUNTERS, EACH, FACTS, HISTOGRAMS, LOST, SUMMED, Family, families
from gproxy.service.metrics.text import Labels, Value
from gproxy.service.metrics.view import STALE, View

_FAMILIES = families()


def scrape(view: View, facts: Iterable[Gauge], *, ready: bool) -> list[tuple[Family, Mapping[Labels, Value]]]:
    """Every family in the order of their names. `facts` are the view's own."""
    found: dict[str, dict[Labels, Value]] = {family.name: {} for family in _FAMILIES}
    _counted(view, found)
    _shown(view, found)
    here: list[Gauge] = [
        *facts,
        ("build", [__version__], 1),
        ("generation", [], view.generation),
        ("started", [], view.since),
        ("ready", [], ready),
    ]
    for kind, labels, value in here:
        found[FACTS[kind].name][tuple(labels)] = float(value)
    return [(family, found[family.name]) for family in _FAMILIES]


def _counted(view: View, found: dict[str, dict[Labels, Value]]) -> None:
    for (kind, *labels), values in view.totals.read():
        if kind in HISTOGRAMS:
            found[HISTOGRAMS[kind].name][tuple(labels)] = values
            continue
        # Newer code may have counted what is not known here.
        for part, value in zip(COUNTERS.get(kind, ()), values, strict=False):
            found[part.family.name][*labels, *part.more] = value
    found[LOST.name][()] = view.totals.lost


def _shown(view: View, found: dict[str, dict[Labels, Value]]) -> None:
    sums: dict[str, Counter[Labels]] = {kind: Counter() for kind in SUMMED}
    states: Counter[str] = Counter()
    others: set[int] = set()
    for each in view.board.read():
        for kind, labels, value in each.gauges:
            if kind in sums:
                sums[kind][tuple(labels)] += value  # type: ignore[assignment]
            elif kind in EACH:
                found[EACH[kind].name][each.process, str(each.generation)] = value
        if each.generation != view.generation:
            others.add(each.generation)
        elif each.worker >= 0:
            states["hanging" if now() - each.at > STALE else each.state] += 1
    states["missing"] = max(0, view.workers - states.total())
    for kind, counted in sums.items():
        found[SUMMED[kind].name].update(counted)
    found[FACTS["workers"].name].update({(state,): float(count) for state, count in states.items()})
    found[FACTS["draining"].name][()] = len(others)
