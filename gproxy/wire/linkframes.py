"""What smux and yamux have in common: frames of a header of fixed size and a payload, and numbers for streams.

+--------+---------+
| header | payload |
+--------+---------+
| fixed  | its     |
| size   | length  |

Payloads are given on as they come, so a frame's length needs no bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct
from typing import Any, ClassVar

from gproxy.base.errors import Overloaded
from gproxy.base.iface import Buffer, Happened


class LinkFrames(ABC):
    """The part of a Multiplexer that takes frames apart and puts them together. It knows no heads of streams."""

    __slots__ = ("_frames", "_left", "_next", "_partial", "_said", "_target")

    name: ClassVar[str]
    header: ClassVar[Struct]
    last: ClassVar[int]  # the largest number of a stream
    most: ClassVar[int]  # octets that we put into one frame

    def __init__(self, first: int) -> None:
        """`first`: the number of our first stream."""
        self._next = first
        self._frames: list[bytes] = []
        self._said = 0  # how many of them are not data
        self._partial = b""  # of a header
        self._left = 0  # octets of a payload that are still to come
        self._target = 0  # and whose they are; 0: nobody's

    def feed(self, data: bytes, /) -> Sequence[Happened]:
        """See Multiplexer."""
        happened: list[Happened] = []
        header = self.header
        at, size = 0, len(data)
        while at < size:
            if self._left:
                end = min(at + self._left, size)
                self._payload(data[at:end] if self._target else b"", end - at, happened)
                at = end
            elif self._partial or size - at < header.size:
                piece = data[at : at + header.size - len(self._partial)]
                self._partial += piece
                at += len(piece)
                if len(self._partial) == header.size:
                    whole, self._partial = self._partial, b""
                    self._frame(header.unpack(whole), happened)
            else:
                self._frame(header.unpack_from(data, at), happened)
                at += header.size
        return happened

    @abstractmethod
    def _frame(self, header: tuple[int, ...], happened: list[Happened]) -> None:
        """A header has come. If a payload follows, `_left` and `_target` are to say so. Raises ProtocolError."""

    def _payload(self, piece: bytes, size: int, happened: list[Happened]) -> None:
        """So many octets of the payload have come; they are nobody's if the piece is empty."""
        self._left -= size
        if piece:
            happened.append(Happened("data", self._target, piece))

    def _put(self, *header: int) -> None:
        """Queue a frame without a payload."""
        self._said += 1
        self._frames.append(self.header.pack(*header))

    def _put_data(self, stream: int, data: Buffer) -> None:
        """Queue frames with all of the data."""
        size = len(data)
        add = self._frames.append
        if size <= self.most:
            if size:
                add(self._data_header(stream, size))
                add(data if type(data) is bytes else bytes(data))
            return
        with memoryview(data) as view:
            for at in range(0, size, self.most):
                piece = bytes(view[at : at + self.most])
                add(self._data_header(stream, len(piece)))
                add(piece)

    @abstractmethod
    def _data_header(self, stream: int, size: int) -> bytes:
        """What stands before so many octets of a stream."""

    @property
    def due(self) -> bool:
        """See Multiplexer."""
        return bool(self._frames)

    def drain(self) -> bytes:
        """See Multiplexer."""
        frames, self._frames = self._frames, []
        self._said = 0
        return b"".join(frames)

    def _number(self) -> int:
        """The number of a new stream of ours. Raises Overloaded."""
        number = self._next
        if number > self.last:
            raise Overloaded(f"this {self.name} link has no numbers left")
        self._next += 2
        return number

    def answer(self, stream: int, head: Any, /) -> None:  # noqa: B027 - there is nothing to do
        """See Multiplexer: there is no head."""
