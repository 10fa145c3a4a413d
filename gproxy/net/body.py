"""The body of an HTTP/1.1 request, read whole."""

from __future__ import annotations

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.net.buffered import Buffered
from gproxy.wire.http1 import Body, Chunked, RequestHead, request_body


def read_body(client: Buffered, head: RequestHead, most: int) -> bytes:
    """The octets, without the framing of chunks; what comes behind them stays in `client`.

    A client that waits for leave to send it gets that. Raises TooLarge (`body`) for more than `most` octets,
    ProtocolError for what is no body or is cut off (`truncated`), and StreamClosed.
    """
    body: Body = request_body(head)
    if body.complete:
        return b""
    if isinstance(body, Chunked):
        body = Chunked(bare=True)
    if b"100-continue" in head.fields.options(b"expect"):
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    read = b""
    while not body.complete:
        data = client.recv()
        if not data:
            raise ProtocolError("the stream ended inside the body", reason="truncated")
        more, rest = body.feed(data)
        read += more
        if len(read) > most:
            raise TooLarge(f"a body of more than {most} bytes", reason="body")
        if rest:
            client.unread(rest)
    return read
