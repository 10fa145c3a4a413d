"""simple-obfs as a conversation; what every Stream keeps is in tests/conformance, octets are in tests/wire."""

from __future__ import annotations

import re

import pytest

from gproxy.base.clock import now
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Accept, Buffer, ClientLayer, ServerLayer, Stream
from gproxy.base.session import Session
from gproxy.layers.transport import obfs as room
from gproxy.layers.transport.obfs import (
    AnswerOpener,
    AnswerSealer,
    HttpClient,
    HttpServer,
    RecordOpener,
    RequestSealer,
    TlsClient,
    TlsServer,
)
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.wire.cursor import Cursor
from gproxy.wire.simpleobfs import (
    DATA,
    GREETING,
    HANDSHAKE,
    MOST,
    decode_client_hello,
    encode_client_hello,
    encode_greeting,
    record_head,
)
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

RANDOM, SESSION = bytes(32), b"s" * 32
LONG = bytes(range(256)) * 200

LAYERS: list[tuple[ClientLayer, ServerLayer]] = [
    (HttpClient("a.test", 80), HttpServer()),
    (HttpClient("A.test", 8388, "/x", "POST"), HttpServer("a.test", "POST")),
    (HttpClient("a.test", 80), HttpServer(at_once=True)),
    (TlsClient("a.test"), TlsServer()),
    (TlsClient("A.test"), TlsServer("a.test")),
]


class Late(Exception):
    """A deadline of a test."""


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


def never(stream: Stream, session: Session) -> None:
    raise AssertionError("a stranger came in")


def client_over(layer: ClientLayer) -> tuple[Stream, PipeEnd]:
    near, far = pipe()
    return layer.connecting(lambda session: near)(new_session()), far


def written_by(end: PipeEnd) -> list[bytes]:
    """Every write that is made at this end from now on."""
    writes: list[bytes] = []
    send = end.sendall

    def sendall(data: Buffer, /) -> None:
        writes.append(bytes(data))
        send(data)

    end.sendall = sendall  # type: ignore[method-assign]
    return writes


@pytest.mark.parametrize(("client", "server"), LAYERS)
@pytest.mark.parametrize("chunk", [0, 1, 1000])
@pytest.mark.parametrize("first", [b"x", LONG])
def test_its_two_halves_understand_each_other(
    client: ClientLayer, server: ServerLayer, chunk: int, first: bytes
) -> None:
    near, far = pipe(chunk=chunk)
    stream = client.connecting(lambda session: near)(new_session())
    with Group("test") as group:
        group.spawn(server.accepting(echo), far, new_session())
        for data in (first, b"more", LONG):
            stream.sendall(data)
            heard = b""
            while len(heard) < len(data):
                heard += stream.recv()
            assert heard == data
        stream.close_write()
        assert stream.recv() == b""


@pytest.mark.parametrize(("client", "server"), LAYERS)
def test_what_is_first_leaves_in_one_piece(client: ClientLayer, server: ServerLayer) -> None:
    """One write for the head and the payload, on both sides: the peers look for both in one read."""
    near, far = pipe()
    asked, answered = written_by(near), written_by(far)
    stream = client.connecting(lambda session: near)(new_session())
    assert stream.held()
    assert asked == []
    stream.sendall(b"payload")
    assert not stream.held()
    assert [b"payload" in each for each in asked] == [True]
    server.accepting(lambda opened, session: opened.sendall(opened.recv()))(far, new_session())
    assert len(answered) == (2 if getattr(server, "_at_once", False) else 1)
    assert answered[-1].endswith(b"payload")


# -- HTTP -------------------------------------------------------------------------------------------------------------

ASK = b"GET / HTTP/1.1\r\nHost: a.test:8388\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a2V5\r\n\r\n"
AGREE = (
    rb"HTTP/1\.1 101 Switching Protocols\r\nServer: nginx/1\.\d+\.\d+\r\n"
    rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    rb"Sec-WebSocket-Accept: [A-Za-z0-9+/=]{28}\r\n\r\n"
)


def test_the_question() -> None:
    stream, server = client_over(HttpClient("a.test", 8388, "/x", "POST"))
    stream.sendall(b"payload")
    assert re.fullmatch(
        rb"POST /x HTTP/1\.1\r\nHost: a\.test:8388\r\nUser-Agent: curl/7\.\d+\.\d\r\nUpgrade: websocket\r\n"
        rb"Connection: Upgrade\r\nSec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\nContent-Length: 7\r\n\r\npayload",
        server.unread,
    )


def test_the_usual_port_is_not_named() -> None:
    stream, server = client_over(HttpClient("a.test", 80))
    stream.sendall(b"")
    assert b"\r\nHost: a.test\r\n" in server.unread


@pytest.mark.parametrize("chunk", [0, 1])
def test_the_answers_head_comes_with_the_first_payload(chunk: int) -> None:
    talk = play(HttpServer().accepting(echo), chunk=chunk) >> ASK
    (talk >> b"x" << re.compile(AGREE + b"x") >> b"y" << b"y").end().closed()


