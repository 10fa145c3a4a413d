from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.rt.group import Group
from gproxy.service import http
from gproxy.service.http import MOST, Answer, Request, serve
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


class Said:
    """One client's words, and what came back."""

    def __init__(self, *pieces: bytes, answer: Answer | None = None, end: bool = True) -> None:
        self.asked: list[Request] = []
        self.error: Exception | None = None
        client, server = pipe()

        def handle(request: Request) -> Answer:
            self.asked.append(request)
            return answer or Answer(204)

        def run() -> None:
            try:
                serve(server, handle)
            except (ProtocolError, StreamClosed) as error:
                self.error = error
            finally:
                server.close()

        with Group("test") as group:
            group.spawn(run)
            for piece in pieces:
                client.sendall(piece)
            if end:
                client.close_write()
            self.heard = b""
            while data := client.recv():
                self.heard += data
            client.close()
            assert group.join(30)

    @property
    def status(self) -> int:
        return int(self.heard.split(b" ", 2)[1])


HOST = b"Host: localhost\r\n"


def test_a_request_and_its_answer() -> None:
    said = Said(
        b"POST /a%20b//c?x=1&x=2&y= HTTP/1.1\r\n" + HOST + b'Content-Length: 7\r\n\r\n{"a":1}',
        answer=Answer.of_json({"ü": [1, 2]}),
    )
    [request] = said.asked
    assert (request.method, request.parts) == ("POST", ["a b", "c"])
    assert request.query == {"x": ["1", "2"], "y": [""]}
    assert request.json() == {"a": 1}
    head, _, body = said.heard.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Cache-Control: no-store",
        b"Content-Length: 13",
        b"Connection: close",
    ]
    assert body == '{"ü":[1,2]}\n'.encode()


def test_a_request_in_pieces_and_in_chunks() -> None:
    whole = b"PUT / HTTP/1.1\r\n" + HOST + b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    said = Said(*(whole[at : at + 1] for at in range(len(whole))))
    assert said.asked[0].json() == {"a": 1}
    assert said.heard == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def test_who_asks_before_sending_is_told_to_go_on() -> None:
    said = Said(
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", b"{}", answer=Answer(201)
    )
    assert said.heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET http://localhost/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 501),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (MOST + 1) + b"x" * (MOST + 1), 413),
    ],
)
def test_what_is_no_request(words: bytes, status: int) -> None:
    said = Said(words)
    assert said.status == status
    assert said.asked == []
    assert isinstance(said.error, ProtocolError)


@pytest.mark.parametrize("words", [b"", b"GET / HT", b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{}"])
def test_half_a_request_gets_no_answer(words: bytes) -> None:
    said = Said(words)
    assert (said.heard, said.asked) == (b"", [])
    assert isinstance(said.error, ProtocolError)


def test_a_web_page_is_refused() -> None:
    """It could make its visitor's browser send this, and would not need the answer."""
    said = Said(b"POST / HTTP/1.1\r\n" + HOST + b"Origin: https://example.com\r\nContent-Length: 2\r\n\r\n{}")
    assert said.status == 403
    assert said.asked == []


POST = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n{"


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\n", POST])
def test_nobody_is_waited_for_for_ever(words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PATIENCE", 0.05)
    said = Said(words, end=False)
    assert isinstance(said.error, ProtocolError)
    assert said.error.reason == "timeout"


def test_who_does_not_take_his_answer_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PATIENCE", 0.1)
    client, server = pipe()
    failed: list[StreamClosed] = []

    def run() -> None:
        try:
            serve(server, lambda request: Answer(200, bytes(64 << 20)))
        except StreamClosed as error:
            failed.append(error)

    with Group("test") as group:
        group.spawn(run)
        client.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        assert group.join(30)
    assert [error.reason for error in failed] == ["timeout"]
    server.close()
    client.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"x"', b"\xff", b"[" * 50000])
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        Request("POST", [], {}, body).json()


def test_the_fields_are_told_and_who_has_to_prove_himself() -> None:
    said = Said(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: a/b\r\n\r\n", answer=Answer(401, challenge="Bearer"))
    assert said.asked[0].fields.values(b"accept") == [b"a/b"]
    assert b"\r\nWWW-Authenticate: Bearer\r\n" in said.heard
