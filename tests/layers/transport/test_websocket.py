"""WebSockets as a conversation; what every Stream keeps is in tests/conformance, octets are in tests/wire."""

from __future__ import annotations

import re
from base64 import b64encode

import pytest

from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Stream
from gproxy.base.session import Session
from gproxy.layers.transport import websocket as room
from gproxy.layers.transport.websocket import FrameOpener, Masks, Talk, WsClient, WsServer, no_mask, websocket
from gproxy.net.framed import Framed
from gproxy.relay.pick import relay
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.wire.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, accept_of, encode_control, encode_head
from tests.conformance.streams import tcp_pair
from tests.support.pipe import PipeEnd, pipe
from tests.support.playbook import Talk as Conversation
from tests.support.playbook import converse, new_session, play

pytestmark = pytest.mark.usefixtures("no_leaks")

LONG = bytes(range(256)) * 20
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"mask"
BYE = b"\x88\x02\x03\xe8"


def echo(stream: Stream, session: Session) -> None:
    while data := stream.recv():
        stream.sendall(data)
    stream.close_write()


def never(stream: Stream, session: Session) -> None:
    raise AssertionError("a stranger came in")


def bye(talk: Conversation[None]) -> None:
    """The client ends, and so does the echo."""
    (talk.end() << BYE).closed()


def frame(payload: bytes, opcode: int = BINARY, *, final: bool = True, mask: bytes = b"") -> bytes:
    """One frame; with a mask of a client's."""
    head = bytearray(encode_head(opcode, len(payload), mask))
    if not final:
        head[0] &= 0x7F
    return bytes(head) + bytes(byte ^ mask[at % 4] if mask else byte for at, byte in enumerate(payload))


def masked(payload: bytes, opcode: int = BINARY, *, final: bool = True) -> bytes:
    return frame(payload, opcode, final=final, mask=MASK)


def ask(path: str = "/", *lines: str, host: str = "a.test") -> bytes:
    own = "".join(f"{line}\r\n" for line in lines)
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {KEY.decode()}\r\nSec-WebSocket-Version: 13\r\n{own}\r\n"
    ).encode()


AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n"
    % accept_of(KEY)
)


def opened(server: WsServer | None = None, *, chunk: int = 0) -> Conversation[None]:
    """A conversation with an echo within a WebSocket."""
    return play((server or WsServer("/", {})).accepting(echo), chunk=chunk) >> ask() << AGREED


# -- both halves ------------------------------------------------------------------------------------------------------

LAYERS = [
    (WsClient("a.test", "/", {}), WsServer("/", {})),
    (
        WsClient("ignored", "/x y/é%20", {"host": ("A.test:81",), "X-Own": ("1", "2")}),
        WsServer("/x%20y/é ", {"Host": ("a.test",)}),
    ),
    (WsClient("a.test", "/x", {}, early=5), WsServer("/x", {}, early=True)),
    (WsClient("a.test", "/x", {}, early=5000), WsServer("/x", {}, early=True)),
    (
        WsClient("a.test", "/x", {}, early=5000, early_name="X-Early"),
        WsServer("/x", {}, early=True, early_name="x-early"),
    ),
    (
        WsClient("a.test", "/x", {}, early=2048, early_name="Sec-WebSocket-Protocol"),
        WsServer("/x", {}, early=True, early_name="Sec-WebSocket-Protocol"),
    ),
]


@pytest.mark.parametrize(("client", "server"), LAYERS)
@pytest.mark.parametrize("chunk", [0, 1, 1000])
@pytest.mark.parametrize("first", [b"x", LONG])
def test_its_two_halves_understand_each_other(client: WsClient, server: WsServer, chunk: int, first: bytes) -> None:
    near, far = pipe(chunk=chunk)
    with Group("test") as group:
        group.spawn(server.accepting(echo), far, new_session())
        stream = client.connecting(lambda session: near)(new_session())
        for data in (first, b"more", LONG):
            stream.sendall(data)
            heard = b""
            while len(heard) < len(data):
                heard += stream.recv()
            assert heard == data
        stream.close_write()
        assert stream.recv() == b""


# -- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_message_in_pieces_with_a_ping_between_them(chunk: int) -> None:
    near, far = pipe(chunk=chunk)
    stream = websocket(near, b"", client=False)
    far.sendall(masked(b"one", final=False) + masked(b"hi", PING) + masked(b"two", CONTINUATION, final=False))
    far.sendall(masked(b"", CONTINUATION) + masked(b"three"))
    assert read(stream, 11) == b"onetwothree"
    stream.sendall(b"x")
    assert far.unread == encode_control(PONG, b"hi") + frame(b"x")


