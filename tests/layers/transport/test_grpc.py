"""The transport `grpc`; what every Stream keeps is in tests/conformance, and links in test_http2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.transport.grpc import GrpcClient, GrpcServer
from gproxy.rt.group import Group
from tests.layers.transport.test_http2 import Host, World
from tests.layers.transport.visitor import House, Visit
from tests.support.playbook import new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

TYPE = "application/grpc"


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


@pytest.fixture
def house() -> House:
    return House()


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


def never(stream: Stream, session: Session) -> None:
    raise AssertionError("a stranger came in")


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("Gun", "/Gun/Tun"),
        ("a/b", "/a/b/Tun"),
        ("a/b", "/a%2Fb/Tun"),
        ("/own/path", "/own/path"),
        ("/own/path|other", "/own/path"),
        ("/own", "//own/Tun"),
    ],
)
def test_a_call_is_a_stream(service: str, path: str, house: House, group: Group) -> None:
    visit = Visit(GrpcServer(service, house.branch), echo, group)
    visit.ask(1, path, method="POST", content_type=TYPE + "+proto")
    visit.say(1, b"\0\0\0\0\7\x0a\5hello", ends=True)
    fields, payload, trailers = visit.answer(1)
    assert (fields[":status"], fields["content-type"]) == ("200", TYPE)
    assert payload == b"\0\0\0\0\7\x0a\5hello"
    assert trailers == {"grpc-status": "0"}
    visit.leave()
    assert house.failed == []


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/Gun/Tun", {"content_type": "text/html"}),
        ("/Gun/Tun", {"method": "GET"}),
        ("/Gun/Other", {}),
        ("/Nug/Tun", {}),
        ("/", {}),
    ],
)
def test_strangers_get_an_answer(path: str, fields: dict[str, str], house: House, group: Group) -> None:
    visit = Visit(GrpcServer("Gun", house.branch), never, group)
    visit.ask(1, path, **({"method": "POST", "content_type": TYPE} | fields))
    assert visit.answer(1)[0][":status"] == "404"
    visit.leave()


def test_the_other_call_is_not_here(house: House, group: Group) -> None:
    visit = Visit(GrpcServer("Gun", house.branch), never, group)
    visit.ask(1, "/Gun/TunMulti", method="POST", content_type=TYPE)
    fields, payload, trailers = visit.answer(1)
    assert (fields[":status"], payload, trailers["grpc-status"]) == ("200", b"", "12")
    visit.leave()
    assert house.failed == ["unsupported-multi"]


def test_requests_by_the_older_version_find_nothing(house: House) -> None:
    talk = play(GrpcServer("Gun", house.branch).accepting(never)) >> b"GET /Gun/Tun HTTP/1.1\r\nHost: a\r\n\r\n"
    talk = talk << b"HTTP/1.1 404 "
    talk._listen(lambda: talk._heard.endswith(b"\r\n\r\n"))
    talk._heard.clear()
    talk.end().closed(ProtocolError)


def test_messages_that_are_none_end_the_call(house: House, group: Group) -> None:
    visit = Visit(GrpcServer("Gun", house.branch), echo, group)
    visit.ask(1, "/Gun/Tun", method="POST", content_type=TYPE)
    visit.say(1, b"\1\0\0\0\7\x0a\5hello")
    visit.answer(1)
    visit.leave()
    assert house.failed == ["closed-corrupt"]


@pytest.mark.parametrize(("scheme", "service", "path"), [("http", "Gun", "/Gun/Tun"), ("https", "/a/b|c", "/a/b")])
def test_what_a_client_asks_for(scheme: str, service: str, path: str) -> None:
    world = World()
    client = GrpcClient("a.test:1", service, scheme=scheme)
    stream = client.connecting(world.connect)(new_session())
    stream.sendall(b"hello")
    host = Host(world.arrived[0])
    asked = host.asked(1)
    assert {name: asked[name] for name in (":method", ":scheme", ":authority", ":path", "content-type", "te")} == {
        ":method": "POST", ":scheme": scheme, ":authority": "a.test:1", ":path": path, "content-type": TYPE,
        "te": "trailers",
    }  # fmt: skip
    host.until(lambda: host.data(1))
    assert host.data(1) == b"\0\0\0\0\7\x0a\5hello"
    host.answer_to(1, "200", ("content-type", TYPE))
    host.h2.send_data(1, b"\0\0\0\0\4\x0a\2hi")
    host.h2.send_headers(1, [("grpc-status", "0")], end_stream=True)
    host.flush()
    assert stream.recv() == b"hi"
    assert stream.recv() == b""
    stream.close()
    client.close()
    world.arrived[0].close()


def test_a_call_that_nobody_has() -> None:
    world = World()
    client = GrpcClient("a.test", "Gun", scheme="http")
    stream = client.connecting(world.connect)(new_session())
    stream.sendall(b"hello")
    host = Host(world.arrived[0])
    host.asked(1)
    host.answer_to(1, "200", ("content-type", TYPE), ("grpc-status", "12"), ends=True)
    with pytest.raises(StreamClosed, match="gRPC status 12"):
        stream.recv()
    stream.close()
    client.close()
    world.arrived[0].close()
