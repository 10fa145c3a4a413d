"""Which side of a relay speaks first: asked only where the client has let its server, or seems to."""

from __future__ import annotations

from gproxy.base.defaults import FIRST_WORD
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Record, Stream
from gproxy.net.buffered import Buffered
from gproxy.relay.terms import Side
from gproxy.rt.deadline import Cancel, deadline
from gproxy.rt.group import Group


class Listened(Buffered):
    """A stream that was listened to. What it has said stays ahead in it, and what has broken it is told again."""

    __slots__ = ("_broken",)

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self._broken: StreamClosed | None = None

    def listen(self) -> bool:
        """Wait for its next bytes, or its end; whether there are some."""
        try:
            if self.held():
                self.sendall(b"")
            return bool(self.peek())
        except StreamClosed as error:
            self._broken = error
            return False

    def give_up(self, why: StreamClosed) -> None:
        """From now on this is what reading meets."""
        self._broken = why

    def recv(self) -> bytes:
        """See Stream."""
        if self._broken is not None:
            raise self._broken
        return super().recv()

    def bare(self) -> int | None:
        """See Stream."""
        return None if self._broken is not None else super().bare()

    def record(self) -> Record | None:
        """See Stream."""
        return None if self._broken is not None else super().record()


class _Silence(Exception):
    """Nobody has said anything for long enough."""


class FirstWord:
    """Waits for the first word of either side."""

    __slots__ = ("_over", "first", "left", "right")

    def __init__(self, left: Stream, right: Stream) -> None:
        self.left = Listened(left)
        self.right = Listened(right)
        self.first: Side = ""  # who has spoken
        self._over = Cancel()

    def wait(self) -> None:
        """Until one side speaks or ends, or for FIRST_WORD. From then on, the sides are `left` and `right`.

        If the session is ended from outside meanwhile, `left` tells the relay.
        """
        try:
            with Group("first word") as listeners, self._over, deadline(FIRST_WORD, _Silence()):
                listeners.spawn(self._listen, self.right, "right")
                listeners.spawn(self._listen, self.left, "left")
                listeners.join()
        except _Silence:
            return
        except StreamClosed as asked:
            self.left.give_up(asked)

    def _listen(self, stream: Listened, side: Side) -> None:
        if stream.listen():
            self.first = self.first or side
        self._over.fire()
