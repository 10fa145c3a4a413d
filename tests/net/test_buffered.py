from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.net.buffered import Buffered
from gproxy.wire.cursor import Cursor
from tests.conformance.streams import unix_pair
from tests.support.pipe import PipeEnd, pipe


@pytest.fixture
def ends() -> Iterator[tuple[Buffered, PipeEnd]]:
    near, far = pipe()
    return Buffered(near), far


def line(cursor: Cursor) -> bytes:
    return cursor.until(b"\n", 20)


def test_a_message_may_come_in_pieces() -> None:
    near, far = pipe(chunk=1)
    far.sendall(b"hello\nworld")
    assert Buffered(near).decode(line, 20) == b"hello"


def test_what_a_message_leaves_is_kept(ends: tuple[Buffered, PipeEnd]) -> None:
    buffered, far = ends
    far.sendall(b"one\ntwo\nrest")
    assert (buffered.decode(line, 20), buffered.decode(line, 20)) == (b"one", b"two")
    assert buffered.recv() == b"rest"


def test_a_message_that_is_too_long(ends: tuple[Buffered, PipeEnd]) -> None:
    buffered, far = ends
    far.sendall(b"0123456789")
    with pytest.raises(TooLarge):
        buffered.decode(line, 10)


def test_the_decoders_own_verdict_comes_out(ends: tuple[Buffered, PipeEnd]) -> None:
    buffered, far = ends
    far.sendall(b"x" * 30)
    with pytest.raises(TooLarge, match="within 20"):
        buffered.decode(line, 100)


@pytest.mark.parametrize(("said", "reason"), [(b"", "empty"), (b"half", "truncated")])
def test_an_end_inside_the_message(ends: tuple[Buffered, PipeEnd], said: bytes, reason: str) -> None:
    buffered, far = ends
    far.sendall(said)
    far.close_write()
    with pytest.raises(ProtocolError) as caught:
        buffered.decode(line, 20)
    assert caught.value.reason == reason


def test_peek_uses_nothing_up(ends: tuple[Buffered, PipeEnd]) -> None:
    buffered, far = ends
    far.sendall(b"abc\n")
    assert (buffered.peek(), buffered.peek()) == (b"abc\n", b"abc\n")
    assert buffered.decode(line, 20) == b"abc"
    far.close_write()
    assert (buffered.peek(), buffered.recv(), buffered.recv()) == (b"", b"", b"")


def test_take_gives_all_that_was_read_ahead_once(ends: tuple[Buffered, PipeEnd]) -> None:
    inner, far = ends
    buffered = Buffered(inner, b"ahead ")
    far.sendall(b"abc\nrest")
    inner.decode(line, 20)
    assert buffered.take() == b"ahead rest"
    assert buffered.take() == b""


def test_it_is_bare_when_nothing_is_read_ahead() -> None:
    near, far = unix_pair()
    buffered = Buffered(near, b"x")
    assert buffered.bare() is None
    buffered.take()
    assert buffered.bare() == near.bare()
    near.close()
    far.close()


@given(
    st.binary(max_size=200),
    st.integers(1, 50),
    st.lists(st.one_of(st.sampled_from(["peek", "recv", "take"]), st.integers(1, 20)), max_size=40),
)
def test_nothing_is_lost_in_any_order_of_calls(data: bytes, chunk: int, calls: list[str | int]) -> None:
    """An integer is a decode of so many bytes."""
    near, far = pipe(chunk=chunk)
    far.sendall(data)
    far.close_write()
    buffered = Buffered(near)
    got = b""
    for call in calls:
        if isinstance(call, str):
            piece = getattr(buffered, call)()
            if call == "peek":
                assert data[len(got) :].startswith(piece)
            else:
                got += piece
        elif len(data) - len(got) >= call:
            got += buffered.decode(lambda cursor, count=call: cursor.take(count), 1000)
        assert data.startswith(got)
    while piece := buffered.recv():
        got += piece
    assert got == data


def test_what_is_put_back_comes_first() -> None:
    near, far = pipe()
    far.sendall(b"rest")
    stream = Buffered(near)
    stream.unread(b"two ")
    stream.unread(b"one ")
    assert stream.recv() == b"one two "
    assert stream.recv() == b"rest"


def test_more_is_read_beside_what_is_ahead(ends: tuple[Buffered, PipeEnd]) -> None:
    buffered, far = ends
    assert buffered.ahead == b""
    far.sendall(b"one")
    assert buffered.more() == b"one"
    far.sendall(b"two")
    assert buffered.more() == b"two"
    assert buffered.ahead == b"onetwo"
    far.close_write()
    assert buffered.more() == b""
    assert (buffered.recv(), buffered.recv()) == (b"onetwo", b"")
