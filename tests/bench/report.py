"""The tables: every figure with its spread, then gproxy's ratios with the verdict on each bar; and the same as JSON."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.bench.sampling import Figures, Measure, Row

SUBJECT = "gproxy"
BASELINE = "sing-box"
MISSED = ("over", "under")  # the verdicts on a bar that is not passed
_EXACT = 1e-9


@dataclass(slots=True)
class Results:
    """All samples: for each row and peer, one value a round."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    failures: list[str] = field(default_factory=list)

    def add(self, peer: str, figures: Figures) -> None:
        """Take in one sample of one peer."""
        for key, value in figures.items():
            self.values[key][peer].append(value)

    def fail(self, text: str) -> None:
        """Note what failed, once: the parts of a measure often fail alike."""
        if text not in self.failures:
            self.failures.append(text)

    def ratios(self, key: str, peer: str, other: str) -> list[float]:
        """`peer` over `other`, round by round: what disturbed one round disturbed both."""
        pairs = zip(self.values[key][peer], self.values[key][other], strict=False)
        return [mine / theirs for mine, theirs in pairs if theirs > 0]


def verdict(row: Row, results: Results, subject: str = SUBJECT) -> str:
    """PASS, over or under, for the medians of a row that has a bar; empty if it has none or was not measured."""
    mine = results.values[row.key][subject]
    if not mine or not (row.limit is not None or _ratio_bars(row)):
        return ""
    if row.limit is not None and statistics.median(mine) > row.limit + _EXACT:
        return "over"
    verdicts = []
    for peer, ratio in _ratio_bars(row):
        if ratios := results.ratios(row.key, subject, peer):
            verdicts.append(_beside(ratio, statistics.median(ratios), row.more_is_better))
        elif row.limit is None:
            verdicts.append(f"no {peer}")
    return next((verdict for verdict in sorted(verdicts, key=_weight) if verdict != "PASS"), "PASS")


def _weight(verdict: str) -> int:
    """What is missed comes before what could not be compared."""
    return 0 if verdict in MISSED else 1


def _ratio_bars(row: Row) -> list[tuple[str, float]]:
    return ([] if row.ratio is None else [(BASELINE, row.ratio)]) + list(row.beside)


def _beside(ratio: float, measured: float, more_is_better: bool) -> str:
    if more_is_better:
        return "under" if measured < ratio - _EXACT else "PASS"
    return "over" if measured > ratio + _EXACT else "PASS"


def bar(row: Row) -> str:
    """The bar in words."""
    parts = []
    if row.ratio is not None:
        parts.append(f"{'>=' if row.more_is_better else '<='} {row.ratio:g} x")
    parts += [f"<= {ratio:g} x {peer}" for peer, ratio in row.beside]
    if row.limit is not None:
        parts.append(f"<= {row.limit:g} {row.unit}")
    return ", ".join(parts)


def figures_table(measures: list[Measure], peers: list[str], results: Results) -> str:
    """Median (least - most) of every row and peer."""
    lines = [["", "unit", *peers]]
    for row in _measured(measures, results):
        values = results.values[row.key]
        lines.append([row.title, row.unit, *(_spread(values[peer]) for peer in peers)])
    return _aligned(lines)


def ratios_table(measures: list[Measure], peers: list[str], results: Results) -> str:
    """What gproxy needs, divided by what each other peer needs; the bar, and whether gproxy passes it."""
    others = [peer for peer in peers if peer != SUBJECT]
    lines = [[f"{SUBJECT} / other", *others, "bar", "verdict"]]
    for row in _measured(measures, results):
        ratios = [_spread(results.ratios(row.key, SUBJECT, other)) for other in others]
        if any(ratio != "-" for ratio in ratios) or verdict(row, results):
            note = " (more is better)" if row.more_is_better else ""
            lines.append([row.title + note, *ratios, bar(row), verdict(row, results)])
    return _aligned(lines)


def as_json(measures: list[Measure], results: Results, facts: dict[str, str]) -> dict[str, Any]:
    """Everything, for a program to read."""
    rows = [
        {
            "key": row.key,
            "title": row.title,
            "unit": row.unit,
            "bar": bar(row),
            "verdict": verdict(row, results),
            "values": dict(results.values[row.key]),
        }
        for row in _measured(measures, results)
    ]
    return {"facts": facts, "failures": results.failures, "rows": rows}


def _measured(measures: list[Measure], results: Results) -> list[Row]:
    return [row for measure in measures for row in measure.rows if results.values.get(row.key)]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    middle = statistics.median(values)
    if len(values) == 1:
        return _number(middle)
    return f"{_number(middle)} ({_number(min(values))} - {_number(max(values))})"


def _number(value: float) -> str:
    size = abs(value)
    if size == int(size) and size < 1e6:
        return f"{value:.0f}"
    decimals = next(digits for least, digits in ((100, 0), (10, 1), (0.1, 2), (0, 3)) if size >= least)
    return f"{value:.{decimals}f}"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])
