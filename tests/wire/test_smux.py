"""gproxy.wire.smux, frame by frame; what every core keeps is in tests/conformance/test_multiplexers.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import Overloaded, ProtocolError
from gproxy.wire.smux import FIN, HALVES, HEADER, MAX_PAYLOAD, NOP, PSH, SYN, VERSION, Smux

OURS = HEADER.pack(VERSION, NOP, 0, HALVES)


def frame(command: int, stream: int = 0, payload: bytes = b"", version: int = VERSION) -> bytes:
    return HEADER.pack(version, command, len(payload), stream) + payload


def happened(core: Smux, *frames: bytes) -> list[tuple[str, int, bytes]]:
    return [tuple(each) for each in core.feed(b"".join(frames))]


def client(*, like_us: bool = False) -> tuple[Smux, int]:
    """A client with one stream, that has said what it says at first, to a server that may be one of us."""
    core = Smux(client=True)
    number = core.open()
    assert core.drain() == OURS + frame(SYN, number)
    if like_us:
        core.feed(OURS)
    return core, number


def server(*, like_us: bool = False) -> Smux:
    """A server with a stream 3."""
    core = Smux(client=False)
    if like_us:
        core.feed(OURS)
    assert happened(core, frame(SYN, 3)) == [("opened", 3, b"")]
    assert core.drain() == (OURS if like_us else b"")
    return core


def test_a_clients_streams_have_odd_numbers_from_three_on() -> None:
    core = Smux(client=True)
    assert [core.open(), core.open(), core.open()] == [3, 5, 7]


def test_the_octets_of_a_frame() -> None:
    assert frame(PSH, 0x01020304, b"xyz") == b"\x01\x02\x03\x00\x04\x03\x02\x01xyz"


def test_data_of_any_size_is_cut_into_frames() -> None:
    core, number = client()
    data = b"x" * (2 * MAX_PAYLOAD + 5)
    core.send(number, data)
    assert core.drain() == b"".join(frame(PSH, number, data[at : at + MAX_PAYLOAD]) for at in (0, 32768, 65536))
    core.send(number, b"")
    assert core.drain() == b""


def test_a_payload_is_given_on_before_its_end() -> None:
    core = server()
    whole = frame(PSH, 3, b"abcdef")
    assert happened(core, whole[:10]) == [("data", 3, b"ab")]
    assert happened(core, whole[10:], frame(PSH, 3), frame(PSH, 3, b"g")) == [("data", 3, b"cdef"), ("data", 3, b"g")]


def test_data_of_streams_that_nobody_has_is_dropped() -> None:
    core = server()
    assert happened(core, frame(PSH, 5, b"whose?"), frame(FIN, 5), frame(PSH, 3, b"mine")) == [("data", 3, b"mine")]
    core.close(3)
    assert happened(core, frame(PSH, 3, b"too late"), frame(FIN, 3)) == []


def test_a_stream_that_is_closed_amid_a_payload_hears_no_more_of_it() -> None:
    core = server()
    whole = frame(PSH, 3, b"abcdef")
    core.feed(whole[:9])
    core.close(3)
    assert happened(core, whole[9:], frame(SYN, 5)) == [("opened", 5, b"")]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(SYN, 3, version=2),
        frame(4, 3, bytes(8)),
        frame(255, 3),
        frame(SYN, 5, b"x"),
        frame(FIN, 3, b"x"),
        frame(NOP, 0, b"x"),
        frame(SYN, 0),
        frame(SYN, HALVES),
    ],
)
def test_what_can_not_be(wrong: bytes) -> None:
    with pytest.raises(ProtocolError):
        server().feed(wrong)


def test_a_server_opens_no_streams() -> None:
    with pytest.raises(ProtocolError):
        Smux(client=True).feed(frame(SYN, 2))


def test_a_number_that_is_in_use_is_not_opened_again() -> None:
    core = server()
    assert happened(core, frame(SYN, 3), frame(PSH, 3, b"x")) == [("data", 3, b"x")]
    core.close(3)
    assert happened(core, frame(SYN, 3)) == [("opened", 3, b"")]


def test_numbers_run_out() -> None:
    core = Smux(client=True)
    core._next = 0xFFFFFFEF
    assert core.open() == 0xFFFFFFEF
    with pytest.raises(Overloaded):
        core.open()


def test_a_sign_of_life_is_answered() -> None:
    core = server()
    core.feed(frame(NOP))
    assert core.drain() == frame(NOP)


def test_streams_that_are_opened_and_refused_without_end() -> None:
    core = Smux(client=False)
    with pytest.raises(ProtocolError):
        for number in range(3, 100_000, 2):
            for each in core.feed(frame(SYN, number)):
                core.reset(each.stream)


# -- ends, with peers of other makers ----------------------------------------------------------------------------------


def test_their_end_is_one_of_both_directions() -> None:
    core = server()
    assert happened(core, frame(FIN, 3)) == [("ended", 3, b""), ("reset", 3, b"")]
    core.close(3)
    assert core.drain() == frame(FIN, 3)
    core, number = client()
    assert happened(core, frame(FIN, number)) == [("ended", number, b""), ("reset", number, b"")]
    core.close(number)
    assert core.drain() == frame(FIN, number)


def test_a_servers_end_is_said_at_once_since_it_may_be_the_answers() -> None:
    core = server()
    core.end(3)
    assert core.drain() == frame(FIN, 3)
    core.close(3)
    assert core.drain() == b""


def test_a_clients_end_waits_for_the_answer_as_long_as_that_may_come() -> None:
    core, number = client()
    core.end(number)
    assert core.drain() == b""
    assert [core.tick(at) for at in (0, 5)] == [5, 10]
    assert happened(core, frame(PSH, number, b"the answer")) == [("data", number, b"the answer")]
    for at in (10, 15):
        core.tick(at)
        assert core.drain() == b""
    core.tick(20)
    assert core.drain() == frame(FIN, number)
    core.tick(25)
    core.close(number)
    assert core.drain() == b""


def test_a_clients_end_that_waits_is_said_with_the_close() -> None:
    core, number = client()
    core.end(number)
    core.close(number)
    assert core.drain() == frame(FIN, number)


def test_a_client_that_was_told_the_end_may_tell_its_own() -> None:
    core, number = client()
    core.feed(frame(FIN, number))
    core.end(number)
    assert core.drain() == frame(FIN, number)


# -- ends, among us ----------------------------------------------------------------------------------------------------


def test_among_us_an_end_is_that_of_one_direction() -> None:
    core, number = client(like_us=True)
    core.end(number)
    assert core.drain() == frame(FIN, number)
    assert happened(core, frame(PSH, number, b"the answer"), frame(FIN, number)) == [
        ("data", number, b"the answer"),
        ("ended", number, b""),
    ]
    core.close(number)
    assert core.drain() == b""


def test_among_us_a_second_end_says_that_nobody_listens() -> None:
    core = server(like_us=True)
    assert happened(core, frame(FIN, 3), frame(FIN, 3)) == [("ended", 3, b""), ("reset", 3, b"")]
    core, number = client(like_us=True)
    core.close(number)
    assert core.drain() == frame(FIN, number) * 2


def test_what_was_ended_before_it_is_known_who_the_server_is() -> None:
    core = Smux(client=True)
    ended, closed = core.open(), core.open()
    core.end(ended)
    core.close(closed)
    core.drain()
    core.feed(OURS)
    assert core.drain() == frame(FIN, closed) + frame(FIN, ended)
    core.feed(OURS)
    assert core.drain() == b""
    assert core.tick(1) is None
