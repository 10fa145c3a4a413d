"""Answers that all workers of one generation share: what one has asked, the others need not ask.

A mapping of anonymous memory, made before the workers are forked. It has places of one size, in rows of four; a key
belongs to one row. A place that holds another answer is written over, the one whose end comes first.

    0          8        16      20        22       24
    +----------+--------+-------+---------+--------+-----+---------+
    | checksum | end    | ttl   | key's   | whole  | key | message |     end: seconds of the clock that never goes back
    +----------+--------+-------+---------+--------+-----+---------+

There is no lock. Whoever reads takes a copy and believes it only if the checksum is right: what is being written, by
one or by two, or what a writer that was killed has left half done, counts as nothing.
"""

from __future__ import annotations

import mmap
import struct
from hashlib import blake2b
from typing import Final

PLACE: Final = 512
"""Bytes of a place. Answers that don't fit stay their worker's own."""

_ROW: Final = 4
_SUM: Final = 8
_HEAD = struct.Struct("=dIHH")
_BEGIN: Final = _SUM + _HEAD.size


class Shared:
    """The mapping. Pages that are never used take no memory."""

    def __init__(self, places: int) -> None:
        """Room for about so many answers. Raises OSError."""
        self._rows = max(1, places // _ROW)
        self._memory = mmap.mmap(-1, self._rows * _ROW * PLACE)

    def get(self, key: bytes) -> tuple[bytes, float, int] | None:
        """The message that is remembered by this key, when it ends, and the TTL it had when it was new."""
        start = self._row(key)
        for at in range(start, start + _ROW * PLACE, PLACE):
            found = self._read(at)
            if found is not None and found.startswith(key, _BEGIN):
                end, ttl, size, whole = _HEAD.unpack_from(found, _SUM)
                if size == len(key):
                    return found[_BEGIN + size : whole], end, ttl
        return None

    def put(self, key: bytes, message: bytes, end: float, ttl: int) -> None:
        """Remember a message, if it fits."""
        whole = _BEGIN + len(key) + len(message)
        if whole > PLACE:
            return
        content = _HEAD.pack(end, ttl, len(key), whole) + key + message
        at = self._place(key)
        self._memory[at : at + whole] = _checksum(content) + content

    def clear(self) -> None:
        """Forget everything."""
        self._memory.madvise(mmap.MADV_REMOVE)

    def _row(self, key: bytes) -> int:
        number = int.from_bytes(blake2b(key, digest_size=8).digest(), "little")
        return number % self._rows * _ROW * PLACE

    def _read(self, at: int) -> bytes | None:
        """What stands in a place, as far as it is to be believed."""
        whole = int.from_bytes(self._memory[at + _BEGIN - 2 : at + _BEGIN], "little")
        if not _BEGIN <= whole <= PLACE:
            return None
        place = self._memory[at : at + whole]
        return place if _checksum(place[_SUM:]) == place[:_SUM] else None

    def _place(self, key: bytes) -> int:
        """Where this key's answer is to be written: over its older one, or else over what ends first."""
        start = self._row(key)
        best, earliest = start, float("inf")
        for at in range(start, start + _ROW * PLACE, PLACE):
            found = self._read(at)
            if found is None:
                end = 0.0
            else:
                end, _, size, _ = _HEAD.unpack_from(found, _SUM)
                if size == len(key) and found.startswith(key, _BEGIN):
                    return at
            if end < earliest:
                best, earliest = at, end
        return best


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_SUM).digest()