def test_a_ping_is_answered_while_nothing_is_sent() -> None:
    talk = opened() >> masked(b"are you there", PING) << encode_control(PONG, b"are you there")
    bye(talk >> masked(b"", PING) << b"\x8a\x00" >> masked(b"x") << frame(b"x"))


def test_only_the_newest_ping_is_answered() -> None:
    talk = opened() >> masked(b"1", PING) + masked(b"2", PING) + masked(b"3", PING) << encode_control(PONG, b"3")
    bye(talk)


def test_a_pong_is_no_question() -> None:
    bye(opened() >> masked(b"late", PONG) >> masked(b"x") << frame(b"x"))


def test_the_close_handshake() -> None:
    """The end is passed on, and what comes behind it is not looked at."""
    (opened() >> masked(b"x") + masked(b"\x03\xe8bye", CLOSE) + b"nonsense" << frame(b"x") + BYE).closed()


def test_after_its_own_close_it_answers_no_ping() -> None:
    near, far = pipe()
    stream = websocket(near, b"", client=False)
    stream.close_write()
    assert far.recv() == BYE
    with pytest.raises(TimeoutError), deadline(0.005, TimeoutError()):
        far.recv()  # what lies beneath has no end
    far.sendall(masked(b"x", PING) + masked(b"y") + masked(b"", CLOSE))
    assert (stream.recv(), stream.recv()) == (b"y", b"")
    assert far.unread == b""
    with pytest.raises(StreamClosed):
        stream.sendall(b"more")


def test_the_other_direction_goes_on_behind_a_close() -> None:
    near, far = pipe()
    stream = websocket(near, b"", client=False)
    far.sendall(masked(b"", CLOSE))
    assert stream.recv() == b""
    stream.sendall(b"answer")
    stream.close_write()
    assert far.unread == frame(b"answer") + BYE


@pytest.mark.parametrize(
    "wrong",
    [
        frame(b"unmasked"),
        b"\xc2\x81mask1",  # compressed
        b"\x81\x81mask1",  # text
        masked(b"", 0x3),
        masked(b"x", CONTINUATION),
        masked(b"x", final=False) + masked(b"y"),
        b"\x82\xff" + b"\xff" * 8 + b"mask",
        masked(b"\x03", CLOSE),
        masked(b"", PING) * 257,
        masked(b"") * 257,
    ],
)
def test_frames_that_can_not_be(wrong: bytes) -> None:
    near, far = pipe()
    stream = websocket(near, b"", client=False)
    far.sendall(masked(b"genuine"))
    assert stream.recv() == b"genuine"
    far.sendall(wrong)
    with pytest.raises(StreamClosed) as caught:
        while stream.recv() == b"x":
            pass
    assert caught.value.reason == "corrupt"


def test_a_server_that_masks_is_refused() -> None:
    near, far = pipe()
    stream = websocket(near, b"", client=True)
    far.sendall(masked(b"x"))
    with pytest.raises(StreamClosed):
        stream.recv()


def test_an_end_inside_a_frame_is_no_orderly_end() -> None:
    wire = masked(b"payload")
    for end in range(1, len(wire)):
        near, far = pipe()
        stream = websocket(near, b"", client=False)
        far.sendall(masked(b"whole") + wire[:end])
        far.close_write()
        with pytest.raises(StreamClosed) as caught:
            while stream.recv():
                pass
        assert caught.value.reason == "truncated"


def test_an_end_between_frames_is_one() -> None:
    near, far = pipe()
    stream = websocket(near, b"", client=False)
    far.sendall(masked(b"whole"))
    far.close_write()
    assert (stream.recv(), stream.recv()) == (b"whole", b"")


def test_behind_a_frame_that_was_cut_off_nothing_is_said() -> None:
    """It would be read as part of that frame."""
    near, far = pipe(capacity=100)
    stream = websocket(near, b"", client=False)
    with pytest.raises(TimeoutError), deadline(0.005, TimeoutError()):
        stream.sendall(b"p" * 1000)
    assert len(far.recv()) == 100
    with pytest.raises(StreamClosed):
        stream.sendall(b"more")
    far.sendall(masked(b"", PING) + masked(b"x"))
    assert stream.recv() == b"x"
    stream.close_write()
    far.close_write()
    assert stream.recv() == b""
    assert far.unread == b""


