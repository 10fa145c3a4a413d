from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import TooLarge
from gproxy.wire.cursor import Cursor, Incomplete


def test_numbers_are_in_network_order() -> None:
    cursor = Cursor(b"\x01\x02\x03\x04\x05\x06\x07")
    assert (cursor.u8(), cursor.u16(), cursor.u32()) == (0x01, 0x0203, 0x04050607)
    assert cursor.left() == 0


@pytest.mark.parametrize(("read", "size"), [(Cursor.u8, 1), (Cursor.u16, 2), (Cursor.u32, 4)])
def test_a_number_that_is_not_all_there(read, size: int) -> None:  # type: ignore[no-untyped-def]
    for length in range(size):
        cursor = Cursor(bytes(length))
        with pytest.raises(Incomplete):
            read(cursor)
        assert cursor.at == 0


def test_pieces() -> None:
    cursor = Cursor(bytearray(b"abcdef"), 1)
    assert cursor.take(2) == b"bc"
    assert type(cursor.take(0)) is bytes
    assert cursor.left() == 3
    assert cursor.rest() == b"def"
    assert cursor.rest() == b""
    with pytest.raises(Incomplete):
        cursor.take(1)


def test_up_to_a_delimiter() -> None:
    cursor = Cursor(b"line\r\nnext\r\n")
    assert cursor.until(b"\r\n", 10) == b"line"
    assert cursor.until(b"\r\n", 4) == b"next"
    with pytest.raises(Incomplete):
        cursor.until(b"\r\n", 10)


def test_a_delimiter_that_does_not_come_in_time() -> None:
    assert Cursor(b"abcd\r\n").until(b"\r\n", 4) == b"abcd"
    with pytest.raises(TooLarge):
        Cursor(b"abcde\r\n").until(b"\r\n", 4)
    with pytest.raises(Incomplete):
        Cursor(b"abcd\r").until(b"\r\n", 4)
    with pytest.raises(TooLarge):
        Cursor(b"abcdef").until(b"\r\n", 4)


@given(st.binary(max_size=30), st.integers(0, 30), st.sampled_from([b"\0", b"\r\n", b"\r\n\r\n"]))
def test_until_gives_the_same_verdict_however_the_bytes_come(data: bytes, limit: int, delimiter: bytes) -> None:
    """What was refused or found with fewer bytes is not judged otherwise with more."""
    first: object = None
    for length in range(len(data) + 1):
        verdict: object
        try:
            verdict = Cursor(data[:length]).until(delimiter, limit)
        except Incomplete:
            assert first is None
            continue
        except TooLarge:
            verdict = TooLarge
        first = verdict if first is None else first
        assert verdict == first
    if isinstance(first, bytes):
        assert len(first) <= limit
        assert data.startswith(first + delimiter)
