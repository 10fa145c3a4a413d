"""gproxy.app.transports: each kind, both halves, with each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from gproxy.app import transports
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Accept, Stream
from gproxy.base.session import Session
from gproxy.rt.group import Group
from gproxy.schema.transport import GrpcTransport, HttpTransport, HttpUpgradeTransport, Transport, WsTransport
from tests.conformance.streams import tcp_pair
from tests.support.playbook import new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

KINDS = [
    (WsTransport(type="ws", path="/ws"), False),
    (WsTransport(type="ws", max_early_data=100), True),
    (HttpUpgradeTransport(type="httpupgrade", host="a.test"), False),
    (HttpTransport(type="http", path="/h", host=("a.test", "b.test")), False),
    (HttpTransport(type="http", path="/h", method="POST"), True),
    (GrpcTransport(type="grpc", service_name="Gun"), False),
    (GrpcTransport(type="grpc", service_name="/a/path"), True),
]


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


def branch(accept: Accept, stream: Stream, session: Session) -> None:
    accept(stream, session)


@pytest.mark.parametrize(("options", "tls"), KINDS)
def test_halves_fit(options: Transport, tls: bool, group: Group) -> None:
    near, far = tcp_pair()

    def echo(stream: Stream, session: Session) -> None:
        while data := stream.recv():
            stream.sendall(data + b" and back")

    def serve() -> None:
        with contextlib.suppress(StreamClosed):
            transports.server(options, branch).accepting(echo)(far, new_session())

    group.spawn(serve)
    stream = transports.client(options, "a.test", tls=tls).connecting(lambda session: near)(new_session())
    stream.sendall(b"there")
    assert stream.recv() == b"there and back"
    stream.close()
    near.close()
    far.close()


@pytest.mark.parametrize(
    ("options", "client", "server"),
    [
        (WsTransport(type="ws"), ("http/1.1",), ("http/1.1",)),
        (HttpUpgradeTransport(type="httpupgrade"), ("http/1.1",), ("http/1.1",)),
        (HttpTransport(type="http"), ("h2",), ("h2", "http/1.1")),
        (GrpcTransport(type="grpc"), ("h2",), ("h2",)),
    ],
)
def test_what_tls_agrees_on(options: Transport, client: tuple[str, ...], server: tuple[str, ...]) -> None:
    assert transports.protocols(options, server=False) == client
    assert transports.protocols(options, server=True) == server
