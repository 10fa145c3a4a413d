"""The verdicts and tables of the bench."""

from __future__ import annotations

import pytest

from tests.bench import report
from tests.bench.report import Results
from tests.bench.sampling import Measure, Row

LESS = Row("key", "title", "µs", ratio=1.1)
MORE = Row("key", "title", "k/s", ratio=0.9, more_is_better=True)
AT_MOST = Row("key", "title", "MB", limit=45)
BOTH = Row("key", "title", "KiB", ratio=1.1, limit=12)
NO_BAR = Row("key", "title", "ms")
BESIDE = Row("key", "title", "s", ratio=1.1, beside=(("ss-server", 0.6),))


def results(gproxy: list[float], sing_box: list[float] | None = None) -> Results:
    made = Results()
    for value in gproxy:
        made.add("gproxy", {"key": value})
    for value in sing_box or []:
        made.add("sing-box", {"key": value})
    return made


@pytest.mark.parametrize(
    ("row", "mine", "theirs", "verdict"),
    [
        (LESS, [11], [10], "PASS"),
        (LESS, [11.2], [10], "over"),
        (LESS, [5, 5, 99], [10, 10, 10], "PASS"),  # the median of the rounds counts
        (LESS, [99, 99, 5], [10, 10, 10], "over"),
        (MORE, [9], [10], "PASS"),
        (MORE, [8.9], [10], "under"),
        (MORE, [20], [10], "PASS"),
        (AT_MOST, [45], [1], "PASS"),
        (AT_MOST, [45.1], [100], "over"),
        (AT_MOST, [45], [], "PASS"),
        (BOTH, [11], [10], "PASS"),
        (BOTH, [11], [9], "over"),
        (BOTH, [13], [20], "over"),
        (BOTH, [11], [], "PASS"),
        (LESS, [11], [], "no sing-box"),
        (NO_BAR, [11], [1], ""),
        (LESS, [], [1], ""),
    ],
)
def test_verdicts(row: Row, mine: list[float], theirs: list[float], verdict: str) -> None:
    assert report.verdict(row, results(mine, theirs)) == verdict


def test_every_verdict_on_a_bar_that_is_missed_fails_the_run() -> None:
    missed = {report.verdict(LESS, results([2], [1])), report.verdict(MORE, results([1], [2]))}
    assert missed == set(report.MISSED)


@pytest.mark.parametrize(
    ("mine", "sing_box", "ss_server", "verdict"),
    [
        (11, 10, 20, "PASS"),
        (11, 10, 18, "over"),
        (12, 10, 99, "over"),
        (11, None, 20, "no sing-box"),
        (11, 10, None, "no ss-server"),
        (12, 10, None, "over"),
    ],
)
def test_a_bar_beside_another_peer_too(mine: int, sing_box: int | None, ss_server: int | None, verdict: str) -> None:
    found = results([mine], None if sing_box is None else [sing_box])
    if ss_server is not None:
        found.add("ss-server", {"key": ss_server})
    assert report.verdict(BESIDE, found) == verdict


def test_ratios_are_taken_round_by_round() -> None:
    """A round that was twice as slow for both changes nothing; a round that one of them lacks is not counted."""
    found = results([10, 20, 7], [10, 20])
    assert found.ratios("key", "gproxy", "sing-box") == [1, 1]


def test_nothing_is_divided_by_nothing() -> None:
    assert results([0, 4], [0, 2]).ratios("key", "gproxy", "sing-box") == [2]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (LESS, "<= 1.1 x"),
        (MORE, ">= 0.9 x"),
        (AT_MOST, "<= 45 MB"),
        (BOTH, "<= 1.1 x, <= 12 KiB"),
        (NO_BAR, ""),
        (BESIDE, "<= 1.1 x, <= 0.6 x ss-server"),
    ],
)
def test_bars_in_words(row: Row, words: str) -> None:
    assert report.bar(row) == words


def test_tables_show_median_and_spread_and_leave_out_what_was_not_measured() -> None:
    measures = [Measure("m", (LESS, Row("other", "not measured", "s")), ())]
    found = results([10, 12, 11], [20, 22, 44])
    figures = report.figures_table(measures, ["gproxy", "sing-box", "pproxy"], found).splitlines()
    assert [line.split("  ")[0] for line in figures[2:]] == ["title"]
    assert "11 (10 - 12)" in figures[2]
    assert "22 (20 - 44)" in figures[2]
    assert figures[2].endswith("-")
    ratios = report.ratios_table(measures, ["gproxy", "sing-box"], found).splitlines()
    assert "0.50 (0.25 - 0.55)" in ratios[2]
    assert ratios[2].endswith("<= 1.1 x  PASS")


def test_a_failure_is_told_once() -> None:
    made = Results()
    made.fail("refused")
    made.fail("refused")
    assert made.failures == ["refused"]
