"""A Stream in memory: two ends, and what is sent at one is received at the other.

The knobs make a network's moods repeatable: `chunk` splits what is received, `capacity` is all that a slow reader lets
the other side send before it has to wait.
"""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import CloseReason, StreamClosed
from gproxy.base.iface import Buffer, Record
from gproxy.rt.sync import Event

DEFAULT_CAPACITY = 1 << 20


class _Lane:
    """One direction: at most `capacity` bytes on their way, handed out in pieces of at most `chunk`."""

    __slots__ = ("arrived", "capacity", "chunk", "data", "drained", "ended", "read_error", "write_error")

    def __init__(self, chunk: int, capacity: int) -> None:
        self.chunk = chunk
        self.capacity = capacity
        self.data = bytearray()
        self.ended = False  # no more will be sent
        self.read_error: StreamClosed | None = None
        self.write_error: StreamClosed | None = None
        # One event for each side: a waiter clears its own just before it waits, and so can't lose the other's wake-up.
        self.arrived = Event()
        self.drained = Event()

    def receive(self) -> bytes:
        while not self.data:
            if self.read_error is not None:
                raise self.read_error
            if self.ended:
                return b""
            self.arrived.clear()
            self.arrived.wait()
        if self.read_error is not None:
            raise self.read_error
        size = self.chunk or len(self.data)
        piece = bytes(self.data[:size])
        del self.data[:size]
        self.drained.set()
        return piece

    def send(self, data: Buffer) -> None:
        left = bytes(data)
        while True:
            if self.write_error is not None:
                raise self.write_error
            room = self.capacity - len(self.data)
            self.data += left[:room]
            left = left[room:]
            self.arrived.set()
            if not left:
                return
            self.drained.clear()
            self.drained.wait()

    def _wake(self) -> None:
        self.arrived.set()
        self.drained.set()

    def finish(self) -> None:
        """No more will be sent; what is on its way arrives."""
        self.ended = True
        self.write_error = self.write_error or _closed("closed here", "local")
        self._wake()

    def give_up_reading(self) -> None:
        """The reader has closed: its own calls fail as local, the writer's as reset."""
        self.read_error = self.read_error or _closed("closed here", "local")
        self.write_error = self.write_error or _closed("the peer has closed", "reset")
        self.data.clear()
        self._wake()

    def reset(self) -> None:
        """The writer has reset the connection: what is on its way is lost."""
        self.data.clear()
        self.read_error = self.read_error or _closed("reset by the peer", "reset")
        self.finish()


def _closed(message: str, reason: CloseReason) -> StreamClosed:
    return StreamClosed(message, reason=reason)


class PipeEnd:
    """One end of a pipe; see Stream. `closed` and `aborted` tell what its owner did with it."""

    def __init__(self, incoming: _Lane, outgoing: _Lane, bound: Address | None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._bound = bound
        self.closed = False
        self.aborted = False

    def recv(self) -> bytes:
        """See Stream."""
        return self._incoming.receive()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        self._outgoing.send(data)

    def close_write(self) -> None:
        """See Stream."""
        self._outgoing.finish()

    def close(self) -> None:
        """See Stream."""
        self.closed = True
        self._outgoing.finish()
        self._incoming.give_up_reading()

    def abort(self) -> None:
        """See Stream."""
        if not self.closed:
            self.aborted = True
            self._outgoing.reset()
            self.close()

    def take(self) -> bytes:
        """See Stream: nothing is read ahead here."""
        return b""

    def bare(self) -> int | None:
        """See Stream: there is no descriptor."""
        return None

    def record(self) -> Record | None:
        """See Stream: nothing is sealed."""
        return None

    def held(self) -> bool:
        """See Stream."""
        return False

    def bound(self) -> Address | None:
        """See Stream: what the pipe was made with."""
        return self._bound

    @property
    def unread(self) -> bytes:
        """What has arrived and was not received yet."""
        return bytes(self._incoming.data)


def pipe(*, chunk: int = 0, capacity: int = DEFAULT_CAPACITY, bound: Address | None = None) -> tuple[PipeEnd, PipeEnd]:
    """Two ends, near and far. `chunk` > 0: each `recv` at either end gives at most that many bytes.

    `capacity`: how many bytes may be on their way in one direction before `sendall` waits. `bound`: what the near end
    says is its own address.
    """
    there, back = _Lane(chunk, capacity), _Lane(chunk, capacity)
    return PipeEnd(back, there, bound), PipeEnd(there, back, None)
