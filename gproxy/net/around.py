"""A stream around another one, that says all as that one does: a base for those that change one thing."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.iface import Buffer, Record, Stream


class Around:
    """See Stream, of which this passes on every promise."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Stream) -> None:
        self._inner = inner

    @property
    def beneath(self) -> Stream:
        """The stream that this one is around."""
        return self._inner

    def recv(self) -> bytes:
        """See Stream."""
        return self._inner.recv()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        self._inner.sendall(data)

    def close_write(self) -> None:
        """See Stream."""
        self._inner.close_write()

    def close(self) -> None:
        """See Stream."""
        self._inner.close()

    def abort(self) -> None:
        """See Stream."""
        self._inner.abort()

    def take(self) -> bytes:
        """See Stream."""
        return self._inner.take()

    def bare(self) -> int | None:
        """See Stream."""
        return self._inner.bare()

    def record(self) -> Record | None:
        """See Stream."""
        return self._inner.record()

    def held(self) -> bool:
        """See Stream."""
        return self._inner.held()

    def bound(self) -> Address | None:
        """See Stream."""
        return self._inner.bound()
