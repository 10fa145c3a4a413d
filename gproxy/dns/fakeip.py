"""Addresses that stand for names: given to clients in place of real ones, and turned back when they connect.

    section "fakeip …":
    +--------+------------------------+----------------------+
    | header | places: one for each   | index: which place a |
    | key,   | address, with the name | name has, by its     |
    | turn   | that has it            | keyed hash           |
    +--------+------------------------+----------------------+
    0        64 KiB    256 bytes each    4 bytes each, 0 = none

All workers share the table, so that an address means the same to each of them, and one that was given before a reload
means the same after it. Addresses are given in turn; when all are given, the oldest one gets another name. A place
tells the name that has it, and is believed; the index only says where to look.

Whoever reads takes no lock. Of a place that is being written to, the length is 0, so that it counts as nobody's.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from gproxy.base.address import IP
from gproxy.limit.memory import KEY, PAGE, Memory, draw_key

MOST: Final = 1 << 16
"""Addresses of each family that are given, from the beginning of the range."""

_FIRST: Final = 2  # the network's own address, and the first one, which may be a gateway's, are not given
_PLACE: Final = 256
_WINDOW: Final = 16  # places of the index that a name may have
_TURN = struct.Struct("=Q")
_INDEX = struct.Struct("=I")
_LONGEST: Final = 253
_LAYOUT: Final = 1


class FakeAddresses:
    """The table of one pair of ranges, either of which may be missing. Raises OSError."""

    def __init__(self, memory: Memory, four: IPv4Network | None, six: IPv6Network | None) -> None:
        self._four = int(four.network_address) + _FIRST if four is not None else None
        self._six = int(six.network_address) + _FIRST if six is not None else None
        self.ranges: tuple[IPv4Network | IPv6Network, ...] = tuple(each for each in (four, six) if each is not None)
        self._count = min([MOST, *(each.num_addresses - _FIRST - 1 for each in self.ranges)])
        self._slots = 4 * self._count
        self._index_at = PAGE + self._count * _PLACE
        name = f"fakeip {four or '-'} {six or '-'} {_LAYOUT}"
        short = blake2b(name.encode(), digest_size=12).hexdigest()
        self._section = memory.section(f"fakeip {short}", self._index_at + self._slots * 4, draw_key)
        self._memory = self._section.mapped
        self._key = self._memory[:KEY]

    def address_for(self, name: str, version: int) -> IP | None:
        """The address of this family that stands for the name; None if there is no range of that family."""
        first = self._four if version == 4 else self._six
        if first is None:
            return None
        raw = name.encode()
        if len(raw) > _LONGEST:
            return None
        place = self._find(raw)
        if place < 0:
            with self._section.held():
                place = self._find(raw)
                if place < 0:
                    place = self._give(raw)
        return IPv4Address(first + place) if version == 4 else IPv6Address(first + place)

    def name_of(self, ip: IP) -> str | None:
        """The name that an address stands for, empty if it stands for none; None if it is in no range."""
        if not any(ip in each for each in self.ranges if each.version == ip.version):
            return None
        first = self._four if ip.version == 4 else self._six
        assert first is not None, "it is in a range"
        place = int(ip) - first
        return self._name(place).decode() if 0 <= place < self._count else ""

    def clear(self) -> None:
        """Forget all: every address is nobody's."""
        with self._section.held():
            for place in range(self._count):
                at = PAGE + place * _PLACE
                if self._memory[at]:
                    self._memory[at] = 0

    def _name(self, place: int) -> bytes:
        at = PAGE + place * _PLACE
        size = self._memory[at]
        return self._memory[at + 1 : at + 1 + size]

    def _window(self, name: bytes) -> list[int]:
        start = int.from_bytes(blake2b(name, digest_size=8, key=self._key).digest(), "little")
        return [self._index_at + (start + step) % self._slots * 4 for step in range(_WINDOW)]

    def _find(self, name: bytes) -> int:
        """The place that has this name; -1 if none has."""
        for at in self._window(name):
            entry: int = _INDEX.unpack_from(self._memory, at)[0]
            if entry and self._name(entry - 1) == name:
                return entry - 1
        return -1

    def _give(self, name: bytes) -> int:
        """Give the next address to a name. The lock is held."""
        turn: int = _TURN.unpack_from(self._memory, KEY)[0]
        place = turn % self._count
        at = PAGE + place * _PLACE
        self._memory[at] = 0
        self._memory[at + 1 : at + 1 + len(name)] = name
        self._memory[at] = len(name)
        window = self._window(name)
        _INDEX.pack_into(self._memory, self._spare(window), place + 1)
        _TURN.pack_into(self._memory, KEY, turn + 1)
        return place

    def _spare(self, window: list[int]) -> int:
        """Where in the index there is room: nobody's, or that of a name that has no address any more."""
        for at in window:
            (entry,) = _INDEX.unpack_from(self._memory, at)
            if not entry or at not in self._window(self._name(entry - 1)):
                return at
        # All of them are in use: this one will get another address, while the one that it has still stands for it.
        return window[0]