def test_a_frame_is_opened_as_it_comes() -> None:
    """Its length may be anything, and nobody keeps memory for it."""
    near, far = pipe()
    stream = websocket(near, b"", client=False)
    far.sendall(encode_head(BINARY, 1 << 62, MASK) + bytes(1001))
    assert stream.recv() == (MASK * 251)[:1000]
    far.sendall(bytes(2))
    assert stream.recv() == (MASK * 251)[1000:1002]


def test_no_two_masks_are_the_same() -> None:
    masks = Masks()
    some = [masks() for _ in range(1000)]
    assert {len(mask) for mask in some} == {4}
    assert len(set(some)) > 990
    assert no_mask() == b""


def test_the_pump_sends_what_a_silent_direction_owes() -> None:
    """Also a pong for a ping that was read ahead."""
    (peer, left), (right, target) = tcp_pair(), tcp_pair()
    stream = websocket(left, masked(b"ahead", PING), client=False)
    assert stream.take() == b""
    with Group("test") as group:
        running = group.spawn(relay, stream, right)
        assert read(peer, 7) == encode_control(PONG, b"ahead")
        peer.sendall(masked(b"now", PING))
        assert read(peer, 5) == encode_control(PONG, b"now")
        peer.sendall(masked(b"x") + masked(b"with payload", PING))
        assert read(target, 1) == b"x"
        assert read(peer, 14) == encode_control(PONG, b"with payload")
        target.close_write()
        assert read(peer, 4) == BYE
        peer.sendall(masked(b"", PING) + masked(b"last") + masked(b"", CLOSE))
        assert read(target, 4) == b"last"
        running.join()
    for end in (peer, left, right, target):
        end.close()


def test_a_pong_waits_for_what_is_being_sent() -> None:
    """Never in the middle of a frame, and not until more is sent."""
    near, far = pipe(capacity=100)
    stream = websocket(near, b"", client=False)
    with Group("test") as group:
        group.spawn(stream.sendall, b"p" * 1000)
        sleep(0)
        far.sendall(masked(b"?", PING) + masked(b"x"))
        assert stream.recv() == b"x"
        far.sendall(masked(b"y"))
        assert stream.recv() == b"y", "the reader waits, too"
        reader = group.spawn(stream.recv)
        heard = b""
        while len(heard) < 4 + 1000 + 3:
            heard += far.recv()
        assert heard == frame(b"p" * 1000) + encode_control(PONG, b"?")
        far.close_write()
        reader.join()


def test_a_writer_waits_for_a_pong_that_is_being_sent() -> None:
    near, far = pipe(capacity=3)
    stream = websocket(near, b"", client=False)
    with Group("test") as group:
        far.sendall(masked(b"ping!", PING)[:3])
        reader = group.spawn(stream.recv)
        for at in range(3, 11, 2):
            sleep(0)
            far.sendall(masked(b"ping!", PING)[at : at + 2])
        sleep(0)
        writer = group.spawn(stream.sendall, b"data")
        heard = b""
        while len(heard) < 7 + 6:
            heard += far.recv()
        assert heard == encode_control(PONG, b"ping!") + frame(b"data")
        far.close_write()
        reader.join()
        writer.join()


