"""gproxy.service.rule_sets.download against servers of every kind, on pipes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, GproxyError, ProtocolError, StreamClosed, TooLarge
from gproxy.base.iface import PacketConn, Stream
from gproxy.base.session import Session
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.schema.tls import Authorities
from gproxy.service.rule_sets import download as module
from gproxy.service.rule_sets.download import Downloaded, NotThere, download
from gproxy.service.rule_sets.store import Facts
from tests.layers.tls.lab import AUTHORITY, NAME, server
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

URL = "http://lists.test/a.srs"
TRUSTED = Authorities(store="none", certificate=(AUTHORITY.chain,))
LONG = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nETag: "e"\r\nLast-Modified: Sat\r\n\r\ndata'


class Far:
    """Servers on the other side of pipes: each dial meets the next answer."""

    def __init__(self, *answers: bytes | Callable[[Stream], None], tls: bool = False) -> None:
        self._answers = list(answers)
        self._tls = tls
        self.dialled: list[str] = []
        self.heard: list[bytes] = []
        self.group = Group("far")

    def dial(self, target: Address, session: Session) -> Stream:
        self.dialled.append(str(target))
        near, far = pipe()
        self.group.spawn(self._serve, far, self._answers.pop(0))
        return near

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        raise AssertionError("no datagrams")

    def _serve(self, far: Stream, answer: bytes | Callable[[Stream], None]) -> None:
        try:
            if self._tls:
                server().accepting(lambda stream, _: self._talk(stream, answer))(far, new_session())
            else:
                self._talk(far, answer)
        except GproxyError:
            pass
        finally:
            far.close()

    def _talk(self, stream: Stream, answer: bytes | Callable[[Stream], None]) -> None:
        heard = b""
        while b"\r\n\r\n" not in heard:
            data = stream.recv()
            if not data:
                return
            heard += data
        self.heard.append(heard)
        if callable(answer):
            answer(stream)
        else:
            stream.sendall(answer)

    def get(self, url: str = URL, **facts: object) -> Downloaded:
        with self.group:
            return download(self, TRUSTED, Facts(url, **facts))  # type: ignore[arg-type]


def test_what_is_there():
    far = Far(LONG)
    assert far.get() == Downloaded(b"data", Facts(URL, '"e"', "Sat"))
    assert far.dialled == ["lists.test:80"]
    assert far.heard[0].startswith(b"GET /a.srs HTTP/1.1\r\nHost: lists.test\r\n")
    assert b"If-" not in far.heard[0]


def test_what_is_known_already():
    far = Far(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    found = far.get(etag='"e"', modified="Sat", asked=5.0)
    assert found == Downloaded(None, Facts(URL, '"e"', "Sat", 5.0))
    assert b'If-None-Match: "e"\r\n' in far.heard[0]
    assert b"If-Modified-Since: Sat\r\n" in far.heard[0]


def test_nothing_is_known_and_they_say_it_is():
    with pytest.raises(NotThere, match="says 304"):
        Far(b"HTTP/1.1 304 Not Modified\r\n\r\n").get()


def test_it_is_elsewhere():
    far = Far(b"HTTP/1.1 302 Found\r\nLocation: //other.test/b\r\n\r\n", b"HTTP/1.1 301 x\r\nLocation: c\r\n\r\n", LONG)
    assert far.get().facts.url == URL
    assert far.dialled == ["lists.test:80", "other.test:80", "other.test:80"]
    assert far.heard[2].startswith(b"GET /c ")


def test_it_is_never_anywhere():
    with pytest.raises(NotThere, match="redirections"):
        Far(*[b"HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"] * 9).get()


@pytest.mark.parametrize("where", [b"file:///etc/passwd", b"http://a b/", b"", b"gopher://x"])
def test_it_is_nowhere(where):
    with pytest.raises((ProtocolError, NotThere)):
        Far(b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n" % where, *[b"HTTP/1.1 404 x\r\n\r\n"] * 9).get()


def test_from_a_server_that_has_proved_who_it_is_to_none_that_does_not():
    with pytest.raises(NotThere, match="vouches"):
        Far(b"HTTP/1.1 302 x\r\nLocation: http://lists.test/a\r\n\r\n", tls=True).get(f"https://{NAME}/a")


def test_over_tls():
    assert Far(LONG, tls=True).get(f"https://{NAME}/a").data == b"data"


@pytest.mark.parametrize("status", [403, 404, 500, 206])
def test_what_is_not_there(status):
    with pytest.raises(NotThere, match=f"lists.test says {status}"):
        Far(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % status).get()


def test_too_much(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1000)
    with pytest.raises(TooLarge):
        Far(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001).get()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b"SSH-2.0-x\r\n", b""])
def test_what_is_cut_off_or_no_answer(answer):
    with pytest.raises((ProtocolError, StreamClosed)):
        Far(answer).get()


def test_a_server_that_says_nothing(monkeypatch):
    monkeypatch.setattr(module, "_HEAD_PATIENCE", 0.05)
    with pytest.raises(DialError, match="no answer in time"):
        Far(lambda stream: Event().wait(5)).get()


def test_a_server_that_never_ends(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)

    def drip(stream: Stream) -> None:
        stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        for _ in range(100):
            stream.sendall(b"x")
            Event().wait(0.05)

    with pytest.raises(DialError, match="too long"):
        Far(drip).get()
