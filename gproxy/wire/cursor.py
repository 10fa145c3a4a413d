"""Straight-line decoding of a buffer that may still be growing.

A decoder is a plain function of a Cursor. It has three outcomes: it returns its value, it raises Incomplete because the
bytes ran out, or it raises ProtocolError because no further byte could make them right. It may be called again from the
start when more bytes have come, so it must not keep state elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gproxy.base.errors import TooLarge

T = TypeVar("T")


class Incomplete(Exception):
    """More bytes are needed."""


class Cursor:
    """A reading position in a buffer. `at` tells how many bytes are used."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes | bytearray, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise Incomplete
        piece = bytes(self.data[self.at : end])
        self.at = end
        return piece

    def u8(self) -> int:
        """One octet."""
        at = self.at
        if at >= len(self.data):
            raise Incomplete
        self.at = at + 1
        return self.data[at]

    def u16(self) -> int:
        """Two octets, network order."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Four octets, network order."""
        return int.from_bytes(self.take(4), "big")

    def until(self, delimiter: bytes, limit: int) -> bytes:
        """What stands before the next `delimiter`, which is used up too. Raises TooLarge past `limit` bytes of it."""
        end = self.data.find(delimiter, self.at, self.at + limit + len(delimiter))
        if end < 0:
            if len(self.data) - self.at >= limit + len(delimiter):
                raise TooLarge(f"no {delimiter!r} within {limit} bytes")
            raise Incomplete
        piece = bytes(self.data[self.at : end])
        self.at = end + len(delimiter)
        return piece

    def rest(self) -> bytes:
        """All that is left."""
        piece = bytes(self.data[self.at :])
        self.at = len(self.data)
        return piece

    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.at


Decode = Callable[[Cursor], T]