def test_the_answers_head_comes_at_once_if_that_is_wanted() -> None:
    (play(HttpServer(at_once=True).accepting(echo)) >> ASK << re.compile(AGREE) >> b"x" << b"x").end().closed()


def test_a_server_that_says_nothing_says_no_head() -> None:
    (play(HttpServer().accepting(lambda stream, session: stream.sendall(b""))) >> ASK).closed()


def test_once_the_heads_are_said_it_is_as_bare_as_what_it_is_on() -> None:
    near, far = pipe()
    stream = HttpClient("a.test", 80).connecting(lambda session: near)(new_session())
    far.bare = lambda: 7  # type: ignore[method-assign]
    near.bare = lambda: 8  # type: ignore[method-assign]
    opened: list[Stream] = []
    assert stream.bare() is None
    stream.sendall(b"x")
    assert stream.bare() is None
    HttpServer().accepting(lambda server, session: opened.append(server))(far, new_session())
    (server,) = opened
    assert server.take() == b"x"
    assert server.bare() is None
    server.sendall(b"y")
    assert server.bare() == 7
    assert stream.recv() == b"y"
    assert stream.bare() == 8


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "corrupt"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "corrupt"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "corrupt"),
        (b"HTTP/1.1 101", "truncated"),
        (b"HTTP/1.1 101 x\r\nA: " + bytes([65]) * 70000, "corrupt"),
    ],
)
def test_another_answer(answer: bytes, reason: str) -> None:
    stream, server = client_over(HttpClient("a.test", 80))
    stream.sendall(b"x")
    server.sendall(answer)
    server.close_write()
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    assert caught.value.reason == reason


def test_half_an_answer_is_nothing_that_was_read_ahead() -> None:
    stream, server = client_over(HttpClient("a.test", 80))
    stream.sendall(b"x")
    server.sendall(b"HTTP/1.1 101 Switching")
    with pytest.raises(Late), deadline(0.01, Late()):
        stream.recv()
    assert stream.take() == b""
    assert stream.bare() is None
    server.sendall(b" Protocols\r\n\r\ny")
    assert stream.recv() == b"y"


def test_a_server_that_hangs_up_instead_of_answering() -> None:
    stream, server = client_over(HttpClient("a.test", 80))
    stream.sendall(b"x")
    server.close_write()
    assert stream.recv() == b""
    assert stream.recv() == b""


# -- TLS --------------------------------------------------------------------------------------------------------------


def test_the_beginning_of_a_long_payload_is_the_ticket_of_a_hello_that_fits_into_a_segment() -> None:
    stream, server = client_over(TlsClient("a.test"))
    stream.sendall(LONG)
    cursor = Cursor(server.unread)
    hello = decode_client_hello(cursor)
    assert cursor.at <= 1400
    assert hello.name == b"a.test"
    assert LONG.startswith(hello.ticket)
    rest = LONG[len(hello.ticket) :]
    pieces = [rest[start : start + MOST] for start in range(0, len(rest), MOST)]
    assert server.unread[cursor.at :] == b"".join(record_head(DATA, len(piece)) + piece for piece in pieces)
    assert len(hello.ticket) > 500


def test_a_client_that_listens_first_says_hello_before() -> None:
    stream, server = client_over(TlsClient("a.test"))
    server.sendall(encode_greeting(RANDOM, SESSION) + record_head(HANDSHAKE, 2) + b"hi")
    assert stream.recv() == b"hi"
    assert decode_client_hello(Cursor(server.unread)).ticket == b""


def test_the_servers_first_payload_is_its_handshake_message() -> None:
    hello = encode_client_hello(b"a.test", RANDOM, SESSION, b"one")
    talk = play(TlsServer().accepting(echo)) >> hello
    talk << re.compile(rb"\x16\x03\x01\x00\x5b.{39}" + SESSION + rb".{20}\x14\x03\x03\x00\x01\x01", re.DOTALL)
    talk << record_head(HANDSHAKE, 3) + b"one"
    talk >> record_head(DATA, 3) + b"two" << record_head(DATA, 3) + b"two"
    talk.end().closed()


def test_records_that_come_with_the_hello_are_kept() -> None:
    hello = encode_client_hello(b"a.test", RANDOM, SESSION, b"one")
    opened: list[bytes] = []
    talk = play(TlsServer().accepting(lambda stream, session: opened.append(stream.recv())))
    (talk >> hello + record_head(DATA, 3) + b"two").closed()
    assert opened == [b"onetwo"]


def test_a_server_says_nothing_for_nothing() -> None:
    sealer = AnswerSealer(SESSION)
    assert sealer.seal_into(b"", memoryview(bytearray(sealer.room(0)))) == 0
    target = bytearray(sealer.room(5))
    made = sealer.seal_into(b"hello", memoryview(target))
    assert made == GREETING + 5 + 5
    assert target[GREETING:made] == record_head(HANDSHAKE, 5) + b"hello"


