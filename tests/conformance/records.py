"""A record format of the tests' own, for what works with any: it notices what an AEAD would, and keeps no secrets.

+------------+----------------+------------+----------------+
| length (2) | its check (4)  | payload    | its check (4)  |
+------------+----------------+------------+----------------+

A check is the CRC-32 of all that was said so far, so that a record is wrong in any place but its own.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer

MOST: Final = 16 * 1024
"""Payload bytes of the largest record."""

LENGTH: Final = 6
CHECK: Final = 4
LARGEST: Final = LENGTH + MOST + CHECK
"""Bytes of the largest record."""


def _check(data: Buffer, state: int) -> tuple[bytes, int]:
    state = crc32(data, state)
    return state.to_bytes(CHECK, "big"), state


class PlainSealer:
    """Payload into records (see Sealer). A head waits for the first sealing."""

    def __init__(self, head: bytes = b"") -> None:
        self._head = head
        self._state = 0

    def room(self, size: int, /) -> int:
        size += len(self._head)
        return size + -(-size // MOST) * (LENGTH + CHECK)

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        source, self._head = self._head + bytes(source), b""
        made = 0
        for start in range(0, len(source), MOST):
            payload = source[start : start + MOST]
            length = len(payload).to_bytes(2, "big")
            first, state = _check(length, self._state)
            second, self._state = _check(payload, state)
            record = length + first + payload + second
            target[made : made + len(record)] = record
            made += len(record)
        return made


class PlainOpener:
    """Records into payload (see Opener)."""

    def __init__(self) -> None:
        self._state = 0

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        used = made = 0
        while len(source) - used >= LENGTH:
            length = source[used : used + 2]
            check, state = _check(length, self._state)
            if source[used + 2 : used + LENGTH] != check:
                raise ProtocolError("a length that can't be")
            size = int.from_bytes(length, "big")
            body, end = used + LENGTH, used + LENGTH + size + CHECK
            if end > len(source) or made + size > len(target):
                break
            check, state = _check(source[body : body + size], state)
            if source[body + size : end] != check:
                raise ProtocolError("a payload that can't be")
            target[made : made + size] = source[body : body + size]
            used, made, self._state = end, made + size, state
        return used, made


def records(*payloads: bytes, sealer: PlainSealer | None = None) -> bytes:
    """What a sealer, a new one unless it is given, makes of these payloads."""
    sealer = sealer or PlainSealer()
    made = b""
    for payload in payloads:
        target = bytearray(sealer.room(len(payload)))
        made += target[: sealer.seal_into(payload, memoryview(target))]
    return made
