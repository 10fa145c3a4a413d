"""The transport `http`; what every Stream keeps is in tests/conformance, and links in test_http2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.transport.httpstream import METHOD, Http1Client, StreamClient, StreamServer
from gproxy.rt.group import Group
from tests.layers.transport.test_http2 import Host, World
from tests.layers.transport.visitor import House, Visit
from tests.support.playbook import converse, new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

ASK = b"PUT /bodies HTTP/1.1\r\nHost: a.test\r\n\r\n"
AGREED = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nDate: "


@pytest.fixture
def group() -> Iterator[Group]:
    with Group("test") as group:
        yield group


@pytest.fixture
def house() -> House:
    return House()


def server(house: House, method: str = "", headers: dict[str, list[str]] | None = None) -> StreamServer:
    return StreamServer(["a.test", "b.test:81"], "/bodies", method, headers or {}, house.branch)


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


def never(stream: Stream, session: Session) -> None:
    raise AssertionError("a stranger came in")


# -- HTTP/2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["a.test", "A.TEST:443", "b.test"])
def test_a_body_is_a_stream(host: str, house: House, group: Group) -> None:
    visit = Visit(server(house, headers={"X-Own": ["1"]}), echo, group)
    visit.ask(1, "/bodies/and/more?x", method="PUT", host=host)
    visit.say(1, b"there and back", ends=True)
    fields, payload, _ = visit.answer(1)
    assert (fields[":status"], fields["cache-control"], fields["x-own"]) == ("200", "no-store", "1")
    assert payload == b"there and back"
    visit.leave()


@pytest.mark.parametrize(
    ("path", "fields", "word"),
    [
        ("/", {}, "path"),
        ("/bod", {}, "path"),
        ("/bodies", {"host": "c.test"}, "host"),
        ("/bodies", {"method": "GET"}, "method"),
    ],
)
def test_strangers_get_an_answer(path: str, fields: dict[str, str], word: str, house: House, group: Group) -> None:
    visit = Visit(server(house, "PUT"), never, group)
    visit.ask(1, path, **({"method": "PUT"} | fields))
    assert visit.answer(1)[0][":status"] == "404"
    visit.leave()
    assert house.failed == [f"protocol-{word}"]


def test_what_a_client_asks_for() -> None:
    world = World()
    client = StreamClient(["a.test", "b.test"], "/a b", "", {"X-Own": ["1", "2"]})
    connect = client.connecting(world.connect)
    streams = [connect(new_session()) for _ in range(2)]
    host = Host(world.arrived[0])
    asked = [host.asked(number) for number in (1, 3)]
    assert [each[":authority"] for each in asked] == ["a.test", "b.test"]
    assert asked[0] | {"x-own": ""} == {
        ":method": METHOD, ":scheme": "https", ":path": "/a%20b", ":authority": "a.test", "x-own": "",
    }  # fmt: skip
    for stream in streams:
        stream.close()
    client.close()
    world.arrived[0].close()


# -- HTTP/1.1 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_request_with_payload_behind_it(chunk: int, house: House) -> None:
    talk = play(server(house, "PUT").accepting(echo), chunk=chunk) >> ASK + b"x" << AGREED
    talk._listen(lambda: talk._heard.endswith(b"GMT\r\n\r\nx"))
    assert talk._heard.endswith(b"GMT\r\n\r\nx")
    talk._heard.clear()
    (talk >> b"y" << b"y").end().closed()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (ASK.replace(b"/bodies", b"/"), b"404"),
        (ASK.replace(b"a.test", b"c.test"), b"404"),
        (ASK.replace(b"PUT", b"GET"), b"404"),
        (b"garbage\r\n\r\n", b"400"),
    ],
)
def test_strangers_get_an_answer_by_the_older_version(request_: bytes, status: bytes, house: House) -> None:
    talk = play(server(house, "PUT").accepting(never)) >> request_ << b"HTTP/1.1 " + status
    talk._listen(lambda: talk._heard.endswith(b"\r\n\r\n"))
    talk._heard.clear()
    talk.end().closed(ProtocolError)


def test_a_client_asks_with_its_first_payload() -> None:
    def run(stream: Stream) -> bytes:
        opened = Http1Client(["a.test"], "/bodies", "", {"X": ["y"]}).connecting(lambda session: stream)(new_session())
        assert opened.held()
        opened.sendall(b"mine")
        assert opened.take() == b""
        first = opened.recv()
        opened.sendall(b"more")
        return first + opened.recv()

    talk = converse(run) << ASK[:-2] + b"X: y\r\n\r\nmine" >> b"HTTP/1.1 200 OK\r\n\r\nahead" << b"more"
    assert (talk >> b" and later").result() == b"ahead and later"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 X\r\n\r\n", "reset"),
        (b"nonsense\r\n\r\n", "corrupt"),
    ],
)
def test_a_client_that_is_not_agreed_with(answer: bytes, reason: str) -> None:
    def run(stream: Stream) -> list[str]:
        opened = Http1Client(["a.test"], "/bodies", "", {}).connecting(lambda session: stream)(new_session())
        said = []
        for _ in range(2):
            with pytest.raises(StreamClosed) as closed:
                opened.recv()
            said.append(closed.value.reason)
        return said

    talk = converse(run) << ASK >> answer
    assert talk.result() == [reason, reason]


def test_a_server_that_ends_instead_of_answering() -> None:
    def run(stream: Stream) -> str:
        opened = Http1Client(["a.test"], "/bodies", "", {}).connecting(lambda session: stream)(new_session())
        with pytest.raises(StreamClosed) as closed:
            opened.recv()
        return closed.value.reason

    talk = converse(run) << ASK
    assert talk.end().result() == "truncated"
