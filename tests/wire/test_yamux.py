"""gproxy.wire.yamux, frame by frame; what every core keeps is in tests/conformance/test_multiplexers.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.wire.yamux import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    INITIAL,
    MAX_PAYLOAD,
    MISTAKE,
    NORMAL,
    PING,
    RST,
    SYN,
    WINDOW,
    Yamux,
)


def frame(kind: int, flags: int, stream: int, length: int = 0, payload: bytes = b"", version: int = 0) -> bytes:
    return HEADER.pack(version, kind, flags, stream, length or len(payload)) + payload


def happened(core: Yamux, *frames: bytes) -> list[tuple[str, int, bytes]]:
    return [tuple(each) for each in core.feed(b"".join(frames))]


def server() -> Yamux:
    """A server with a stream 1."""
    core = Yamux(client=False)
    assert happened(core, frame(WINDOW, SYN, 1)) == [("opened", 1, b"")]
    assert core.drain() == frame(WINDOW, ACK, 1)
    return core


def client() -> Yamux:
    """A client with a stream 1, which the server has taken."""
    core = Yamux(client=True)
    assert core.open() == 1
    assert core.drain() == frame(WINDOW, SYN, 1)
    core.feed(frame(WINDOW, ACK, 1))
    return core


def test_the_octets_of_a_frame() -> None:
    assert frame(DATA, SYN, 0x01020304, 0, b"xyz") == b"\x00\x00\x00\x01\x01\x02\x03\x04\x00\x00\x00\x03xyz"


def test_data_of_any_size_is_cut_into_frames() -> None:
    core = client()
    data = b"x" * (2 * MAX_PAYLOAD + 5)
    core.send(1, data)
    pieces = [data[at : at + MAX_PAYLOAD] for at in range(0, len(data), MAX_PAYLOAD)]
    assert core.drain() == b"".join(frame(DATA, 0, 1, 0, piece) for piece in pieces)
    assert core.room(1) == INITIAL - len(data)
    core.send(1, b"")
    assert core.drain() == b""


def test_data_may_begin_and_end_a_stream() -> None:
    core = Yamux(client=False)
    whole = frame(DATA, SYN | FIN, 1, 0, b"all")
    assert happened(core, whole[:13]) == [("opened", 1, b""), ("data", 1, b"a")]
    assert happened(core, whole[13:]) == [("data", 1, b"ll"), ("ended", 1, b"")]


def test_a_window_grows_when_half_of_it_was_taken() -> None:
    core = server()
    for _ in range(2):
        core.feed(frame(DATA, 0, 1, 0, bytes(INITIAL // 4)))
    core.taken(1, INITIAL // 4)
    assert not core.due
    core.taken(1, INITIAL // 4)
    assert core.drain() == frame(WINDOW, 0, 1, INITIAL // 2)
    core.feed(frame(DATA, 0, 1, 0, bytes(INITIAL)))


def test_more_than_the_window_is_a_mistake() -> None:
    core = server()
    core.feed(frame(DATA, 0, 1, 0, bytes(INITIAL)))
    with pytest.raises(ProtocolError):
        core.feed(frame(DATA, 0, 1, 0, b"x"))
    assert core.drain() == frame(GO_AWAY, 0, 0, MISTAKE)


@pytest.mark.parametrize(
    "wrong",
    [
        frame(DATA, 0, 1, version=1),
        frame(4, 0, 0),
        frame(DATA, 0, 1, 0xFFFFFFFF),
        frame(WINDOW, SYN, 1),
        frame(WINDOW, SYN, 2),
        frame(WINDOW, SYN, 0),
        frame(WINDOW, 0, 1, 0xFFFFFFFF),
        frame(WINDOW, FIN, 1) + frame(WINDOW, FIN, 1),
        frame(WINDOW, FIN, 1) + frame(DATA, 0, 1, 0, b"x"),
    ],
)
def test_mistakes_are_told(wrong: bytes) -> None:
    core = server()
    with pytest.raises(ProtocolError):
        core.feed(wrong)
    assert core.drain().endswith(frame(GO_AWAY, 0, 0, MISTAKE))


def test_a_server_opens_even_numbers() -> None:
    core = Yamux(client=True)
    assert happened(core, frame(WINDOW, SYN, 2)) == [("opened", 2, b"")]
    with pytest.raises(ProtocolError):
        core.feed(frame(WINDOW, SYN, 3))


def test_frames_of_streams_that_nobody_has_are_skipped() -> None:
    core = server()
    frames = (frame(DATA, 0, 3, 0, b"whose?"), frame(WINDOW, RST, 5), frame(WINDOW, 0, 7, 100))
    assert happened(core, *frames, frame(DATA, 0, 1, 0, b"mine")) == [("data", 1, b"mine")]
    assert not core.due


def test_a_reset_amid_a_payload() -> None:
    core = server()
    whole = frame(DATA, FIN, 1, 0, b"abcdef")
    core.feed(whole[:14])
    core.reset(1)
    assert core.drain() == frame(WINDOW, RST, 1)
    assert happened(core, whole[14:], frame(WINDOW, SYN, 3)) == [("opened", 3, b"")]


def test_a_close_amid_a_payload_is_a_reset() -> None:
    core = server()
    core.feed(frame(DATA, 0, 1, 0, b"abcdef")[:14])
    core.close(1)
    assert core.drain() == frame(WINDOW, FIN, 1) + frame(WINDOW, RST, 1)


def test_a_close_behind_a_whole_payload_is_none() -> None:
    core = server()
    core.feed(frame(DATA, 0, 1, 0, b"abcdef"))
    core.close(1)
    assert core.drain() == frame(WINDOW, FIN, 1)


def test_data_after_our_close_is_answered_with_a_reset() -> None:
    core = client()
    core.close(1)
    assert core.drain() == frame(WINDOW, FIN, 1)
    assert happened(core, frame(DATA, 0, 1, 0, b"more")) == []
    assert core.drain() == frame(WINDOW, RST, 1)


def test_a_peer_that_does_not_end_its_side_is_told_after_a_while() -> None:
    core = client()
    core.tick(100)
    core.close(1)
    core.drain()
    core.tick(105)
    assert not core.due
    core.tick(110)
    assert core.drain() == frame(WINDOW, RST, 1)


def test_a_peer_that_ends_its_side_is_told_nothing() -> None:
    core = client()
    core.tick(100)
    core.close(1)
    core.drain()
    assert happened(core, frame(WINDOW, FIN, 1)) == []
    for at in (105, 110, 115):
        core.tick(at)
    assert not core.due


def test_room_happens_when_there_was_none() -> None:
    core = client()
    assert happened(core, frame(WINDOW, 0, 1, 5)) == []
    core.send(1, bytes(INITIAL + 5))
    assert core.room(1) == 0
    assert happened(core, frame(WINDOW, 0, 1, 5)) == [("room", 1, b"")]
    assert core.room(1) == 5


# -- the link ----------------------------------------------------------------------------------------------------------


def test_a_ping_is_answered_and_an_answer_is_not() -> None:
    core = server()
    core.feed(frame(PING, SYN, 0, 77) + frame(PING, ACK, 0, 78))
    assert core.drain() == frame(PING, ACK, 0, 77)


def test_pings_and_an_answer_in_time() -> None:
    core = server()
    for at in range(0, 30, 5):
        assert core.tick(at) == at + 5
        assert not core.due
    core.tick(30)
    assert core.drain() == frame(PING, SYN, 0, 0)
    core.feed(frame(PING, ACK, 0, 0))
    for at in range(35, 60, 5):
        core.tick(at)
    assert not core.due
    core.tick(60)
    assert core.drain() == HEADER.pack(0, PING, SYN, 0, 1)


def test_a_peer_that_answers_no_ping_is_gone() -> None:
    core = server()
    for at in range(0, 40, 5):
        core.tick(at)
    with pytest.raises(ProtocolError) as caught:
        core.tick(40)
    assert caught.value.reason == "timeout"


def test_who_was_not_asked_the_time_for_long_blames_nobody() -> None:
    core = server()
    for at in range(0, 35, 5):
        core.tick(at)
    core.tick(100)


def test_a_peer_that_takes_no_streams_is_gone() -> None:
    core = Yamux(client=True)
    core.tick(100)
    core.open()
    core.tick(105)
    with pytest.raises(ProtocolError) as caught:
        core.tick(110)
    assert caught.value.reason == "timeout"


def test_a_goodbye_is_said_once_and_later_streams_are_refused() -> None:
    core = server()
    core.goodbye()
    core.goodbye()
    assert core.drain() == frame(GO_AWAY, 0, 0, NORMAL)
    assert happened(core, frame(WINDOW, SYN, 3), frame(DATA, 0, 1, 0, b"goes on")) == [("data", 1, b"goes on")]
    assert core.drain() == frame(WINDOW, RST, 3)


def test_a_goodbye_is_heard() -> None:
    [event] = client().feed(frame(GO_AWAY, 0, 0, NORMAL))
    assert event.kind == "closing"


@pytest.mark.parametrize("code", [1, 2, 99])
def test_a_peer_that_gives_up_is_believed(code: int) -> None:
    with pytest.raises(ProtocolError):
        client().feed(frame(GO_AWAY, 0, 0, code))


def test_streams_that_are_opened_and_refused_without_end() -> None:
    core = Yamux(client=False)
    with pytest.raises(ProtocolError):
        for number in range(1, 100_000, 2):
            for each in core.feed(frame(WINDOW, SYN, number)):
                core.reset(each.stream)
    assert len(core.drain()) < 1 << 18
