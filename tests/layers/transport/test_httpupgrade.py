"""The transport `httpupgrade` as a conversation; what every Stream keeps is in tests/conformance."""

from __future__ import annotations

import pytest

from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.transport.httpupgrade import HttpUpgradeClient, HttpUpgradeServer
from tests.conformance.streams import tcp_pair
from tests.support.playbook import converse, new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

ASK = b"GET /up HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


def never(stream: Stream, session: Session) -> None:
    raise AssertionError("a stranger came in")


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_request_with_payload_behind_it(chunk: int) -> None:
    server = HttpUpgradeServer("a.test", "/up", {})
    (play(server.accepting(echo), chunk=chunk) >> ASK + b"x" << AGREED + b"x" >> b"y" << b"y").end().closed()


def test_a_real_websocket_request_gets_a_real_answer() -> None:
    """Xray's client sends one."""
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    accept = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    server = HttpUpgradeServer("", "/up", {})
    (play(server.accepting(echo)) >> ASK[:-2] + key + b"x" << AGREED[:-2] + accept + b"x").end().closed()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ASK.replace(b"/up", b"/"), b"404"),
        (ASK.replace(b"/up", b"/up/more"), b"404"),
        (ASK.replace(b"a.test", b"b.test"), b"404"),
        (ASK.replace(b"GET", b"POST"), b"404"),
        (b"GET /up HTTP/1.1\r\nHost: a.test\r\n\r\n", b"404"),
        (b"garbage\r\n\r\n", b"400"),
    ],
)
def test_strangers_get_an_answer(request_: bytes, status: bytes) -> None:
    server = HttpUpgradeServer("a.test", "/up", {})
    talk = play(server.accepting(never)) >> request_ << b"HTTP/1.1 " + status
    talk._listen(lambda: talk._heard.endswith(b"\r\n\r\n"))
    talk._heard.clear()
    talk.end().closed(ProtocolError)


def test_a_client_asks_and_goes_on() -> None:
    def run(stream: Stream) -> bytes:
        opened = HttpUpgradeClient("a.test", "/up", {}).connecting(lambda session: stream)(new_session())
        opened.sendall(b"mine")
        return opened.recv() + opened.recv()

    talk = converse(run) << ASK >> AGREED + b"ahead" << b"mine" >> b" and later"
    assert talk.result() == b"ahead and later"


@pytest.mark.parametrize(
    ("answer", "reason"), [(b"HTTP/1.1 404 X\r\n\r\n", "declined"), (b"HTTP/1.1 101 X\r\n\r\n", "failed")]
)
def test_a_client_that_is_not_agreed_with(answer: bytes, reason: str) -> None:
    layer = HttpUpgradeClient("a.test", "/up", {})
    talk = converse(lambda stream: layer.connecting(lambda session: stream)(new_session())) << ASK >> answer
    error = talk.error()
    assert isinstance(error, DialError)
    assert error.reason == reason


def test_behind_the_heads_are_bare_bytes() -> None:
    """So the relay splices them."""
    near, far = tcp_pair()
    far.sendall(ASK)
    opened: list[Stream] = []
    HttpUpgradeServer("", "/up", {}).accepting(lambda stream, session: opened.append(stream))(near, new_session())
    assert opened[0].bare() == near.bare() is not None
    near.close()
    far.close()
