"""Answers that all workers of one generation share: what one has asked, the others need not ask.

A mapping of memory, made before the workers are forked: nobody else's, or a file's, which outlives them. It has places
of one size, in rows of four; a key belongs to one row. A place that holds another answer is written over, the one whose
end comes first.

    0          8             16      24     28       30       32
    +----------+-------------+-------+------+--------+--------+-----+---------+
    | checksum | hash of key | end   | ttl  | key's  | whole  | key | message |
    +----------+-------------+-------+------+--------+--------+-----+---------+
                                double         length   length              end: by the clock that never goes back,
                                                                            or the wall clock's in a file

There is no lock. Whoever reads takes a copy and believes it only if the checksum is right: what is being written, by
one or by two, or what a writer that was killed has left half done, counts as nothing.
"""

from __future__ import annotations

import mmap
import struct
from hashlib import blake2b
from typing import Final

from gproxy.base.clock import now, wall
from gproxy.limit.memory import Memory

PLACE: Final = 512
"""Bytes of a place. Answers that don't fit stay their worker's own."""

MOST_PLACES: Final = 1 << 17
"""Places of the largest table, which takes 64 MiB."""

_PLACES: Final = 4  # of a row
_ROW: Final = _PLACES * PLACE
_SUM: Final = 8
_TAG_END: Final = 16
_HEAD = struct.Struct("=dIHH")
_END = struct.Struct("=d")
_BEGIN: Final = _TAG_END + _HEAD.size


class Shared:
    """The mapping. Pages that are never used take no memory."""

    def __init__(self, places: int, kept: Memory | None = None) -> None:
        """Room for about so many answers, MOST_PLACES at most; in memory that is kept, if given. Raises OSError."""
        self._rows = max(1, min(places, MOST_PLACES) // _PLACES)
        size = self._rows * _ROW
        self._memory = mmap.mmap(-1, size) if kept is None else kept.section("dns-answers 1", size).mapped
        self._lasts = kept is not None

    def get(self, key: bytes) -> tuple[bytes, float, int] | None:
        """The message that is remembered by this key, when it ends, and the TTL it had when it was new."""
        start, tag = self._row(key)
        row = self._memory[start : start + _ROW]  # a copy, which nobody writes to while it is looked at
        for at in range(0, _ROW, PLACE):
            if row[at + _SUM : at + _TAG_END] == tag:
                end, ttl, size, whole = _HEAD.unpack_from(row, at + _TAG_END)
                right = whole <= PLACE and _checksum(row[at + _SUM : at + whole]) == row[at : at + _SUM]
                if right and size == len(key) and row.startswith(key, at + _BEGIN):
                    return row[at + _BEGIN + size : at + whole], end - self._offset(), ttl
        return None

    def put(self, key: bytes, message: bytes, end: float, ttl: int) -> None:
        """Remember a message, if it fits."""
        whole = _BEGIN + len(key) + len(message)
        if whole > PLACE:
            return
        start, tag = self._row(key)
        content = tag + _HEAD.pack(end + self._offset(), ttl, len(key), whole) + key + message
        at = start + self._place(start, tag)
        self._memory[at : at + whole] = _checksum(content) + content

    def _offset(self) -> float:
        """What the clock of ends is ahead of the one that never goes back: that one begins anew with each start."""
        return wall() - now() if self._lasts else 0.0

    def clear(self) -> None:
        """Forget everything."""
        self._memory.madvise(mmap.MADV_REMOVE)

    def _row(self, key: bytes) -> tuple[int, bytes]:
        """Where this key's row begins, and the hash that stands in its place."""
        digest = blake2b(key, digest_size=16).digest()
        return int.from_bytes(digest[8:], "little") % self._rows * _ROW, digest[:8]

    def _place(self, start: int, tag: bytes) -> int:
        """Where in its row an answer is to be written: over its older one, or else over what ends first."""
        row = self._memory[start : start + _ROW]
        for at in range(0, _ROW, PLACE):
            if row[at + _SUM : at + _TAG_END] == tag:
                return at
        return min(range(0, _ROW, PLACE), key=lambda at: _END.unpack_from(row, at + _TAG_END))


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_SUM).digest()
