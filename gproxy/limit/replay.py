"""What may come only once: salts of handshakes, remembered in memory that all processes of this gproxy share.

    header, then for each of the two filters:
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

import fcntl
import mmap
import os
import struct
from hashlib import blake2b
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import Overloaded
from gproxy.base.wiring import Replays

_TAG: Final = 8
_STEP: Final = 4 * _TAG  # from the beginning of one window to that of the next
_WINDOW: Final = 256 * _TAG  # windows overlap, so that a crowded one can borrow from its neighbours
_SEGMENTS: Final = 3
_PAGE: Final = 1 << 16  # the largest page of any machine: memory is given back in whole ones
_LAYOUT: Final = b"gproxy salts 1\n\0"  # changes whenever the picture above does
_STATE = struct.Struct("=QQQQ")  # the turn, and how many tags each segment has
_STATE_AT: Final = 32
_KEY: Final = 32
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


def _filter(windows: int) -> int:
    return _PAGE + _SEGMENTS * _segment(windows)


_RECENT_AT: Final = _PAGE
_LASTING_AT: Final = _RECENT_AT + _filter(_RECENT_WINDOWS)
_SIZE: Final = _LASTING_AT + _filter(_LASTING_WINDOWS)  # pages that were never used take no room


class Memory:
    """A memory file, to be shared with other processes. It is closed with the last who use it here."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        """A new one, which remembers nothing. Raises OSError."""
        self.fd = -1
        self.fd = os.memfd_create("gproxy-replays", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, _SIZE)
        for start in (_RECENT_AT, _LASTING_AT):
            os.pwrite(self.fd, os.urandom(_KEY), start)
        os.pwrite(self.fd, _LAYOUT, 0)

    @classmethod
    def adopt(cls, fd: int) -> Memory:
        """Take over the descriptor of one. Raises ValueError when it is none, or of another version's layout."""
        try:
            known = os.fstat(fd).st_size == _SIZE and os.pread(fd, len(_LAYOUT), 0) == _LAYOUT
        except OSError:
            known = False
        if not known:
            raise ValueError("not a memory of this version")
        os.set_inheritable(fd, False)
        memory = cls.__new__(cls)
        memory.fd = fd
        return memory

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def open_replays(memory: Memory) -> Replays:
    """The filters over a memory file. They may be used in processes that are forked later, too."""
    mapped = mmap.mmap(memory.fd, _SIZE)
    return Replays(
        recent=Salts(memory, mapped, _RECENT_AT, _RECENT_WINDOWS, timed=True),
        lasting=Salts(memory, mapped, _LASTING_AT, _LASTING_WINDOWS, timed=False),
    )


class Salts:
    """One filter in the shared memory (see SaltFilter)."""

    __slots__ = ("_at", "_file", "_full", "_key", "_memory", "_segment", "_timed", "_windows")

    def __init__(self, file: Memory, memory: mmap.mmap, at: int, windows: int, *, timed: bool) -> None:
        self._file = file
        self._memory = memory
        self._at = at
        self._windows = windows
        self._segment = _segment(windows)
        self._full = windows * 3  # of four places: soon after that, a window would have none
        self._timed = timed
        self._key = memory[at : at + _KEY]

    def first(self, salt: bytes, /) -> bool:
        """See SaltFilter."""
        tag = blake2b(salt, digest_size=_TAG, key=self._key).digest()
        if tag == _NONE:
            tag = _SOME
        fd, at = self._file.fd, self._at
        fcntl.lockf(fd, fcntl.LOCK_EX, 1, at)
        try:
            return self._first(tag)
        finally:
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, at)

    def _first(self, tag: bytes) -> bool:
        turn, *counts = _STATE.unpack_from(self._memory, self._at + _STATE_AT)
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
        _STATE.pack_into(self._memory, self._at + _STATE_AT, wanted, *counts)
        return not known

    def _empty(self, segment: int, counts: list[int]) -> None:
        if counts[segment]:
            self._memory.madvise(mmap.MADV_REMOVE, self._at + _PAGE + segment * self._segment, self._segment)
            counts[segment] = 0

    def _window(self, segment: int, tag: bytes) -> int:
        """Where the places begin that may hold the tag."""
        window = int.from_bytes(tag[:4], "little") % self._windows
        return self._at + _PAGE + segment * self._segment + window * _STEP

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
