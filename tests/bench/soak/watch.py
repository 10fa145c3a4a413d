"""What the workers hold, looked at again and again: memory, descriptors, greenlets, objects."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import measure
from tests.bench.soak.house import House

_STEP = 0.2
_QUIET = 1.0  # seconds without a change


@dataclass(frozen=True, slots=True)
class Memory:
    """One look at one worker. `rss` and `pss` in bytes, `shared` what of the former is shared memory."""

    at: float
    pid: int
    rss: int
    pss: int
    shared: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What one worker holds."""

    worker: int
    pid: int
    descriptors: int
    greenlets: int
    objects: int
    types: dict[str, int]


def memory(house: House) -> list[Memory]:
    """A look at each worker. Raises OSError."""
    at = time.monotonic()
    looks = []
    for pid in house.workers().values():
        try:
            smaps = Path(f"/proc/{pid}/smaps").read_text("ascii", "replace")
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
        except (FileNotFoundError, ProcessLookupError):  # it has just died, which shows elsewhere
            continue
        rss, pss = measure.field_bytes(rollup, "Rss"), measure.field_bytes(rollup, "Pss")
        looks.append(Memory(at, pid, rss, pss, measure.shared_bytes(smaps)))
    return looks


def holdings(house: House) -> list[Holding]:
    """What each worker holds now. Raises OSError."""
    memory, stacks = house.debug("memory"), house.debug("stacks")
    return [
        Holding(
            worker,
            pid,
            memory[pid]["descriptors"],
            stacks[pid]["greenlets"],
            memory[pid]["objects"],
            {each["type"]: each["count"] for each in memory[pid]["types"]},
        )
        for worker, pid in sorted(house.workers().items())
        if {"objects", "greenlets"} <= memory.get(pid, {}).keys() | stacks.get(pid, {}).keys()
    ]


def settled(house: House, limit: float) -> float:
    """Wait until no worker's descriptors change, `limit` seconds at most; return the seconds until the last change."""
    began = changed = time.monotonic()
    before: list[int] = []
    while (now := time.monotonic()) - changed < _QUIET and now - began < limit:
        held = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in house.workers().values()]
        if held != before:
            before, changed = held, now
        time.sleep(_STEP)
    return changed - began
