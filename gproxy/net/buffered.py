"""Reading a handshake from a stream, and then getting out of the way."""

from __future__ import annotations

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.base.iface import Buffer, Record, Stream
from gproxy.wire.cursor import Cursor, Decode, Incomplete, T


class Buffered:
    """A stream with bytes read ahead. Nothing is lost between `decode`, `peek` and `recv`."""

    __slots__ = ("_ahead", "inner")

    def __init__(self, inner: Stream, ahead: bytes = b"") -> None:
        self.inner = inner
        self._ahead = ahead

    def decode(self, decode: Decode[T], limit: int) -> T:
        """Read until `decode` is satisfied, and keep what it did not use.

        Raises TooLarge when it wants more than `limit` bytes, ProtocolError when it says so or the stream ends inside
        the message, and StreamClosed.
        """
        if not self._ahead:
            self._more(limit)
        while True:
            cursor = Cursor(self._ahead)
            try:
                value = decode(cursor)
            except Incomplete:
                self._more(limit)
                continue
            self._ahead = self._ahead[cursor.at :]
            return value

    def _more(self, limit: int) -> None:
        if len(self._ahead) >= limit:
            raise TooLarge(f"a handshake message of more than {limit} bytes")
        data = self.inner.recv()
        if not data:
            raise ProtocolError(
                "the stream ended inside the handshake" if self._ahead else "the stream ended before it began",
                reason="truncated" if self._ahead else "empty",
            )
        self._ahead = self._ahead + data if self._ahead else data

    def unread(self, data: bytes) -> None:
        """Put back what was received and belongs to what follows."""
        self._ahead = data + self._ahead if self._ahead else data

    @property
    def ahead(self) -> bytes:
        """What is read ahead, without reading anything."""
        return self._ahead

    def more(self) -> bytes:
        """Read once, and keep it too. What that was; empty = the end. Raises StreamClosed."""
        data = self.inner.recv()
        self._ahead = self._ahead + data if self._ahead else data
        return data

    def peek(self) -> bytes:
        """What is read ahead, after reading something if that was nothing; empty = the end."""
        if not self._ahead:
            self._ahead = self.inner.recv()
        return self._ahead

    def recv(self) -> bytes:
        """See Stream."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        return self.inner.recv()

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        self.inner.sendall(data)

    def close_write(self) -> None:
        """See Stream."""
        self.inner.close_write()

    def close(self) -> None:
        """See Stream."""
        self.inner.close()

    def abort(self) -> None:
        """See Stream."""
        self.inner.abort()

    def take(self) -> bytes:
        """See Stream."""
        ahead, self._ahead = self._ahead, b""
        return ahead + self.inner.take() if ahead else self.inner.take()

    def bare(self) -> int | None:
        """See Stream."""
        return None if self._ahead else self.inner.bare()

    def record(self) -> Record | None:
        """See Stream."""
        return None if self._ahead else self.inner.record()

    def held(self) -> bool:
        """See Stream."""
        return self.inner.held()

    def bound(self) -> Address | None:
        """See Stream."""
        return self.inner.bound()
