"""gproxy.layers.mux.padding; what it keeps as every Stream does is in tests/conformance."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import StreamClosed
from gproxy.layers.mux.padding import Padded, junk_size
from gproxy.wire.mux import PADDED_PIECES
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

BULK = random.Random(5).randbytes(300_000)


def piece(data: bytes, junk: int = 300) -> bytes:
    return len(data).to_bytes(2, "big") + junk.to_bytes(2, "big") + data + bytes(junk)


def pieces(data: bytes) -> list[tuple[bytes, int]]:
    """The padded pieces at the beginning, each with the size of its junk; the rest as a piece without."""
    found = []
    while data and len(found) < PADDED_PIECES:
        size, junk = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        found.append((data[4 : 4 + size], junk))
        assert data[4 + size : 4 + size + junk] == bytes(junk)
        data = data[4 + size + junk :]
    return [*found, (data, 0)] if data else found


def test_the_first_sixteen_are_padded_and_no_more() -> None:
    near, far = pipe()
    padded = Padded(near)
    for number in range(18):
        padded.sendall(bytes([number]))
        padded.sendall(b"")
    found = pieces(far.recv())
    assert [data for data, _ in found] == [bytes([number]) for number in range(16)] + [b"\x10\x11"]
    assert all(256 <= junk < 768 for _, junk in found[:16])
    assert len({junk for _, junk in found}) > 5


def test_junk_has_a_size_of_its_own_each_time() -> None:
    sizes = {junk_size() for _ in range(500)}
    assert min(sizes) >= 256
    assert max(sizes) < 768
    assert len(sizes) > 100


def test_what_is_larger_than_a_piece_is_several() -> None:
    near, far = pipe()
    Padded(near).sendall(BULK)
    found = pieces(far.recv())
    assert [len(data) for data, _ in found] == [65535] * 4 + [300_000 - 4 * 65535]
    assert b"".join(data for data, _ in found) == BULK


def test_what_is_larger_than_all_pieces_goes_on_without() -> None:
    near, far = pipe(capacity=2 << 20)
    padded = Padded(near)
    for _ in range(15):
        padded.sendall(b"x")
    padded.sendall(BULK)
    assert pieces(far.recv())[15:] == [(BULK[:65535], pytest.approx(512, abs=256)), (BULK[65535:], 0)]


@given(st.lists(st.binary(min_size=0, max_size=50), max_size=20), st.integers(1, 400))
def test_pieces_may_come_cut_anywhere(payloads: list[bytes], chunk: int) -> None:
    near, far = pipe(chunk=chunk, capacity=1 << 20)
    padded = Padded(near)
    wire = b"".join(piece(each) for each in payloads[:16]) + b"".join(payloads[16:])
    far.sendall(wire)
    far.close_write()
    heard = b""
    while data := padded.recv():
        heard += data
    assert heard == b"".join(payloads)
    assert padded.recv() == b""


@pytest.mark.parametrize("cut", [1, 4, 6, 10])
def test_an_end_inside_a_piece(cut: int) -> None:
    near, far = pipe()
    far.sendall(piece(b"abc", 20)[:cut])
    far.close_write()
    padded = Padded(near)
    with pytest.raises(StreamClosed) as caught:
        while True:
            padded.recv()
    assert caught.value.reason == "truncated"


def test_take_gives_what_was_read_ahead() -> None:
    near, far = pipe()
    padded = Padded(near)
    far.sendall(piece(b"one") + piece(b"two") * 15 + b"three")
    assert padded.take() == b""
    assert padded.recv() == b"one"
    assert padded.take() == b"two" * 15 + b"three"
    assert padded.take() == b""
    far.sendall(b"four")
    assert padded.recv() == b"four"


def test_nothing_lies_bare_beneath() -> None:
    near, _ = pipe()
    assert Padded(near).bare() is None
    assert Padded(near).record() is None
