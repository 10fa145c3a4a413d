from __future__ import annotations

import pytest

from gproxy.base.errors import StreamClosed
from gproxy.rt.group import Group
from tests.support.pipe import PipeEnd, pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def test_bytes_arrive_in_order_and_the_end_is_sticky() -> None:
    near, far = pipe()
    near.sendall(b"ab")
    near.sendall(memoryview(b"cd"))
    near.close_write()
    near.close_write()
    assert far.recv() == b"abcd"
    assert far.recv() == b""
    assert far.recv() == b""


def test_chunk_splits_what_is_received() -> None:
    near, far = pipe(chunk=2)
    near.sendall(b"abcde")
    assert [far.recv(), far.recv(), far.recv()] == [b"ab", b"cd", b"e"]


def test_half_close_leaves_the_other_way_open() -> None:
    near, far = pipe()
    near.close_write()
    far.sendall(b"late")
    assert near.recv() == b"late"
    with pytest.raises(StreamClosed):
        near.sendall(b"x")


def test_a_slow_reader_makes_the_writer_wait() -> None:
    near, far = pipe(capacity=4)
    with Group("test") as group:
        group.spawn(near.sendall, b"0123456789")
        got = b""
        while len(got) < 10:
            piece = far.recv()
            assert len(piece) <= 4
            got += piece
    assert got == b"0123456789"


def test_close_wakes_whoever_waits_on_both_sides() -> None:
    near, _ = pipe(capacity=1)
    seen: list[str] = []

    def wait(end: PipeEnd, reads: bool) -> None:
        with pytest.raises(StreamClosed) as caught:
            end.recv() if reads else end.sendall(b"too much")
        seen.append(caught.value.reason)

    with Group("test") as group:
        group.spawn(wait, near, False)
        group.spawn(wait, near, True)
        group.join(0.01)
        assert not seen
        near.close()
        near.close()
        assert group.join(30)
    assert seen == ["local", "local"]


def test_close_wakes_a_writer_at_the_other_side() -> None:
    near, far = pipe(capacity=1)
    with Group("test") as group:
        group.spawn(near.close)
        with pytest.raises(StreamClosed) as caught:
            far.sendall(b"too much")
    assert caught.value.reason == "reset"


def test_what_was_sent_before_close_arrives() -> None:
    near, far = pipe()
    near.sendall(b"bye")
    near.close()
    assert (far.recv(), far.recv()) == (b"bye", b"")
    with pytest.raises(StreamClosed, match="peer"):
        far.sendall(b"?")


def test_abort_loses_what_is_on_its_way_and_is_seen_as_a_reset() -> None:
    near, far = pipe()
    near.sendall(b"lost")
    near.abort()
    with pytest.raises(StreamClosed) as caught:
        far.recv()
    assert caught.value.reason == "reset"
    assert near.aborted
