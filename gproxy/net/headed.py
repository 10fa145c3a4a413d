"""A request head that leaves together with the first payload: one segment for both, and no tell-tale first one."""

from __future__ import annotations

import contextlib

from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Record, Stream
from gproxy.net.around import Around


class Headed(Around):
    """A stream with something to say first. It is said with the first payload, or before waiting for the peer."""

    __slots__ = ("_head",)

    def __init__(self, inner: Stream, head: bytes) -> None:
        super().__init__(inner)
        self._head = head

    def recv(self) -> bytes:
        """See Stream."""
        if self._head:
            self.sendall(b"")
        return self._inner.recv()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if self._head:
            head, self._head = self._head, b""
            data = b"".join((head, data))
        self._inner.sendall(data)

    def close_write(self) -> None:
        """See Stream. The head goes first."""
        if self._head:
            with contextlib.suppress(StreamClosed):  # nobody is left to hear it
                self.sendall(b"")
        self._inner.close_write()

    def bare(self) -> int | None:
        """See Stream: once the head is said."""
        return None if self._head else self._inner.bare()

    def record(self) -> Record | None:
        """See Stream: once the head is said."""
        return None if self._head else self._inner.record()

    def held(self) -> bool:
        """See Stream."""
        return bool(self._head) or self._inner.held()