@pytest.mark.parametrize("size", [0, 1, MOST - 1, MOST, MOST + 1, 5 * MOST])
@pytest.mark.parametrize("make", [lambda: RequestSealer(b"x" * 255), lambda: AnswerSealer(SESSION)])
def test_there_is_room_for_what_a_sealer_makes(size: int, make: type[RequestSealer]) -> None:
    sealer = make()
    for _ in range(2):
        assert sealer.room(size) <= 2 * size + 4096
        target = memoryview(bytearray(sealer.room(size)))
        assert sealer.seal_into(bytes(size), target) <= len(target)


def test_only_complete_records_are_opened_as_far_as_they_fit() -> None:
    source = memoryview(record_head(DATA, 3) + b"one" + record_head(DATA, 3) + b"two" + record_head(DATA, 9))
    target = bytearray(len(source))
    assert RecordOpener().open_into(source[:7], memoryview(target)) == (0, 0)
    assert RecordOpener().open_into(source, memoryview(target)[:5]) == (8, 3)
    assert RecordOpener().open_into(source, memoryview(target)) == (16, 6)
    assert target[:6] == b"onetwo"


@pytest.mark.parametrize("at", range(GREETING + 5 + 2))
def test_an_answer_in_two_pieces(at: int) -> None:
    answer = encode_greeting(RANDOM, SESSION) + record_head(HANDSHAKE, 2) + b"hi"
    opener = AnswerOpener()
    target = bytearray(len(answer))
    used, made = opener.open_into(memoryview(answer)[:at], memoryview(target))
    assert made == 0
    assert opener.open_into(memoryview(answer)[used:], memoryview(target)) == (len(answer) - used, 2)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        encode_greeting(RANDOM, SESSION) + record_head(DATA, 2) + b"hi",
        encode_greeting(RANDOM, SESSION) + record_head(HANDSHAKE, 2) + b"hi" + record_head(HANDSHAKE, 2),
        encode_greeting(RANDOM, SESSION) + record_head(HANDSHAKE, MOST + 1),
    ],
)
def test_an_answer_that_is_none(said: bytes) -> None:
    stream, server = client_over(TlsClient("a.test"))
    stream.sendall(b"x")
    server.sendall(said)
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    assert caught.value.reason == "corrupt"


# -- strangers --------------------------------------------------------------------------------------------------------

STRANGERS = [
    (TlsServer(), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    (TlsServer(), bytes(2000)),
    (TlsServer("a.test"), encode_client_hello(b"b.test", RANDOM, SESSION, b"x")),
    (HttpServer(), encode_client_hello(b"a.test", RANDOM, SESSION, b"x")),
    (HttpServer(), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    (HttpServer(), b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nX: " + b"x" * 70000),
    (HttpServer("b.test"), ASK),
    (HttpServer("b.test"), ASK.replace(b"Host: a.test:8388\r\n", b"")),
    (HttpServer("a.test"), ASK.replace(b"\r\n\r\n", b"\r\nHost: a.test\r\n\r\n")),
    (HttpServer(method="POST"), ASK),
]


@pytest.mark.parametrize(("server", "said"), STRANGERS)
def test_a_stranger_learns_nothing_until_the_time_is_over(
    server: ServerLayer, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that it was refused nor when: everything is read, and nothing is answered."""
    monkeypatch.setattr(room, "HANDSHAKE_TIMEOUT", 0.1)
    began = now()
    talk = play(server.accepting(never)) >> said >> b"more"
    talk.closed(raising=ProtocolError)
    assert now() - began >= 0.1


@pytest.mark.parametrize(("server", "said"), STRANGERS)
def test_a_stranger_that_hangs_up_is_gone(server: ServerLayer, said: bytes) -> None:
    (play(server.accepting(never)) >> said).end().closed(raising=ProtocolError)


@pytest.mark.parametrize("server", [TlsServer(), HttpServer()])
def test_who_says_nothing_is_let_go(server: ServerLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HANDSHAKE_TIMEOUT", 0.01)
    error = play(server.accepting(never)).error()
    assert isinstance(error, ProtocolError)
    assert error.reason == "timeout"


@pytest.mark.parametrize("server", [TlsServer(), HttpServer()])
def test_who_only_looks_whether_the_port_is_open_makes_no_noise(server: ServerLayer) -> None:
    error = play(server.accepting(never)).end().error()
    assert isinstance(error, ProtocolError)
    assert error.reason == "empty"


def test_its_time_ends_with_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HANDSHAKE_TIMEOUT", 0.05)
    accept: Accept = HttpServer().accepting(echo)
    talk = play(accept) >> ASK
    sleep(0.1)
    (talk >> b"x" << re.compile(AGREE + b"x")).end().closed()
