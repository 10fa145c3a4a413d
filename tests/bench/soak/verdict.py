"""What a soak has to show, out of what was counted. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.bench.soak.watch import Holding, Memory

MB = 1e6
MOST_FAILED = 0.001
LONGEST_RECOVERY = 5.0
_SPAN = 480.0  # seconds: eight minutes
_SHARE = 0.8  # of a shorter run
_SETTLING = 120.0  # seconds at the start that are no measure
_MORE_OBJECTS = 0.02
_FEW_OBJECTS = 300
_SPARE_PIPES = 64  # descriptors that a worker may keep for the next streams


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar: what was found, and whether it passes."""

    what: str
    found: str
    passed: bool


@dataclass(slots=True)
class Count:
    """How many connections and requests there were, and how many of them failed."""

    tried: int = 0
    failed: int = 0


@dataclass(slots=True)
class Course:
    """All that a soak has seen."""

    steady: Count = field(default_factory=Count)
    memory: list[Memory] = field(default_factory=list)
    before: list[Holding] = field(default_factory=list)  # at rest, when all had been made that is made lazily
    after: list[Holding] = field(default_factory=list)  # at rest again
    reloads: int = 0
    wave: Count | None = None
    recovery: float | None = None  # seconds from the end of the wave until all is as before; None if it never was


def judge(course: Course, most_memory: float) -> Iterator[Verdict]:
    """Every bar. `most_memory`: by how many MB the resident memory of a worker may change."""
    yield _errors("errors under the steady load", course.steady)
    yield from _memory(course.memory, most_memory)
    if not course.reloads:
        yield _replaced(course.before, course.after)
    yield from _at_rest(course.before, course.after)
    if course.wave is not None:
        yield _errors("errors in the wave", course.wave)
        yield _recovery(course.recovery)


def percentile(seconds: Sequence[float], part: int) -> float:
    """In ms; 0 of nothing."""
    ordered = sorted(seconds)
    return ordered[(len(ordered) - 1) * part // 100] * 1000 if ordered else 0.0


def _errors(what: str, count: Count) -> Verdict:
    share = count.failed / count.tried if count.tried else 1.0
    found = f"{count.failed} of {count.tried:,} ({share:.4%})"
    return Verdict(f"{what} below {MOST_FAILED:.1%}", found, share < MOST_FAILED)


def _memory(looks: Sequence[Memory], most: float) -> Iterator[Verdict]:
    """Of the workers that were there to the last: over the last minutes, and beside the first ones."""
    if not looks:
        yield Verdict("memory", "nobody looked", False)
        return
    last = max(look.at for look in looks)
    for pid in sorted({look.pid for look in looks if look.at == last}):
        own = [look for look in looks if look.pid == pid]
        length = last - own[0].at
        span = min(_SPAN, _SHARE * length)
        late = [look.rss for look in own if look.at >= last - span]
        change = (max(late) - min(late)) / MB
        yield Verdict(
            f"RSS of worker {pid} over the last {span:.0f} s within {most:g} MB", f"{change:.2f} MB", change <= most
        )
        if length > _SETTLING + 2 * _SPAN:
            early = [look.rss for look in own if _SETTLING <= look.at - own[0].at <= _SETTLING + _SPAN]
            growth = (median(late) - median(early)) / MB
            yield Verdict(
                f"RSS of worker {pid}: last {_SPAN:.0f} s beside the first ones, {most:g} MB more at most",
                f"{growth:+.2f} MB",
                growth <= most,
            )


def _replaced(before: Sequence[Holding], after: Sequence[Holding]) -> Verdict:
    gone = {each.pid for each in before} - {each.pid for each in after}
    return Verdict("no worker has died", f"{len(gone)} of {len(before)} were replaced", not gone)


def _at_rest(before: Sequence[Holding], after: Sequence[Holding]) -> Iterator[Verdict]:
    """The same numbers of everything, worker by worker, but for pipes that are kept for later."""
    if not before or [each.worker for each in before] != [each.worker for each in after]:
        yield Verdict("the same workers at the end", f"{len(before)} before, {len(after)} after", False)
        return
    for early, late in zip(before, after, strict=True):
        worker = f"worker {early.worker} at rest"
        most = early.objects * (1 + _MORE_OBJECTS) + _FEW_OBJECTS
        for what, then, now, limit in (
            ("descriptors", early.descriptors, late.descriptors, early.descriptors + _SPARE_PIPES),
            ("greenlets", early.greenlets, late.greenlets, early.greenlets),
            ("objects", early.objects, late.objects, most),
        ):
            yield Verdict(f"{worker}: no more {what}", f"{then} before, {now} after", now <= limit)


def _recovery(seconds: float | None) -> Verdict:
    found = "never" if seconds is None else f"{seconds:.1f} s"
    what = f"as before the wave in less than {LONGEST_RECOVERY:g} s"
    return Verdict(what, found, seconds is not None and seconds < LONGEST_RECOVERY)


def new_types(early: Holding, late: Holding, most: int = 8) -> list[str]:
    """The types of which there are more, those with the most first."""
    more = {name: count - early.types.get(name, 0) for name, count in late.types.items()}
    grown = sorted(((count, name) for name, count in more.items() if count > 0), reverse=True)
    return [f"{name} +{count}" for count, name in grown[:most]]
