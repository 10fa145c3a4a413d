"""What every process shows of itself now, in memory that all share. What a process showed goes with it.

section "board 1": a place for each process
+-----+---------+----------+--------+------+---
| pid | started | sequence | length | JSON | …      words of 8 bytes; the sequence is odd while it is written
+-----+---------+----------+--------+------+---
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from gproxy.base.clock import now
from gproxy.limit.memory import Memory, started

Gauge = tuple[str, list[str], float]
"""A family, the values of its labels, and the value."""

_PLACES: Final = 64
_PLACE: Final = 64 * 1024
_HEAD = struct.Struct("=QQQQ")
_SEQUENCE: Final = 16
_TRIES: Final = 5


@dataclass(slots=True)
class Shown:
    """What one process shows. `at` is when, by `now`. `worker` is -1 for control."""

    worker: int
    generation: int = 0
    state: str = ""  # serving, or something else
    at: float = 0.0
    gauges: list[Gauge] = field(default_factory=list)

    @property
    def process(self) -> str:
        """How it is called."""
        return "control" if self.worker < 0 else f"worker{self.worker}"


class Board:
    """All of it. `join` comes before `show`, after the fork."""

    def __init__(self, memory: Memory) -> None:
        """Raises OSError."""
        self._section = memory.section("board 1", _PLACES * _PLACE)
        self._mapped = self._section.mapped
        self._at = -1
        self._sequence = 0

    def join(self) -> None:
        """Take a place, one that nobody has any more. Raises OSError when there is none."""
        with self._section.held():
            for number in range(_PLACES):
                at = number * _PLACE
                pid, since, sequence, _ = _HEAD.unpack_from(self._mapped, at)
                if not pid or started(pid) != since or pid == os.getpid():
                    self._sequence = sequence + sequence % 2
                    own = os.getpid()
                    _HEAD.pack_into(self._mapped, at, own, started(own), self._sequence, 0)
                    self._at = at
                    return
        raise OSError("too many processes")

    def show(self, shown: Shown) -> None:
        """Replace what this process shows. What is too much is left out."""
        assert self._at >= 0, "it has joined"
        shown.at = now()
        data = json.dumps(asdict(shown), separators=(",", ":")).encode()
        while len(data) > _PLACE - _HEAD.size:
            shown.gauges = shown.gauges[: len(shown.gauges) // 2]
            data = json.dumps(asdict(shown), separators=(",", ":")).encode()
        where = self._at + _HEAD.size
        self._write_sequence(self._sequence + 1)
        struct.pack_into("=Q", self._mapped, self._at + _SEQUENCE + 8, len(data))
        self._mapped[where : where + len(data)] = data
        self._write_sequence(self._sequence + 1)

    def _write_sequence(self, sequence: int) -> None:
        self._sequence = sequence
        struct.pack_into("=Q", self._mapped, self._at + _SEQUENCE, sequence)

    def leave(self) -> None:
        """Show nothing any more. Idempotent."""
        if self._at >= 0:
            _HEAD.pack_into(self._mapped, self._at, 0, 0, self._sequence, 0)
            self._at = -1

    def read(self) -> Iterator[Shown]:
        """What all living processes show, those of draining generations too."""
        for number in range(_PLACES):
            found = self._read(number * _PLACE)
            if found is not None:
                yield found

    def _read(self, at: int) -> Shown | None:
        for _ in range(_TRIES):
            pid, since, sequence, length = _HEAD.unpack_from(self._mapped, at)
            if not pid or started(pid) != since:
                return None
            if sequence % 2 or length > _PLACE - _HEAD.size:  # it is being written: the length may be 0 just now
                continue
            if not length:
                return None
            data = self._mapped[at + _HEAD.size : at + _HEAD.size + length]
            if _HEAD.unpack_from(self._mapped, at)[2] == sequence:
                return _shown(data)
        return None


def _shown(data: bytes) -> Shown | None:
    """Newer or older code may have written it."""
    try:
        values: dict[str, Any] = json.loads(data)
        gauges = [(str(family), [str(label) for label in labels], float(value))
                  for family, labels, value in values["gauges"]]  # fmt: skip
        return Shown(
            int(values["worker"]), int(values["generation"]), str(values["state"]), float(values["at"]), gauges
        )
    except (ValueError, KeyError, TypeError):
        return None
