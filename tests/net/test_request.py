from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.net.request import Answer, request
from gproxy.wire.http1.location import Location
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

PAGE = Location.parse("http://site.test:81/a?b")


def answered(said: bytes, method: str = "GET", body: bytes = b"") -> tuple[Answer, bytes]:
    """What was answered, and what the server has heard."""
    near, far = pipe()
    far.sendall(said)
    far.close_write()
    answer = request(near, method, PAGE, {"User-Agent": "x", "Accept": "*/*"}, body)
    near.close_write()
    heard = b""
    while data := far.recv():
        heard += data
    return answer, heard


def test_what_is_said() -> None:
    answer, heard = answered(
        b"HTTP/1.1 201 Created\r\nETag: a\r\nEtag: b\r\nContent-Length: 2\r\n\r\nok", "PUT", b"body"
    )
    assert heard == (
        b"PUT /a?b HTTP/1.1\r\nHost: site.test:81\r\nUser-Agent: x\r\nAccept: */*\r\nContent-Length: 4\r\n"
        b"Connection: close\r\n\r\nbody"
    )
    assert (answer.head.status, answer.field(b"etag"), answer.field(b"age")) == (201, "b", "")
    assert b"".join(answer.pieces()) == b"ok"


@pytest.mark.parametrize(
    ("said", "method", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", "GET", b"abcd"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", "GET", b"until the end"),
        (b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "GET", b"x"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", b""),
    ],
)
def test_bodies(said: bytes, method: str, body: bytes) -> None:
    assert answered(said, method)[0].read(len(body)) == body


def test_too_much() -> None:
    with pytest.raises(TooLarge) as caught:
        answered(b"HTTP/1.0 200 OK\r\n\r\n12345")[0].read(4)
    assert caught.value.word == "limit-body"


@pytest.mark.parametrize("head", [b"Content-Length: 5\r\n\r\nhel", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"])
def test_a_body_that_was_cut_off(head: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        answered(b"HTTP/1.1 200 OK\r\n" + head)[0].read(100)
    assert caught.value.word == "protocol-truncated"


@pytest.mark.parametrize("said", [b"", b"220 mail\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n" * 9])
def test_what_is_no_answer(said: bytes) -> None:
    with pytest.raises(ProtocolError):
        answered(said)
