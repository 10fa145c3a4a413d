"""The padding of a link: the first pieces each way come with junk, so that their lengths tell nothing.

+--------+-----------+--------+-----------+
| size   | junk size | data   | junk      |
+--------+-----------+--------+-----------+
|   2    |     2     |  size  | junk size |

Each of the first 16 pieces in a direction looks like this; then there are none any more.
"""

from __future__ import annotations

import secrets
from struct import Struct
from typing import Final

from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Record, Stream
from gproxy.net.around import Around
from gproxy.wire.mux import PADDED_PIECES

_HEADER: Final = Struct(">HH")
_MOST: Final = 65535

# As sing-mux does it.
_LEAST_JUNK: Final = 256
_JUNK: Final = 512


def junk_size() -> int:
    """How many octets of junk come with the next piece. They are zeros, which TLS or Shadowsocks encrypt."""
    return _LEAST_JUNK + secrets.randbelow(_JUNK)


class Padded(Around):
    """A stream whose first pieces are padded in both directions."""

    __slots__ = ("_data_left", "_header", "_junk_left", "_to_read", "_to_write", "_unread")

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self._to_read = PADDED_PIECES  # pieces whose beginning is still to come
        self._to_write = PADDED_PIECES
        self._header = b""  # as far as it has come
        self._data_left = 0
        self._junk_left = 0
        self._unread = b""

    def recv(self) -> bytes:
        """See Stream. An end inside a piece ends it as `truncated`."""
        while self._padding or self._unread:
            data = self._unread or self._inner.recv()
            self._unread = b""
            if not data:
                if self._whole:
                    return b""
                raise StreamClosed("the stream ended inside its padding", reason="truncated")
            if payload := self._strip(data):
                return payload
        return self._inner.recv()

    @property
    def _padding(self) -> bool:
        return bool(self._to_read or self._data_left or self._junk_left)

    @property
    def _whole(self) -> bool:
        return not (self._header or self._data_left or self._junk_left)

    def _strip(self, data: bytes) -> bytes:
        """The next payload of it; the rest is put aside."""
        at, size = 0, len(data)
        while at < size:
            if self._data_left:
                end = min(at + self._data_left, size)
                self._data_left -= end - at
                self._unread = data[end:]
                return data[at:end]
            if self._junk_left:
                skipped = min(self._junk_left, size - at)
                self._junk_left -= skipped
                at += skipped
            elif self._to_read:
                more = data[at : at + _HEADER.size - len(self._header)]
                self._header += more
                at += len(more)
                if len(self._header) == _HEADER.size:
                    self._data_left, self._junk_left = _HEADER.unpack(self._header)
                    self._header = b""
                    self._to_read -= 1
            else:
                return data[at:]
        return b""

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if not self._to_write or not len(data):
            self._inner.sendall(data)
            return
        pieces: list[bytes] = []
        with memoryview(data) as view:
            at = 0
            while at < len(view) and self._to_write:
                piece = bytes(view[at : at + _MOST])
                junk = junk_size()
                pieces += (_HEADER.pack(len(piece), junk), piece, bytes(junk))
                at += len(piece)
                self._to_write -= 1
            pieces.append(bytes(view[at:]))
        self._inner.sendall(b"".join(pieces))

    def take(self) -> bytes:
        """See Stream."""
        if not (self._padding or self._unread):
            return self._inner.take()
        data = self._unread + self._inner.take()
        self._unread = b""
        payload = b""
        while data:
            if not self._padding:
                return payload + data
            payload += self._strip(data)
            data, self._unread = self._unread, b""
        return payload

    def bare(self) -> int | None:
        """See Stream: never."""
        return None

    def record(self) -> Record | None:
        """See Stream: never."""
        return None
