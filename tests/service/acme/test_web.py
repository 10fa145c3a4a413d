from __future__ import annotations

from collections.abc import Callable

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, GproxyError, ProtocolError, StreamClosed, TooLarge
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.layer import TlsServer
from gproxy.layers.tls.trust import Trust
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.service.acme import web as module
from gproxy.service.acme.web import Response, Web
from tests.layers.tls.lab import AUTHORITY, server
from tests.support.clock import START_WALL, HeldClock, held_clock
from tests.support.pipe import pipe
from tests.support.playbook import new_session

__all__ = ["held_clock"]

pytestmark = pytest.mark.usefixtures("no_leaks")

TRUST = Trust(AUTHORITY.chain.splitlines())


class Far:
    """A server on the other side of a pipe: what it heard, and what it answers in its own way."""

    def __init__(self, answer: Callable[[Stream], None], *, tls: TlsServer | None = None) -> None:
        self.dialled: list[Address] = []
        self.heard = b""
        self.group = Group("far")
        self._answer = answer
        self._tls = tls
        self.web = Web(self, TRUST)

    def dial(self, target: Address, session: Session) -> Stream:
        self.dialled.append(target)
        near, far = pipe()
        self.group.spawn(self._serve, far)
        return near

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        raise AssertionError("no datagrams")

    def _serve(self, far: Stream) -> None:
        try:
            if self._tls is not None:
                self._tls.accepting(lambda stream, _: self._talk(stream))(far, new_session())
            else:
                self._talk(far)
        except GproxyError:
            pass
        finally:
            far.close()

    def _talk(self, stream: Stream) -> None:
        while b"\r\n\r\n" not in self.heard:
            data = stream.recv()
            if not data:
                return
            self.heard += data
        self._answer(stream)

    def ask(
        self, url: str = "http://ca.test/dir?x=1", method: str = "GET", body: bytes = b"", **fields: str
    ) -> Response:
        with self.group:
            return self.web.ask(method, url, body, fields)


def says(*pieces: bytes) -> Callable[[Stream], None]:
    def answer(stream: Stream) -> None:
        for piece in pieces:
            stream.sendall(piece)

    return answer


def test_a_request_and_its_answer() -> None:
    far = Far(says(b"HTTP/1.1 201 Created\r\nReplay-Nonce: n1\r\nContent-Length: 5\r\n\r\nhel", b"lo"))
    found = far.ask(method="POST", body=b"body", Accept="x/y")
    assert found == Response(201, {"replay-nonce": "n1", "content-length": "5"}, b"hello")
    assert far.dialled == [Address("ca.test", 80)]
    head, _, body = far.heard.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[:2] == [b"POST /dir?x=1 HTTP/1.1", b"Host: ca.test"]
    assert lines[2].startswith(b"User-Agent: gproxy/")
    assert {b"Accept: x/y", b"Content-Length: 4", b"Connection: close"} <= set(lines)
    assert body == b"body"


def test_over_tls() -> None:
    far = Far(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), tls=server())
    assert far.ask("https://site.test:14000/dir").body == b"ok"
    assert far.dialled == [Address("site.test", 14000)]
    far.heard = b""
    assert far.ask("https://site.test:14000/dir").body == b"ok", "again, with the session of before"


def test_who_can_t_prove_its_name_hears_nothing() -> None:
    far = Far(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), tls=server())
    with pytest.raises(DialError):
        far.ask("https://other.test/dir", "POST", b"secret")
    assert far.heard == b""


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies(answer: bytes, body: bytes) -> None:
    assert Far(says(answer)).ask().body == body


def test_a_head_has_no_body() -> None:
    assert Far(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")).ask(method="HEAD").body == b""


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ProtocolError), (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ProtocolError),
        (b"220 mail\r\n\r\n", ProtocolError), (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ProtocolError),
        (b"HTTP/1.1 100 C\r\n\r\n" * 20, ProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + b"x" * 400_000, TooLarge),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400_000, TooLarge),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, TooLarge),
    ],
)  # fmt: skip
def test_answers_that_are_none(answer: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        Far(says(answer)).ask()


def test_a_slow_one_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    def drip(stream: Stream) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        Event().wait()

    with pytest.raises(DialError, match=r"ca.test: no answer in time"):
        Far(drip).ask()


def test_one_that_hangs_up() -> None:
    with pytest.raises((ProtocolError, StreamClosed)):
        Far(lambda stream: stream.abort()).ask()


@pytest.mark.parametrize("url", ["ftp://ca.test/x", "https://", "https://a b/x", "https://1.2.3.300/x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ProtocolError):
        Far(says()).ask(url)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0.0), ("120", 120.0), ("x", 0.0), ("-5", 0.0), ("9" * 50, 999999999.0),
     ("Sun, 15 Jun 2025 15:07:40 GMT", 60.0), ("Sun, 15 Jun 2003 15:07:40 GMT", 0.0), ("٣", 0.0)],
)  # fmt: skip
def test_when_to_ask_again(text: str, seconds: float, held_clock: HeldClock) -> None:
    assert START_WALL == 1_750_000_000
    assert Response(503, {"retry-after": text}, b"").retry_after() == seconds
