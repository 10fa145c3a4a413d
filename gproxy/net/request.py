"""One HTTP/1.1 request on a stream of its own, and the answer to it, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.base.iface import Stream
from gproxy.net.buffered import Buffered
from gproxy.wire.http1.body import Body, response_body
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_response
from gproxy.wire.http1.location import Location

_MOST_INTERIM: Final = 8  # answers such as 100 before the one that counts


class Answer:
    """What a server has answered. The stream stays its owner's to close."""

    def __init__(self, stream: Buffered, head: ResponseHead, method: bytes) -> None:
        self.head = head
        self._stream = stream
        self._body: Body = response_body(head, method, bare=True)

    def field(self, name: bytes) -> str:
        """The last value of a field, whose name is given in small letters; empty if there is none."""
        values = self.head.fields.values(name)
        return values[-1].decode("latin-1") if values else ""

    def pieces(self) -> Iterator[bytes]:
        """The body, as it comes. Raises ProtocolError, with the reason `truncated` for one that is cut off, and
        StreamClosed.
        """
        while not self._body.complete:
            data = self._stream.recv()
            if not data:
                if not self._body.whole_at_end():
                    raise ProtocolError("an answer that was cut off", reason="truncated")
                return
            yield self._body.feed(data)[0]

    def read(self, most: int) -> bytes:
        """The whole body. Raises TooLarge when it has more than `most` bytes, and what `pieces` raises."""
        read = bytearray()
        for piece in self.pieces():
            read += piece
            if len(read) > most:
                raise TooLarge(f"an answer of more than {most} bytes", reason="body")
        return bytes(read)


def request(stream: Stream, method: str, location: Location, fields: Mapping[str, str], body: bytes = b"") -> Answer:
    """Ask, and wait for the head of the answer. `fields` come after Host, and say who is asking.

    Raises ProtocolError for what is no answer, and StreamClosed.
    """
    lines = Fields([])
    lines.add(b"Host", location.authority.encode())
    for name, value in fields.items():
        lines.add(name.encode(), value.encode())
    if body:
        lines.add(b"Content-Length", b"%d" % len(body))
    lines.add(b"Connection", b"close")
    stream.sendall(RequestHead(method.encode(), location.target.encode(), 1, lines).encode() + body)
    buffered = Buffered(stream)
    for _ in range(_MOST_INTERIM):
        head = buffered.decode(decode_response, MAX_HEAD)
        if head.status >= 200:
            return Answer(buffered, head, method.encode())
    raise ProtocolError("an answer that does not come to its point")
