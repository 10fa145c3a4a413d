"""Records within records; what every stream and relay keeps with them is in tests/conformance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.defaults import RECORD_KEPT
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Record
from gproxy.net.nested import nested
from tests.conformance.records import PlainOpener, PlainSealer, records


class Word:
    """An ending that is told what it has heard."""

    def __init__(self, word: bytes = b"") -> None:
        self.heard = False
        self._word = word

    def say(self) -> bytes:
        word, self._word = self._word, b""
        return word


class Asked:
    """An answering that is told what is due."""

    due = False


class Slow:
    """An opener that waits for an end which never comes."""

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        return 0, 0


def plain(unopened: bytes = b"", ending: Word | None = None, answering: Asked | None = None) -> Record:
    return Record(7, PlainOpener(), PlainSealer(), unopened, ending, answering)


def within(
    beneath: Record, unopened: bytes = b"", ending: Word | None = None, answering: Asked | None = None
) -> Record:
    return nested(beneath, PlainOpener(), PlainSealer(), unopened, ending, answering)


def opened(record: Record, data: bytes) -> bytes:
    """What one read of these bytes gives; all of them must be used."""
    target = bytearray(len(data) + RECORD_KEPT)
    used, made = record.opener.open_into(memoryview(data), memoryview(target))
    assert used == len(data)
    return bytes(target[:made])


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 3), st.integers(1, 50))
def test_what_is_sealed_is_opened_however_it_is_cut(payloads: list[bytes], depth: int, step: int) -> None:
    out = back = plain()
    for _ in range(depth):
        out, back = within(out), within(back)
    sealed = b""
    for payload in payloads:
        target = bytearray(out.sealer.room(len(payload)))
        sealed += target[: out.sealer.seal_into(payload, memoryview(target))]
    got, left = b"", b""
    for at in range(0, len(sealed), step):
        left += sealed[at : at + step]
        target = bytearray(len(left) + RECORD_KEPT)
        used, made = back.opener.open_into(memoryview(left), memoryview(target))
        left, got = left[used:], got + target[:made]
    assert (got, left) == (b"".join(payloads), b"")
    assert not back.midway()


def test_what_was_read_ahead_is_opened_first() -> None:
    inner = records(b"ahead")
    record = within(plain(unopened=b"sealed"), inner[:9])
    assert (record.fd, record.unopened, record.depth) == (7, b"sealed", 1)
    assert opened(record, records(inner[9:])) == b"ahead"


def test_an_end_inside_an_inner_record_can_be_seen() -> None:
    record = within(within(plain()))
    inner = records(records(b"payload"))
    opened(record, records(inner[:-1]))
    assert record.midway()
    sealer = PlainSealer()
    records(inner[:-1], sealer=sealer)
    assert opened(record, records(inner[-1:], sealer=sealer)) == b"payload"
    assert not record.midway()


def test_a_word_for_the_end_beneath_is_no_end_inside_a_record() -> None:
    ending = Word()
    record = within(plain(ending=ending))
    ending.heard = True
    with pytest.raises(ProtocolError, match="inside a record") as caught:
        opened(record, records(records(b"payload")[:-1]))
    assert caught.value.reason == "truncated"


def test_what_follows_the_inner_word_for_the_end_is_dropped() -> None:
    outer, inner = Word(), Word()
    record = within(plain(ending=outer), ending=inner)
    outer.heard = inner.heard = True
    assert opened(record, records(records(b"payload") + b"left")) == b"payload"
    assert not record.midway()


def test_words_for_the_end() -> None:
    record = within(plain(ending=Word(b"outer")), ending=Word(b"inner"))
    assert record.ending is not None
    assert record.ending.say() == records(b"inner") + b"outer"
    assert record.ending.say() == b""
    assert not record.ending.heard
    quiet = within(plain(), ending=Word(b"inner")).ending
    assert quiet is not None
    assert quiet.say() == records(b"inner")
    assert within(plain()).ending is None


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_either_word_is_an_end(which: str) -> None:
    words = {"outer": Word(), "inner": Word()}
    ending = within(plain(ending=words["outer"]), ending=words["inner"]).ending
    assert ending is not None
    words[which].heard = True
    assert ending.heard


@pytest.mark.parametrize("which", ["outer", "inner"])
def test_either_may_have_to_answer(which: str) -> None:
    asked = {"outer": Asked(), "inner": Asked()}
    answering = within(plain(answering=asked["outer"]), answering=asked["inner"]).answering
    assert answering is not None
    assert [answering.due] == [False]
    asked[which].due = True
    assert answering.due
    assert within(plain()).answering is None


def test_an_endless_inner_record_is_bounded() -> None:
    record = nested(plain(), Slow(), PlainSealer(), b"", None, None)
    sealer = PlainSealer()
    with pytest.raises(ProtocolError, match="longer than any"):
        for _ in range(RECORD_KEPT // 10_000 + 2):
            opened(record, records(bytes(10_000), sealer=sealer))
