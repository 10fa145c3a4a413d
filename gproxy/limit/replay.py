"""What may come only once: salts of handshakes, remembered in memory that all processes of this gproxy share.

    0        16   segment 0                  segment 1                  segment 2
    +--------+----+--------------------------+--------------------------+--------------------------+
    | key    | …  | tags                     |                          |                          |
    +--------+----+--------------------------+--------------------------+--------------------------+

A tag is eight bytes: the salt's keyed hash, so that nobody who does not know the key can make salts that collide. It
stands in the first free place of the window that its first bytes name. All writing is done under a lock of the kernel's
(fcntl), which dies with its holder; it is held for some microseconds, once for each handshake.

Segments take turns. By time: each holds what came in one span, and three of them remember everything for at least two
spans; when one is full, nothing more is taken until the next span, since forgetting would let a replay in. By number:
a full one makes the next the current one, which forgets what was there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from hashlib import blake2b
from typing import Final

from gproxy.base.clock import wall
from gproxy.base.errors import Overloaded
from gproxy.base.wiring import Replays

_TAG: Final = 8
_STEP: Final = 4 * _TAG  # from the beginning of one window to that of the next
_WINDOWS: Final = 1 << 16
_WINDOW: Final = 256 * _TAG  # windows overlap, so that a crowded one can borrow from its neighbours
_SEGMENTS: Final = 3
_SEGMENT: Final = _WINDOWS * _STEP + 4096  # and room for the last windows
_HEAD: Final = 4096  # key and state; a page, so that the segments begin on one
_STATE = struct.Struct("=QQQQ")  # the turn, and how many tags each segment has
_STATE_AT: Final = 32
_KEY: Final = 16
_FULL: Final = _WINDOWS * 3  # three quarters: soon after that, a window would have no place
_ONE: Final = _HEAD + _SEGMENTS * _SEGMENT
_NONE: Final = bytes(_TAG)

SIZE: Final = 2 * _ONE
"""Bytes of the memory that `open_replays` wants. Pages that were never used take no room."""

SPAN: Final = 30.0
"""Seconds of a timed segment: remembered for between two and three of these."""


class Memory:
    """A memory file, to be shared with other processes. It is closed with the last who use it here."""

    __slots__ = ("fd",)

    def __init__(self, fd: int = -1) -> None:
        """Take over a descriptor, or make a new file. Raises OSError."""
        if fd < 0:
            fd = os.memfd_create("gproxy-replays", os.MFD_CLOEXEC)
            os.ftruncate(fd, SIZE)
            for start in (0, _ONE):
                os.pwrite(fd, os.urandom(_KEY), start)
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def open_replays(memory: Memory) -> Replays:
    """The filters over a memory file."""
    mapped = mmap.mmap(memory.fd, SIZE)
    return Replays(recent=Salts(memory, mapped, 0, timed=True), lasting=Salts(memory, mapped, _ONE, timed=False))


class Salts:
    """One filter in the shared memory (see SaltFilter)."""

    __slots__ = ("_at", "_file", "_key", "_memory", "_timed")

    def __init__(self, file: Memory, memory: mmap.mmap, at: int, *, timed: bool) -> None:
        self._file = file
        self._memory = memory
        self._at = at
        self._timed = timed
        self._key = memory[at : at + _KEY]

    def first(self, salt: bytes, /) -> bool:
        """See SaltFilter."""
        tag = blake2b(salt, digest_size=_TAG, key=self._key).digest()
        if tag == _NONE:
            tag = b"\1" * _TAG  # none is how a free place looks
        fcntl.lockf(self._file.fd, fcntl.LOCK_EX, 1, self._at)
        try:
            return self._first(tag)
        finally:
            fcntl.lockf(self._file.fd, fcntl.LOCK_UN, 1, self._at)

    def _first(self, tag: bytes) -> bool:
        turn, *counts = _STATE.unpack_from(self._memory, self._at + _STATE_AT)
        current = turn % _SEGMENTS
        if self._timed:
            wanted = max(turn, int(wall() / SPAN))  # a clock that was set back does not forget
        else:
            wanted = turn + (counts[current] >= _FULL)
        if wanted != turn:
            for passed in range(min(wanted - turn, _SEGMENTS)):
                self._empty((wanted - passed) % _SEGMENTS, counts)
            turn, current = wanted, wanted % _SEGMENTS
        # A segment that holds nothing is not looked at: that alone would give it memory.
        known = any(counts[segment] and self._find(segment, tag) for segment in range(_SEGMENTS))
        if not known:
            if not self._put(current, tag):
                raise Overloaded("no room to remember another handshake", reason="replay")
            counts[current] += 1
        _STATE.pack_into(self._memory, self._at + _STATE_AT, turn, *counts)
        return not known

    def _empty(self, segment: int, counts: list[int]) -> None:
        counts[segment] = 0
        self._memory.madvise(mmap.MADV_REMOVE, self._at + _HEAD + segment * _SEGMENT, _SEGMENT)

    def _window(self, segment: int, tag: bytes) -> int:
        """Where the places begin that may hold the tag."""
        return self._at + _HEAD + segment * _SEGMENT + int.from_bytes(tag[:2], "little") * _STEP

    def _find(self, segment: int, tag: bytes) -> bool:
        return _aligned(self._memory, tag, self._window(segment, tag)) >= 0

    def _put(self, segment: int, tag: bytes) -> bool:
        place = _aligned(self._memory, _NONE, self._window(segment, tag))
        if place < 0:
            return False
        self._memory[place : place + _TAG] = tag
        return True


def _aligned(memory: mmap.mmap, tag: bytes, start: int) -> int:
    """Where the tag stands in the window; -1 if it does not. What only looks like it, across two places, is not it."""
    window = memory[start : start + _WINDOW]  # a copy, since bytes search far faster than the map does
    place = window.find(tag)
    while place >= 0 and place % _TAG:
        place = window.find(tag, place + 1)
    return start + place if place >= 0 else -1