def read(end: Stream, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        piece = end.recv()
        assert piece, "the end came early"
        heard += piece
    assert len(heard) == count
    return heard


# -- server -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, 1])
def test_a_request_with_payload_behind_it(chunk: int) -> None:
    talk = play(WsServer("/", {}).accepting(echo), chunk=chunk) >> ask() + masked(b"x") << AGREED + frame(b"x")
    bye(talk)


def test_an_answer_with_fields_of_its_own() -> None:
    server = WsServer("/", {"Server": ("nginx",), "Host": ("a.test",)})
    answer = AGREED[:-2] + b"Server: nginx\r\n\r\n"
    bye(play(server.accepting(echo)) >> ask(host="A.test:8080") << answer)


@pytest.mark.parametrize("path", ["/ws?x=1", "/%77s"])
def test_the_path_is_what_is_before_the_query(path: str) -> None:
    bye(play(WsServer("/ws", {}).accepting(echo)) >> ask(path) << AGREED)


def refused(status: bytes) -> re.Pattern[bytes]:
    more = b"Sec-WebSocket-Version: 13\r\n" if status.startswith(b"426") else b""
    date = rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    return re.compile(rb"HTTP/1\.1 %s\r\n%s%sContent-Length: 0\r\nConnection: close\r\n\r\n\Z" % (status, date, more))


BAD = b"400 Bad Request"
EARLY = {"early": True}
NAMED = {"early": True, "early_name": "X-Early"}


@pytest.mark.parametrize(
    ("options", "request_", "status", "reason"),
    [
        ({}, b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"404 Not Found", "path"),
        ({}, ask("/other"), b"404 Not Found", "path"),
        ({}, ask("/ws/"), b"404 Not Found", "path"),
        ({}, ask("/wsAAAA"), b"404 Not Found", "path"),
        ({}, ask("*"), b"404 Not Found", "path"),
        (NAMED, ask("/wsAAAA"), b"404 Not Found", "path"),
        (EARLY, ask("/xAAAA"), b"404 Not Found", "path"),
        ({}, ask("/ws", host="b.test"), b"404 Not Found", "host"),
        ({}, b"GET /ws HTTP/1.1\r\nHost: a.test\r\n\r\n", BAD, "upgrade"),
        ({}, ask("/ws").replace(b"GET", b"POST"), BAD, "upgrade"),
        ({}, ask("/ws").replace(b"Key", b"Kex"), BAD, ""),
        ({}, ask("/ws").replace(b": 13", b": 8"), b"426 Upgrade Required", "websocket-version"),
        ({}, ask("/ws").replace(b"/1.1", b"/2.0"), b"505 HTTP Version Not Supported", "version"),
        ({}, ask("/ws").replace(b"Host", b"Hosts"), BAD, ""),
        ({}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", BAD, ""),
        ({}, ask("/ws", "X: " + "x" * 70_000), b"431 Request Header Fields Too Large", ""),
        (EARLY, ask("/wsA"), BAD, ""),
        (NAMED, ask("/ws", "X-Early: A"), BAD, ""),
        (NAMED, ask("/ws", "X-Early: AAAA", "X-Early: AAAA"), BAD, "early-data"),
    ],
)
def test_strangers_get_an_answer(options: dict[str, object], request_: bytes, status: bytes, reason: str) -> None:
    server = WsServer("/ws", {"Host": ("a.test",)}, **options)  # type: ignore[arg-type]
    talk = play(server.accepting(never)) >> request_ << refused(status)
    talk.end().closed(ProtocolError)
    error = talk.error()
    assert isinstance(error, ProtocolError)
    assert error.reason == reason


def test_who_says_nothing_hears_nothing() -> None:
    play(WsServer("/", {}).accepting(never)).end().closed(ProtocolError)
    (play(WsServer("/", {}).accepting(never)) >> b"GET / HT").end().closed(ProtocolError)


def test_a_silent_client_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from gproxy.layers.transport import upgrade

    monkeypatch.setattr(upgrade, "HANDSHAKE_TIMEOUT", 0.01)
    talk = play(WsServer("/", {}).accepting(never)) >> ask()[:20]
    talk.closed(ProtocolError)
    error = talk.error()
    assert isinstance(error, ProtocolError)
    assert error.reason == "timeout"


@pytest.mark.parametrize(
    ("options", "path", "lines", "echoed"),
    [
        (EARLY, "/wsaGVsbG8", (), b""),
        (EARLY, "/ws", (), b""),
        (NAMED, "/ws", ("x-early: aGVsbG8",), b""),
        (NAMED, "/ws", ("x-early: aGVsbG8=",), b""),
        (NAMED, "/ws", (), b""),
        (NAMED, "/ws?ed=2048", ("Sec-WebSocket-Protocol: chat",), b""),
        (
            {"early": True, "early_name": "Sec-WebSocket-Protocol"}, "/ws", ("Sec-WebSocket-Protocol: aGVsbG8",),
            b"Sec-WebSocket-Protocol: aGVsbG8\r\n",
        ),
    ],
)  # fmt: skip
def test_early_data(options: dict[str, object], path: str, lines: tuple[str, ...], echoed: bytes) -> None:
    server = WsServer("/ws", {}, **options)  # type: ignore[arg-type]
    early = frame(b"hello") if "aGVsbG8" in path + "".join(lines) else b""
    talk = play(server.accepting(echo)) >> ask(path, *lines) << AGREED[:-2] + echoed + b"\r\n" + early
    bye(talk >> masked(b"more") << frame(b"more"))


# -- client -----------------------------------------------------------------------------------------------------------

REQUEST = re.compile(
    rb"GET (\S+) HTTP/1\.1\r\nHost: (\S+)\r\n(?:X-Own: 1\r\n)?(?:(\S+): ([A-Za-z0-9_-]+)\r\n)?Upgrade: websocket\r\n"
    rb"Connection: Upgrade\r\nSec-WebSocket-Key: ([A-Za-z0-9+/]{22}==)\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def answered(server: PipeEnd, *lines: bytes) -> re.Match[bytes]:
    """Hear a client's request, and agree to it."""
    heard = b""
    while (found := REQUEST.fullmatch(heard)) is None:
        heard += server.recv()
    own = b"".join(line + b"\r\n" for line in lines)
    server.sendall(AGREED.replace(accept_of(KEY), accept_of(found[5]))[:-2] + own + b"\r\n")
    return found


def test_a_client_asks_before_there_is_a_payload() -> None:
    near, far = pipe()
    with Group("test") as group:
        layer = WsClient("b.test", "/x", {"X-Own": ("1",), "Host": ("a.test:81",)})
        dial = group.spawn(layer.connecting(lambda _: near), new_session())
        found = answered(far)
        dial.join()
    assert found.group(1, 2) == (b"/x", b"a.test:81")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "declined"),
        (AGREED, "failed"),  # to another key
        (b"nonsense\r\n\r\n", "failed"),
        (b"", "failed"),
    ],
)
def test_a_client_that_is_not_agreed_with(answer: bytes, reason: str) -> None:
    talk = converse(lambda stream: WsClient("a.test", "/", {}).connecting(lambda _: stream)(new_session()))
    (talk << REQUEST >> answer).end()
    error = talk.error()
    assert isinstance(error, DialError)
    assert error.reason == reason


