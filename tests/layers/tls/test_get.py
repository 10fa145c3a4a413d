from __future__ import annotations

from contextlib import closing

import pytest

from gproxy.base.errors import DialError, GproxyError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.tls.get import get
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.schema.tls import Authorities
from gproxy.wire.http1.location import Location
from tests.engine.stand_ins import FakeOutbound
from tests.layers.tls.lab import AUTHORITY, NAME, server
from tests.support.pipe import pipe
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

TRUSTED = Authorities(store="none", certificate=(AUTHORITY.chain,))
HEAD = b"GET /a HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\nConnection: close\r\n\r\n"


def got(scheme: str, answer: bytes, trusted: Authorities = TRUSTED) -> bytes:
    """The body that a server on the other side of a pipe sends, once it was asked."""
    near, far = pipe()

    def serve(stream: Stream, _: Session) -> None:
        assert stream.recv() == HEAD % NAME.encode()
        if answer:
            stream.sendall(answer)
        else:
            assert stream.recv() == b""

    def accept() -> None:
        try:
            (server().accepting(serve) if scheme == "https" else serve)(far, new_session())
        except GproxyError:
            pass  # it was hung up on
        finally:
            far.close()

    with Group("server") as group:
        group.spawn(accept)
        outbound = FakeOutbound(lambda target, session: near)
        location = Location.parse(f"{scheme}://{NAME}/a")
        try:
            stream, said = get(outbound, location, new_session(), {"Accept": "*/*"}, trusted)
            with closing(stream):
                return said.read(99)
        finally:
            with pytest.raises(StreamClosed):  # whatever came of it
                near.sendall(b"x")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_there(scheme: str) -> None:
    assert got(scheme, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndata") == b"data"


def test_who_is_not_believed() -> None:
    with pytest.raises(DialError) as caught:
        got("https", b"", Authorities(store="none"))
    assert caught.value.word == "dial-tls-untrusted"


def test_what_is_no_answer_leaves_nothing_open() -> None:
    with pytest.raises(GproxyError):
        got("http", b"SSH-2.0-x\r\n\r\n")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nor_does_a_deadline(scheme: str) -> None:
    with pytest.raises(DialError, match="too late"), deadline(0.3, DialError("too late")):
        got(scheme, b"")
