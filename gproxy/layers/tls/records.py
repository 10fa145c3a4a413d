"""A TLS session as a pair of a Sealer and an Opener: RFC 8446 section 5.

+--------------+---------------------+------------+-----------------
| content type | version (0x0303)    | length     | fragment
+--------------+---------------------+------------+-----------------
|      1       |         2           |     2      | at most 2^14 + 256 (TLS 1.2: + 2048)

OpenSSL gets complete records only. So an idle session holds no half of one, and what was read ahead of the handshake's
end is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer
from gproxy.layers.tls.bindings import Pipes, TlsFault

HEAD: Final = 5
_HEAD: Final = Struct(">BBxH")
MOST: Final = (1 << 14) + 2048
"""Bytes of the longest fragment."""

# Payload that is sealed in one call. OpenSSL keeps the memory that this takes until it is told to shrink.
_BATCH: Final = 128 * 1024
_KEPT: Final = 16 * 1024

_PLAIN: Final = 1 << 14  # payload of one record
_OVERHEAD: Final = 64  # head, nonce, padding, tag of any suite

# What a session may have to say besides: answers to key updates, tickets, alerts.
_BESIDES: Final = 2048


def record_end(data: Buffer, at: int) -> int:
    """Where the record that begins at `at` ends; it may not be there yet. Raises ProtocolError for no record."""
    kind, major, length = _HEAD.unpack_from(data, at)
    if not 20 <= kind <= 24 or major != 3 or length > MOST:
        raise ProtocolError("not a TLS record", reason="tls")
    return at + HEAD + int(length)


def records_in(data: Buffer, most: int) -> int:
    """How many bytes the complete records have at the beginning, as far as `most` bytes can hold what is in them."""
    have, at = len(data), 0
    while at + HEAD <= have:
        end = record_end(data, at)
        most -= end - at - HEAD
        if end > have or most < 0:
            break
        at = end
    return at


class TlsSealer:
    """Payload into records (see Sealer)."""

    __slots__ = ("_pipes",)

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return size + (size // _PLAIN + 1) * _OVERHEAD + _BESIDES

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer. Raises ProtocolError when the session is broken."""
        pipes = self._pipes
        view = memoryview(source)
        made = 0
        try:
            for start in range(0, len(view), _BATCH):
                pipes.write(view[start : start + _BATCH])
                made += pipes.drain_into(target[made:])
            if len(view) > _KEPT:
                pipes.shrink()
        except TlsFault as error:
            raise ProtocolError(f"TLS: {error}", reason="tls") from error
        return made or pipes.drain_into(target)

    def seal_each(self, pieces: Sequence[bytes], /) -> bytes:
        """See Apart of `gproxy.net.framed`. Raises ProtocolError when the session is broken."""
        pipes = self._pipes
        try:
            for piece in pieces:
                if piece:
                    pipes.write(piece)
        except TlsFault as error:
            raise ProtocolError(f"TLS: {error}", reason="tls") from error
        return pipes.drain()


class TlsOpener:
    """Records into payload (see Opener)."""

    __slots__ = ("_pipes",)

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener. Raises ProtocolError, with OpenSSL's word for it."""
        pipes = self._pipes
        end = records_in(source, len(target))
        if not end:
            return 0, 0
        try:
            pipes.feed(source[:end])
            made = pipes.read_into(target)
        except TlsFault as error:
            raise ProtocolError(f"TLS: {error}", reason="tls") from error
        if pipes.waiting() > _BESIDES:
            raise ProtocolError("TLS: a peer that wants more answers than it takes", reason="tls")
        return end, made


class TlsEnding:
    """How a session says that no more will come (see Ending): close_notify."""

    __slots__ = ("_pipes", "_said")

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes
        self._said = False

    @property
    def heard(self) -> bool:
        """See Ending."""
        return self._pipes.over

    def say(self) -> bytes:
        """See Ending."""
        if self._said:
            return b""
        self._said = True
        return self._pipes.farewell()
