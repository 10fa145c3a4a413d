"""What all processes have counted, in memory that they share: over reloads, upgrades and crashes it only grows.

    section "totals 1", in words of 8 bytes:
    +------+-------+------+-------+-------+---
    | used | users | lost | entry | entry | …      used: words that are written, these three included
    +------+-------+------+-------+-------+---
    entry:
    +-----------------------------+----------+----------------------------+
    | length of the key << 8      | values   | key, filled up to a word   |
    |   | number of values        |          |                            |
    +-----------------------------+----------+----------------------------+

Entries are only ever added, and become valid by `used`. Who adds holds the lock; who reads does not, since a value is
one word. A process that is killed has lost what it had not told yet, and spoils nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from mmap import mmap
from typing import Final

from gproxy.limit.memory import Memory
from gproxy.observe.timing import BOUNDS

Key = tuple[str, ...]
"""A family of counters, and the values of its labels."""

OTHER: Final = "other"
"""Who stands for all users beyond the first ones."""

USER: Final = "user"
"""The family whose label is a user."""

# Of another layout, or with other buckets, they are other sums.
_NAME: Final = f"totals 1.{len(BOUNDS)}"
_SIZE: Final = 8 * 1024 * 1024
_USED, _USERS, _LOST, _FIRST = range(4)
_LONGEST: Final = 1024  # bytes of a key


class Totals:
    """The sums. One for all processes of a gproxy that has the same `memory`."""

    def __init__(self, memory: Memory, users: int, size: int = _SIZE) -> None:
        """`users`: how many have a sum of their own; the first ones do. Raises OSError."""
        self._section = memory.section(_NAME, size, _begin)
        self._bytes = memoryview(self._section.mapped)
        self._words = self._bytes.cast("Q")
        self._users = users
        self._seen = _FIRST
        self._entries: dict[Key, tuple[int, int]] = {}  # where its values are, and how many

    @property
    def lost(self) -> int:
        """How often something could not be counted, since there was no room."""
        return int(self._words[_LOST])

    def add(self, rows: Iterable[tuple[Key, Sequence[int]]]) -> bool:
        """Add these. A key has the same number of values each time.

        False: nothing was added, since another process does that just now. It is not waited for: one that is stopped
        by a debugger shall not hold up the others.
        """
        words = self._words
        if not self._section.try_lock():
            return False
        try:
            self._learn()
            for key, values in rows:
                at, width = self._entries.get(key) or self._new(key, len(values))
                if width != len(values):
                    words[_LOST] += 1
                    continue
                for index, value in enumerate(values, at):
                    words[index] += value
        finally:
            self._section.unlock()
        return True

    def read(self) -> Iterator[tuple[Key, tuple[int, ...]]]:
        """All of them as they are now."""
        self._learn()
        words = self._words
        for key, (at, width) in self._entries.items():
            yield key, tuple(words[at : at + width])

    def _learn(self) -> None:
        """Of what others have added."""
        used = self._words[_USED]
        while self._seen < used:
            head = self._words[self._seen]
            length, width = head >> 8, head & 0xFF
            at = self._seen + 1
            name = bytes(self._bytes[(at + width) * 8 : (at + width) * 8 + length])
            self._entries[tuple(name.decode().split("\0"))] = at, width
            self._seen = at + width + _words_of(length)

    def _new(self, key: Key, width: int) -> tuple[int, int]:
        """Make room, which `add` holds the lock for. What there is no room for has no values."""
        words = self._words
        if key[0] == USER:
            if words[_USERS] >= self._users and key[1] != OTHER:
                return self._entries.get((USER, OTHER)) or self._new((USER, OTHER), width)
            words[_USERS] += 1
        # Names may hold anything that stands in a configuration, but for what keeps them apart here.
        name = "\0".join(part.replace("\0", "") for part in key).encode("utf-8", "replace")
        at = words[_USED] + 1
        end = at + width + _words_of(len(name))
        if len(name) > _LONGEST or end > len(words):
            return 0, -1
        words[at - 1] = len(name) << 8 | width
        where = (at + width) * 8
        self._bytes[where : where + len(name)] = name
        words[_USED] = end
        self._learn()
        return at, width


def _words_of(length: int) -> int:
    return (length + 7) // 8


def _begin(mapped: mmap) -> None:
    mapped[:8] = _FIRST.to_bytes(8, "little")
