"""What a soak has to show: each bar passes what is good, and misses what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.bench.soak.verdict import Count, Course, judge, new_types, percentile
from tests.bench.soak.watch import Holding, Memory

MB = 1_000_000


def held(worker: int = 0, **more: int) -> Holding:
    values = {"descriptors": 20, "greenlets": 70, "objects": 2500} | more
    return Holding(worker, 100 + worker, **values, types={})


def looks(rss: list[int], pid: int = 100, step: float = 10.0) -> list[Memory]:
    return [Memory(number * step, pid, size, size, 0) for number, size in enumerate(rss)]


def course(**more: object) -> Course:
    """One that passes everything, but for what is given."""
    both = [held(0), held(1)]
    made = Course(Count(10_000, 9), looks([50 * MB] * 61), both, both, wave=Count(5000, 4), recovery=4.9)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def missed(what: Course) -> list[str]:
    return [verdict.what for verdict in judge(what, 1.0) if not verdict.passed]


def test_all_is_well() -> None:
    assert missed(course()) == []
    assert len(list(judge(course(), 1.0))) == 1 + 1 + 1 + 6 + 2


def test_errors() -> None:
    assert missed(course(steady=Count(10_000, 10))) == ["errors under the steady load below 0.1%"]
    assert missed(course(steady=Count())) == ["errors under the steady load below 0.1%"]
    assert missed(course(wave=Count(5000, 5))) == ["errors in the wave below 0.1%"]


@pytest.mark.parametrize("seconds", [None, 5.0])
def test_a_late_recovery(seconds: float | None) -> None:
    assert missed(course(recovery=seconds)) == ["as before the wave in less than 5 s"]


def test_without_a_wave() -> None:
    assert len(list(judge(course(wave=None, recovery=None), 1.0))) == 9


def ramp(count: int, last: int) -> Iterator[int]:
    return (50 * MB + last * number // (count - 1) for number in range(count))


def test_memory_that_settles_and_stays() -> None:
    rss = [30 * MB + number * MB for number in range(12)] + [42 * MB + number % 2 * MB for number in range(49)]
    assert missed(course(memory=looks(rss))) == []


def test_memory_that_goes_up_and_down() -> None:
    rss = [50 * MB] * 60 + [48_900_000]
    assert missed(course(memory=looks(rss))) == ["RSS of worker 100 over the last 480 s within 1 MB"]


def test_memory_that_creeps() -> None:
    """By so little that no eight minutes show it."""
    found = missed(course(memory=looks(list(ramp(721, 5 * MB)))))
    assert found == ["RSS of worker 100: last 480 s beside the first ones, 1 MB more at most"]


def test_memory_of_those_who_were_replaced_is_no_matter() -> None:
    old, new = looks([50 * MB, 90 * MB]), looks([50 * MB] * 61, pid=200)
    assert missed(course(memory=[*old, *new])) == []
    assert missed(course(memory=[])) == ["memory"]


@pytest.mark.parametrize(("what", "count"), [("descriptors", 85), ("greenlets", 71), ("objects", 2851)])
def test_more_than_before(what: str, count: int) -> None:
    assert missed(course(after=[held(0), held(1, **{what: count})])) == [f"worker 1 at rest: no more {what}"]
    assert missed(course(after=[held(0), held(1, **{what: count - 1})])) == []


def test_a_worker_that_was_replaced() -> None:
    other = [held(0), replace(held(1), pid=999)]
    assert missed(course(after=other)) == ["no worker has died"]
    assert missed(course(after=other, reloads=1)) == []


def test_workers_that_are_not_there() -> None:
    assert missed(course(after=[held(1)])) == ["no worker has died", "the same workers at the end"]
    assert missed(course(before=[], after=[])) == ["the same workers at the end"]


def test_figures() -> None:
    assert percentile([0.003, 0.001, 0.002], 50) == 2.0
    assert percentile([], 99) == 0.0
    early, late = (Holding(0, 1, 1, 1, 1, types) for types in ({"list": 5, "set": 2}, {"list": 7, "set": 2, "dict": 9}))
    assert new_types(early, late) == ["dict +9", "list +2"]
