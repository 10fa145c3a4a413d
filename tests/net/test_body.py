from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.net.body import read_body
from gproxy.net.buffered import Buffered
from gproxy.wire.http1 import MAX_HEAD, decode_request
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def posted(fields: str, body: bytes, chunk: int = 0, most: int = 8) -> tuple[bytes, bytes, bytes]:
    """What was read, what came behind it, and what the client was told."""
    near, far = pipe(chunk=chunk)
    far.sendall(f"POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode() + body)
    far.close_write()
    client = Buffered(near)
    read = read_body(client, client.decode(decode_request, MAX_HEAD), most)
    behind = b""
    while data := client.recv():
        behind += data
    near.close_write()
    told = b""
    while data := far.recv():
        told += data
    return read, behind, told


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize(
    ("fields", "body", "read", "behind"),
    [
        ("X: y", b"next", b"", b"next"),
        ("Content-Length: 0", b"next", b"", b"next"),
        ("Content-Length: 4", b"bodynext", b"body", b"next"),
        ("Content-Length: 8", b"12345678", b"12345678", b""),
        ("Transfer-Encoding: chunked", b"3\r\nbod\r\n1\r\ny\r\n0\r\n\r\nnext", b"body", b"next"),
    ],
)
def test_bodies(fields: str, body: bytes, read: bytes, behind: bytes, chunk: int) -> None:
    assert posted(fields, body, chunk) == (read, behind, b"")


def test_leave_to_send_it() -> None:
    assert posted("Expect: 100-continue\r\nContent-Length: 1", b"x")[2] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert posted("Expect: 100-continue\r\nContent-Length: 0", b"")[2] == b""


@pytest.mark.parametrize("fields", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_too_much(fields: str) -> None:
    body = b"123456789" if "Length" in fields else b"9\r\n123456789\r\n"
    with pytest.raises(TooLarge, match="a body of more than 8 bytes") as caught:
        posted(fields, body)
    assert caught.value.reason == "body"


@pytest.mark.parametrize("fields", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_cut_off(fields: str) -> None:
    with pytest.raises(ProtocolError, match="the stream ended inside the body") as caught:
        posted(fields, b"4\r\n1")
    assert caught.value.reason == "truncated"