def test_a_client_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from gproxy.layers.transport import upgrade

    monkeypatch.setattr(upgrade, "HANDSHAKE_TIMEOUT", 0.01)
    talk = converse(lambda stream: WsClient("a.test", "/", {}).connecting(lambda _: stream)(new_session()))
    error = (talk << REQUEST).error()
    assert isinstance(error, DialError)
    assert error.reason == "timeout"


def early_over(near: Stream, early: int = 4, name: str = "") -> Stream:
    return WsClient("a.test", "/x", {}, early=early, early_name=name).connecting(lambda _: near)(new_session())


@pytest.mark.parametrize(
    ("name", "payload", "rest"), [("", b"abc", b""), ("", b"abcdef", b"ef"), ("X-E", b"abcdef", b"ef")]
)
def test_early_data_leaves_with_the_request(name: str, payload: bytes, rest: bytes) -> None:
    near, far = pipe()
    stream = early_over(near, 4, name)
    assert stream.held()
    assert stream.take() == b""
    with Group("test") as group:
        writer = group.spawn(stream.sendall, payload)
        found = answered(far)
        writer.join()
        assert not stream.held()
        early = b64encode(payload[:4], b"-_").rstrip(b"=")
        assert found.group(1, 3, 4) == ((b"/x", b"X-E", early) if name else (b"/x" + early, None, None))
        stream.sendall(b"!")
        stream.close_write()
        heard = far.unread
        opener, target = FrameOpener(Talk(no_mask), masked=True), bytearray(100)
        assert target[: opener.open_into(memoryview(heard), memoryview(target))[1]] == rest + b"!"


def test_a_server_that_speaks_first_is_heard() -> None:
    near, far = pipe()
    stream = early_over(near)
    with Group("test") as group:
        server = group.spawn(answered, far)
        far.sendall(b"")
        reader = group.spawn(stream.recv)
        server.join()
        far.sendall(frame(b"welcome"))
        reader.join()


def test_an_end_without_a_payload_is_said_too() -> None:
    near, far = pipe()
    stream = early_over(near)
    with Group("test") as group:
        group.spawn(answered, far)
        stream.close_write()
    assert far.unread[:2] == b"\x88\x82"


def test_a_request_that_fails_with_its_payload_fails_for_good() -> None:
    near, far = pipe()
    stream = early_over(near)
    far.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    for use in (lambda: stream.sendall(b"x"), stream.recv, lambda: stream.sendall(b"y")):
        with pytest.raises(StreamClosed, match="403") as caught:
            use()
        assert caught.value.reason == "corrupt"
    assert stream.record() is None
    stream.close_write()
    assert far.unread.count(b"GET ") == 1


def test_early_data_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "HANDSHAKE_TIMEOUT", 0.01)
    stream = early_over(pipe()[0])
    with pytest.raises(StreamClosed) as caught:
        stream.sendall(b"x")
    assert caught.value.reason == "timeout"


def test_frames_over_a_socket_are_for_the_pump() -> None:
    near, far = tcp_pair()
    stream = websocket(near, b"rest", client=True)
    assert isinstance(stream, Framed)
    found = stream.record()
    assert found is not None
    assert (found.fd, found.unopened) == (near.bare(), b"rest")
    assert found.answering is not None
    assert found.ending is not None
    near.close()
    far.close()
