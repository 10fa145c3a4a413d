"""Datagrams as frames on one stream, for every protocol that carries them so."""

from __future__ import annotations

from abc import ABC, abstractmethod

from gproxy.base.address import Address
from gproxy.base.defaults import LINGER, MAX_DATAGRAM
from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, Stream
from gproxy.rt.crew import launch
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Event, sleep
from gproxy.wire.cursor import Cursor, Incomplete

# Datagrams that wait for the stream: what comes on top is lost, as in a socket's buffer. One client's full inbox fits.
_MOST_WAITING = 1 << 20

# From so much on the writer gets its turn before more is added: a busy sender may not switch by itself.
_TURN = 64 * 1024


class Packeted(ABC):
    """See PacketConn. Sending never waits for the peer: what the stream does not take in time is lost.

    A writer of its own sends what has gathered since its last turn. So a burst leaves in one piece, and whoever sends
    can be interrupted without leaving half a frame behind. In the client direction the first datagram leaves together
    with the request, and nothing is read before that.

    A protocol says how its frames look: an address, a length, the datagram.
    """

    __slots__ = (
        "_at", "_called", "_closed", "_data", "_name", "_name_of", "_sending", "_size", "_spoke", "_stream", "_waiting",
    )  # fmt: skip

    def __init__(self, stream: Stream, *, request: bytes | None = None) -> None:
        """`request`: client direction, what goes before the first frame."""
        self._stream = stream
        self._data: bytes | bytearray = b""  # what was read; from `_at` on it is not given out yet
        self._at = 0
        self._waiting: list[bytes] = []
        self._size = 0
        self._called = False  # the writer's turn will come
        self._sending = False  # it is the writer's turn
        self._closed: CloseReason | None = None
        self._spoke: Event | None = None
        if request is not None:
            self._spoke = Event()
            self._waiting.append(request)
        # Datagrams come in runs from the same address object, so the last one's bytes are kept.
        self._name_of: Address | None = None
        self._name = b""

    @abstractmethod
    def _decode(self, cursor: Cursor) -> tuple[bytes, Address]:
        """Read a frame. Raises Incomplete and ProtocolError."""

    @abstractmethod
    def _encode_address(self, address: Address) -> bytes:
        """What stands in a frame before its length."""

    def _encode_length(self, size: int) -> bytes:
        """What stands in a frame before its datagram."""
        return size.to_bytes(2, "big")

    def _carries(self, address: Address) -> bool:
        """Whether datagrams to or from `address` are for this stream; others are lost. Raises DialError."""
        return True

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn. A frame that can't be right ends it as `corrupt`, an end inside a frame as `truncated`."""
        while True:
            if self._closed is not None:
                raise _over(self._closed)
            if self._at < len(self._data):
                cursor = Cursor(self._data, self._at)
                try:
                    frame = self._decode(cursor)
                except Incomplete:
                    pass
                except ProtocolError as error:
                    self._end("corrupt")
                    raise StreamClosed(f"not a datagram's frame: {error}", reason="corrupt") from error
                else:
                    self._at = cursor.at
                    return frame
            self._more()

    def _more(self) -> None:
        """Read more. Whatever interrupts it, nothing is lost."""
        if self._spoke is not None and not self._spoke.is_set():
            self._spoke.wait()
            return
        more = self._stream.recv()
        data, at = self._data, self._at
        if not more:
            raise _over("truncated" if at < len(data) else "eof")
        if at == len(data):
            self._data = more
        elif isinstance(data, bytearray):
            del data[:at]
            data += more
        else:
            self._data = bytearray(data[at:]) + more
        self._at = 0

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn."""
        if self._size > _TURN:
            sleep(0)
        if self._closed is not None:
            raise _over(self._closed)
        size = len(data)
        if size > MAX_DATAGRAM or self._size > _MOST_WAITING or not self._carries(to):
            return
        if to is not self._name_of:
            self._name = self._encode_address(to)
            self._name_of = to
        self._waiting += (self._name + self._encode_length(size), bytes(data))
        self._size += size
        if not (self._called or self._sending):
            self._called = True
            launch(self._write)

    def _write(self) -> None:
        """The writer's turn. It is called from the hub, so it never raises."""
        self._called, self._sending = False, True
        try:
            if self._closed is None:
                self._send_waiting()
            else:
                with deadline(LINGER, StreamClosed("closed before all was sent", reason="timeout")):
                    self._send_waiting()
        except StreamClosed as error:
            self._end(error.reason)  # type: ignore[arg-type]  # StreamClosed takes no other reasons
        self._sending = False
        if self._spoke is not None:
            self._spoke.set()
        if self._closed is not None:
            self._stream.close()

    def _send_waiting(self) -> None:
        while self._waiting:
            frames, self._waiting, self._size = self._waiting, [], 0
            self._stream.sendall(b"".join(frames))

    def close(self) -> None:
        """See PacketConn. What was sent just before still leaves, if the stream takes it soon."""
        self._end("local")

    def _end(self, reason: CloseReason) -> None:
        if self._closed is None:
            self._closed = reason
        if self._spoke is not None:
            self._spoke.set()
        if not self._called:
            self._stream.close()


def _over(reason: CloseReason) -> StreamClosed:
    return StreamClosed("the datagrams' stream is over", reason=reason)
