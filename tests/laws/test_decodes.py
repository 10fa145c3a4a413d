"""The laws of a Decode: it returns, wants more, or says that no more can help, however the bytes arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.cursor import Cursor, Decode, Incomplete
from tests.laws.registry import Law, laws

LAWS = laws()
TRAILING = (b"\0", b"\r\n", b"\xff" * 9, b"GET / HTTP/1.1\r\n")
TRIES = settings(max_examples=150)

each = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
each_written = pytest.mark.parametrize("law", [law for law in LAWS if law.encode], ids=lambda law: law.name)
each_generated = pytest.mark.parametrize(
    "law", [law for law in LAWS if law.values is not None], ids=lambda law: law.name
)

Verdict = tuple[str, Any, int]


def verdict(decode: Decode[Any], data: bytes) -> Verdict:
    """Which of the three outcomes. Any other exception is the test's failure."""
    cursor = Cursor(data)
    try:
        value = decode(cursor)
    except Incomplete:
        return "incomplete", None, 0
    except ProtocolError:
        return "wrong", None, 0
    assert 0 <= cursor.at <= len(data), "the cursor left the buffer"
    return "value", value, cursor.at


@each
def test_a_law_has_examples(law: Law) -> None:
    assert law.examples
    assert all(len(wire) <= law.limit for wire, _ in law.examples)


@each
def test_whole(law: Law) -> None:
    for wire, value in law.examples:
        assert verdict(law.decode, wire) == ("value", value, len(wire))


@each
def test_byte_by_byte(law: Law) -> None:
    if law.closed_by_end:
        pytest.skip("ends where the datagram does: every beginning is a message")
    for wire, value in law.examples:
        for end in range(len(wire)):
            assert verdict(law.decode, wire[:end])[0] == "incomplete", f"after {end} bytes of {wire!r}"
        assert verdict(law.decode, bytes(bytearray(wire))) == ("value", value, len(wire))


@each
def test_trailing_bytes_are_left_alone(law: Law) -> None:
    if law.closed_by_end:
        pytest.skip("ends where the datagram does: nothing trails")
    for wire, value in law.examples:
        for more in (*TRAILING, wire):
            assert verdict(law.decode, wire + more) == ("value", value, len(wire))


@each
def test_it_can_begin_in_the_middle_of_a_buffer(law: Law) -> None:
    for wire, value in law.examples:
        cursor = Cursor(bytearray(b"before" + wire), 6)
        assert law.decode(cursor) == value
        assert cursor.at == 6 + len(wire)


@each
def test_wrong_stays_wrong(law: Law) -> None:
    for wire in law.wrong:
        for more in (b"", *TRAILING):
            assert verdict(law.decode, wire + more)[0] == "wrong", wire + more


@each
@TRIES
@given(data=st.data())
def test_any_bytes_have_a_verdict(law: Law, data: st.DataObject) -> None:
    _check_verdict(law, data.draw(st.binary(max_size=min(law.limit, 4096) + 16)))


@each
@TRIES
@given(data=st.data())
def test_damaged_messages_have_a_verdict(law: Law, data: st.DataObject) -> None:
    wire = bytearray(data.draw(st.sampled_from([wire for wire, _ in law.examples])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(len(wire) - 1, 0)))
        kind = data.draw(st.sampled_from(("change", "insert", "remove")))
        wire[at : at + (kind != "insert")] = b"" if kind == "remove" else bytes([data.draw(st.integers(0, 255))])
    _check_verdict(law, bytes(wire))


def _check_verdict(law: Law, raw: bytes) -> None:
    """A verdict, once it is given, does not change when more bytes come; and it comes within the limit."""
    final = verdict(law.decode, raw)
    if len(raw) >= law.limit:
        assert final[0] != "incomplete", f"no verdict on {len(raw)} bytes, the limit is {law.limit}"
    if law.closed_by_end:
        return
    for end in sorted({1, len(raw) // 2, len(raw) - 1, final[2]}):
        early = verdict(law.decode, raw[: max(end, 0)])
        assert early[0] == "incomplete" or early == final, f"{early} after {end} bytes, then {final}"


@each_written
def test_examples_are_written_as_they_are_read(law: Law) -> None:
    assert law.encode is not None
    for wire, value in law.examples:
        written = law.encode(value)
        assert verdict(law.decode, written) == ("value", value, len(written))
        if law.canonical:
            assert written == wire


@each_generated
@TRIES
@given(data=st.data())
def test_round_trip(law: Law, data: st.DataObject) -> None:
    assert law.values is not None
    assert law.encode is not None
    value = data.draw(law.values)
    wire = law.encode(value)
    assert verdict(law.decode, wire) == ("value", value, len(wire))
    assert len(wire) <= law.limit
