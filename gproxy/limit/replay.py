"""What may come only once: salts of handshakes, remembered in memory that all processes of this gproxy share.

    two sections of the shared memory (gproxy.limit.memory), one for each filter:
    0        32      64 KiB
    +--------+-------+--------------------+--------------------+--------------------+
    | key    | state | segment 0          | segment 1          | segment 2          |   tags of 8 bytes, 0 = none
    +--------+-------+--------------------+--------------------+--------------------+

A tag is the salt's keyed hash, so that nobody who does not know the key can make salts that collide. It stands in the
first free place of the window that its first bytes name.

Segments take turns. By time: each holds what came in one span, and three of them remember everything for at least two
spans; when one is full, nothing more is taken until the next span, since forgetting would let a replay in. By number:
a full one makes the next the current one, which forgets what was there.

All reading and writing is done under a lock of the kernel's (fcntl), which dies with its holder. It is held for some
microseconds, and for about a millisecond where a segment is emptied. What a holder that was killed leaves behind is
right: a tag counts when it is there, and the state is written last, so that an interrupted turn is begun again. Such
locks are between processes: within one, only the main thread may ask.
"""

from __future__ import annotations

import mmap
import struct
from hashlib import blake2b
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import Overloaded
from gproxy.base.wiring import Replays
from gproxy.limit.memory import KEY, Memory, Section, draw_key
from gproxy.limit.memory import PAGE as _PAGE

_TAG: Final = 8
_STEP: Final = 4 * _TAG  # from the beginning of one window to that of the next
_WINDOW: Final = 256 * _TAG  # windows overlap, so that a crowded one can borrow from its neighbours
_SEGMENTS: Final = 3
_LAYOUT: Final = 2  # changes whenever the picture above does
_STATE = struct.Struct("=QQQQ")  # the turn, and how many tags each segment has
_STATE_AT: Final = 32
_NONE: Final = bytes(_TAG)
_SOME: Final = b"\1" * _TAG  # for the one salt of 2**64 whose tag would look like a free place

# Segments have four places for each window. By time, this is enough for 24,000 handshakes a second.
_RECENT_WINDOWS: Final = 1 << 18
_LASTING_WINDOWS: Final = 1 << 16

SPAN: Final = 45.0
"""Seconds of a timed segment: remembered for between two and three of these.

A handshake that carries its time is good for 61 seconds: 30 before and after, in whole seconds. What is left of the
two spans is for a wall clock that is set back meanwhile.
"""


def _segment(windows: int) -> int:
    size = windows * _STEP + _WINDOW  # and room for the last windows
    return (size + _PAGE - 1) // _PAGE * _PAGE


def open_replays(memory: Memory) -> Replays:
    """The filters in shared memory. They may be used in processes that are forked later, too. Raises OSError."""
    return Replays(
        recent=Salts.open(memory, "salts-recent", _RECENT_WINDOWS, timed=True),
        lasting=Salts.open(memory, "salts-lasting", _LASTING_WINDOWS, timed=False),
    )


class Salts:
    """One filter in the shared memory (see SaltFilter)."""

    __slots__ = ("_full", "_key", "_memory", "_section", "_segment", "_timed", "_windows")

    def __init__(self, section: Section, windows: int, *, timed: bool) -> None:
        self._section = section
        self._memory = section.mapped
        self._windows = windows
        self._segment = _segment(windows)
        self._full = windows * 3  # of four places: soon after that, a window would have none
        self._timed = timed
        self._key = self._memory[:KEY]

    @classmethod
    def open(cls, memory: Memory, name: str, windows: int, *, timed: bool) -> Salts:
        """The filter of that name, with so many windows. Raises OSError."""
        size = _PAGE + _SEGMENTS * _segment(windows)
        return cls(memory.section(f"{name} {_LAYOUT}", size, draw_key), windows, timed=timed)

    def first(self, salt: bytes, /) -> bool:
        """See SaltFilter."""
        tag = blake2b(salt, digest_size=_TAG, key=self._key).digest()
        if tag == _NONE:
            tag = _SOME
        self._section.lock()
        try:
            return self._first(tag)
        finally:
            self._section.unlock()

    def _first(self, tag: bytes) -> bool:
        turn, *counts = _STATE.unpack_from(self._memory, _STATE_AT)
        if self._timed:
            # The clock that never goes back, and is the same for all processes. The wall clock would not do: one that
            # was a year ahead for a moment would leave a segment that is current for a year.
            wanted = max(turn, int(now() / SPAN))
        else:
            wanted = turn + (counts[turn % _SEGMENTS] >= self._full)
        for passed in range(min(wanted - turn, _SEGMENTS)):
            self._empty((wanted - passed) % _SEGMENTS, counts)
        # A segment that holds nothing is not looked at: that alone would give it memory.
        if any(counts[segment] and self._find(segment, tag) for segment in range(_SEGMENTS)):
            known = True
        else:
            known = False
            self._put(wanted % _SEGMENTS, tag)
            counts[wanted % _SEGMENTS] += 1
        _STATE.pack_into(self._memory, _STATE_AT, wanted, *counts)
        return not known

    def _empty(self, segment: int, counts: list[int]) -> None:
        if counts[segment]:
            self._memory.madvise(mmap.MADV_REMOVE, _PAGE + segment * self._segment, self._segment)
            counts[segment] = 0

    def _window(self, segment: int, tag: bytes) -> int:
        """Where the places begin that may hold the tag."""
        window = int.from_bytes(tag[:4], "little") % self._windows
        return _PAGE + segment * self._segment + window * _STEP

    def _find(self, segment: int, tag: bytes) -> bool:
        return _aligned(self._memory, tag, self._window(segment, tag)) >= 0

    def _put(self, segment: int, tag: bytes) -> None:
        place = _aligned(self._memory, _NONE, self._window(segment, tag))
        if place < 0:
            raise Overloaded("no room to remember another handshake", reason="replay")
        self._memory[place : place + _TAG] = tag


def _aligned(memory: mmap.mmap, tag: bytes, start: int) -> int:
    """Where the tag stands in the window; -1 if it does not. What only looks like it, across two places, is not it."""
    window = memory[start : start + _WINDOW]  # a copy, since bytes search far faster than the map does
    place = window.find(tag)
    while place >= 0 and place % _TAG:
        place = window.find(tag, place + 1)
    return start + place if place >= 0 else -1
