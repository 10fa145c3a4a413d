"""A sliding window over packet numbers: RFC 6479's idea, as in IPsec and WireGuard."""

from __future__ import annotations

_DEFAULT = 4096


class PacketWindow:
    """Accepts each packet number once, unless it lies too far behind the newest."""

    __slots__ = ("_mask", "_newest", "_seen", "_size")

    def __init__(self, size: int = _DEFAULT) -> None:
        """`size`: how far a late packet may lie behind the newest one."""
        self._size = size
        self._mask = (1 << size) - 1
        self._newest = -1
        self._seen = 0  # bit n: the packet `newest - n` has come

    def fresh(self, number: int) -> bool:
        """Whether the packet may still come. Say `accept` once it has proved to be genuine."""
        behind = self._newest - number
        return behind < 0 or (behind < self._size and not self._seen >> behind & 1)

    def accept(self, number: int) -> None:
        """It has come."""
        behind = self._newest - number
        if behind < 0:
            ahead = -behind
            self._seen = ((self._seen << ahead) | 1) & self._mask if ahead < self._size else 1
            self._newest = number
        elif behind < self._size:
            self._seen |= 1 << behind
