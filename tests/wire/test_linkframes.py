"""What smux and yamux have in common, with a format of the tests' own; what each says is in their own tests."""

from __future__ import annotations

from struct import Struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import Overloaded
from gproxy.base.iface import Happened
from gproxy.wire.linkframes import LinkFrames


class Toy(LinkFrames):
    """A stream's number and a length. What is for stream 9 is for nobody."""

    __slots__ = ("headers",)

    name = "toy"
    header = Struct(">HH")
    last = 5
    most = 10

    def __init__(self) -> None:
        super().__init__(1)
        self.headers: list[tuple[int, ...]] = []

    def _frame(self, header: tuple[int, ...], happened: list[Happened]) -> None:
        self.headers.append(header)
        number, self._left = header
        self._target = 0 if number == 9 else number

    def _data_header(self, stream: int, size: int) -> bytes:
        return self.header.pack(stream, size)

    def say(self, stream: int, data: bytes) -> None:
        self._put_data(stream, data)

    def end(self, stream: int) -> None:
        self._put(stream, 0)

    def number(self) -> int:
        return self._number()


@given(st.lists(st.tuples(st.sampled_from([1, 2, 9]), st.binary(max_size=30))), st.integers(1, 20))
def test_what_is_put_together_comes_apart_however_it_is_cut(said: list[tuple[int, bytes]], step: int) -> None:
    near, far = Toy(), Toy()
    for stream, data in said:
        near.say(stream, data)
        near.end(stream)
    assert near.due == bool(said)
    sent, happened = near.drain(), []
    assert not near.due
    for at in range(0, len(sent), step):
        happened += far.feed(sent[at : at + step])
    for stream in (1, 2, 9):
        got = b"".join(each.value for each in happened if each.stream == stream)
        assert got == (b"" if stream == 9 else b"".join(data for number, data in said if number == stream))
    assert all(size <= Toy.most for _, size in far.headers)


def test_any_buffer_can_be_said_and_is_not_kept() -> None:
    near = Toy()
    buffer = bytearray(b"twelve bytes")
    near.say(1, buffer)  # type: ignore[arg-type]
    near.say(2, memoryview(buffer)[:3])  # type: ignore[arg-type]
    buffer[:] = bytes(12)
    assert near.drain() == b"\0\1\0\x0atwelve byt" + b"\0\1\0\2es" + b"\0\2\0\3twe"


def test_numbers_come_to_an_end() -> None:
    near = Toy()
    assert [near.number() for _ in range(3)] == [1, 3, 5]
    with pytest.raises(Overloaded, match="this toy link has no numbers left"):
        near.number()
