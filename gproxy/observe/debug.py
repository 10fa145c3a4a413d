"""A look into a process that runs: its greenlets, how late its hub is, its memory, and where its time goes.

Nothing of a client's bytes, and no value of a variable, is told.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, Literal, get_args

from gproxy.base.clock import now
from gproxy.rt.greenlets import short, stacks
from gproxy.rt.sync import sleep

What = Literal["stacks", "lag", "memory", "profile"]
QUESTIONS: Final = get_args(What)

LONGEST: Final = 60.0
"""How long a measurement may take, in seconds."""

# What an answer holds at most.
_STACKS = 100
_TYPES = 40
_PROFILE = 400

# Between two looks at the clock, and between two samples of a profile, in seconds.
_STEP = 0.01
_SAMPLE = 0.01

_DEPTH = 48
_MOST_PLACES = 20_000


def answer(what: str, seconds: float) -> dict[str, Any]:
    """The answer to a question, in what JSON knows. Measurements take so many seconds."""
    seconds = min(max(seconds, _STEP), LONGEST)
    if what == "stacks":
        return _stacks()
    if what == "lag":
        return _lag(seconds)
    if what == "memory":
        return _memory()
    if what == "profile":
        return _profile(seconds)
    return {"error": f"nobody knows what {what!r} is"}


def _stacks() -> dict[str, Any]:
    """Greenlets with the same stack are told once, with their number, the most common first."""
    counted = Counter(stacks())
    common = counted.most_common(_STACKS)
    return {
        "greenlets": counted.total(),
        "stacks": [{"count": count, "frames": list(frames)} for frames, count in common],
        "more": counted.total() - sum(count for _, count in common),
    }


def _lag(seconds: float) -> dict[str, Any]:
    """How much later than asked for a timer was served, in milliseconds."""
    late = []
    began = now()
    while now() - began < seconds:
        due = now() + _STEP
        sleep(_STEP)
        late.append(max(0.0, now() - due))
    late.sort()
    mean = sum(late) / len(late)
    found = {"mean": mean, "median": late[len(late) // 2], "p99": late[int(len(late) * 0.99)], "worst": late[-1]}
    return {"seconds": round(now() - began, 3), "looks": len(late)} | {
        name: round(value * 1000, 3) for name, value in found.items()
    }


_STATUS: Final = {
    "VmRSS": "resident", "VmHWM": "most_resident", "RssAnon": "anonymous", "RssFile": "files", "RssShmem": "shared",
    "VmSwap": "swapped",
}  # fmt: skip


def _memory() -> dict[str, Any]:
    """Bytes by the kernel's account, and objects by Python's."""
    objects = gc.get_objects()
    types = Counter(map(type, objects))
    count = len(objects)
    del objects
    return {
        **_resident(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "objects": count,
        "frozen_objects": gc.get_freeze_count(),
        "blocks": sys.getallocatedblocks(),
        "collections": [each["collections"] for each in gc.get_stats()],
        "uncollectable": len(gc.garbage),
        "types": [{"type": _name(kind), "count": number} for kind, number in types.most_common(_TYPES)],
    }


def _resident() -> dict[str, int]:
    found = {}
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name in _STATUS:
            found[_STATUS[name]] = int(value.split()[0]) * 1024
    with contextlib.suppress(OSError):  # some kernels have none
        for line in Path("/proc/self/smaps_rollup").read_text("ascii").splitlines():
            if line.startswith("Pss:"):
                found["proportional"] = int(line.split()[1]) * 1024
    return found


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


Place = tuple[CodeType, ...]


class _Sampler:
    """Counts where the process is, each time that it has used so much of a processor."""

    def __init__(self) -> None:
        self.places: Counter[Place] = Counter()
        self.samples = 0

    def take(self, number: int, frame: FrameType | None) -> None:
        """As a handler of signals."""
        place: list[CodeType] = []
        while frame is not None and len(place) < _DEPTH:
            place.append(frame.f_code)
            frame = frame.f_back
        self.samples += 1
        key = tuple(place)
        if key in self.places or len(self.places) < _MOST_PLACES:
            self.places[key] += 1


_profiling = False


@contextlib.contextmanager
def _sampling(sampler: _Sampler) -> Iterator[None]:
    global _profiling  # noqa: PLW0603 - a process has one such timer
    _profiling = True
    signal.signal(signal.SIGPROF, sampler.take)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, _SAMPLE, _SAMPLE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)  # one that is on its way must not end the process
        _profiling = False


def _profile(seconds: float) -> dict[str, Any]:
    """Stacks of the process while it used a processor, sampled by the time that it used. Idle time is not in it."""
    if _profiling:
        return {"error": "a profile is being taken already"}
    sampler = _Sampler()
    began, used = now(), time.process_time()
    with _sampling(sampler):
        sleep(seconds)
    used = time.process_time() - used
    common = sampler.places.most_common(_PROFILE)
    return {
        "seconds": round(now() - began, 3),
        "processor_seconds": round(used, 3),
        "samples": sampler.samples,
        "stacks": [{"count": count, "calls": _calls(place)} for place, count in common],
        "more": sampler.samples - sum(count for _, count in common),
    }


def _calls(place: Place) -> list[str]:
    """The calls, the outermost first."""
    return [f"{code.co_qualname} ({short(code.co_filename)}:{code.co_firstlineno})" for code in reversed(place)]
