"""The laws of a Sealer and its Opener (gproxy/base/iface.py): the same bytes come out, wherever they are cut."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.defaults import SCRATCH
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Opener, Sealer
from tests.laws.registry import Framing, framings

FRAMINGS = framings()
TRIES = settings(max_examples=25)

CONTENT = random.Random(9).randbytes(SCRATCH)
GUARD = b"\xa5" * 64
SIZES = [0, 1, 2, 3, 15, 16, 17, 255, 1400, 0x3FFE, 0x3FFF, 0x4000, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x20001]

each = pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
each_proving = pytest.mark.parametrize(
    "framing", [framing for framing in FRAMINGS if framing.proves], ids=lambda framing: framing.name
)


def seal(sealer: Sealer, payload: bytes, beyond: int = 0) -> bytes:
    """Seal into a target with `beyond` bytes more than there has to be, and see that no promise is broken."""
    room = sealer.room(len(payload))
    assert room <= 2 * len(payload) + 4096, "more room than a sealer may want"
    guarded = bytearray(room + beyond) + GUARD
    with memoryview(guarded) as whole, whole[: room + beyond] as target:
        made = sealer.seal_into(payload, target)
    assert 0 <= made <= room, "more than it said it would be"
    assert guarded[room:] == bytes(beyond) + GUARD, "it wrote further than it said it would"
    return bytes(guarded[:made])


def call(opener: Opener, sealed: bytes, size: int, *, writable: bool = False) -> tuple[int, bytes]:
    """One call with a target of this size: how much was used up, and what came out."""
    guarded = bytearray(GUARD + bytes(size) + GUARD)
    given = bytearray(sealed) if writable else sealed
    with memoryview(given) as source, memoryview(guarded) as whole, whole[len(GUARD) : len(GUARD) + size] as target:
        used, made = opener.open_into(source, target)
    assert given == sealed, "it changed its source"
    assert 0 <= used <= len(sealed)
    assert 0 <= made <= size
    assert guarded[: len(GUARD)] == guarded[len(GUARD) + size :] == GUARD, "it wrote beside its target"
    return used, bytes(guarded[len(GUARD) : len(GUARD) + made])


class Reader:
    """Gives an opener what arrives, as its users do: what was not used comes again, with more behind it."""

    def __init__(self, framing: Framing, opener: Opener | None = None) -> None:
        self._framing = framing
        self._opener = opener or framing.make()[1]
        self.unused = b""
        self.got = b""

    def feed(self, sealed: bytes, sizes: Iterable[int] = ()) -> None:
        """Open all that can be: into targets of these sizes first, then into such as hold everything."""
        self.unused += sealed
        for wanted in chain(sizes, repeat(None)):
            size = len(self.unused) if wanted is None else wanted
            used, made = call(self._opener, self.unused, size, writable=size % 2 == 1)
            self.unused = self.unused[used:]
            self.got += made
            if wanted is None and not used and not made:
                break
        assert len(self.unused) <= self._framing.limit, "so much can't be one incomplete record"


def pieces(wire: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """The wire, cut at these places."""
    at = 0
    for cut in sorted(min(cut, len(wire)) for cut in cuts):
        yield wire[at:cut]
        at = cut
    yield wire[at:]


@each
def test_the_limit_leaves_the_pump_room(framing: Framing) -> None:
    """An incomplete record stands in the worker's scratch, and the next read behind it."""
    assert framing.limit <= SCRATCH // 2


@each
@TRIES
@given(data=st.data())
def test_round_trip_however_it_is_cut(framing: Framing, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.one_of(st.sampled_from(SIZES), st.integers(0, 600)), max_size=6), "payloads")
    sealer, opener = framing.make()
    wire, said = b"", framing.before if sizes else b""
    for number, size in enumerate(sizes):
        wire += seal(sealer, CONTENT[number : number + size], beyond=data.draw(st.sampled_from([0, 1, 5000])))
        said += CONTENT[number : number + size]
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=8), "cuts")
    reader = Reader(framing, opener)
    for piece in pieces(wire, cuts):
        reader.feed(piece, data.draw(st.lists(st.integers(0, 70_000), max_size=4), "targets"))
        assert said.startswith(reader.got)
    assert (reader.got, reader.unused) == (said, b"")


@each
def test_byte_by_byte(framing: Framing) -> None:
    sealer, opener = framing.make()
    payloads = (b"a", CONTENT[:40], CONTENT[:700], b"the end")
    wire = b"".join(seal(sealer, payload) for payload in payloads)
    said = framing.before + b"".join(payloads)
    reader = Reader(framing, opener)
    for at in range(len(wire)):
        reader.feed(wire[at : at + 1])
        assert said.startswith(reader.got), f"after {at + 1} bytes"
    assert (reader.got, reader.unused) == (said, b"")


@each
def test_a_target_as_large_as_the_source_holds_everything(framing: Framing) -> None:
    for size in SIZES:
        sealer, opener = framing.make()
        wire = seal(sealer, CONTENT[:size]) + seal(sealer, b"more")
        assert call(opener, wire, len(wire)) == (len(wire), framing.before + CONTENT[:size] + b"more")


@each
def test_a_target_too_small_is_filled_and_no_further(framing: Framing) -> None:
    """Nothing is lost in what it can't hold."""
    for size in (0, 1, 2, 20, 1000, 0x3FFF, 0x10000):
        sealer, opener = framing.make()
        wire = seal(sealer, CONTENT[:0x20001]) + seal(sealer, CONTENT[:30]) + seal(sealer, b"x")
        reader = Reader(framing, opener)
        reader.feed(wire, repeat(size, 5))
        assert reader.got == framing.before + CONTENT[:0x20001] + CONTENT[:30] + b"x"


@each
def test_room_is_enough_and_no_waste(framing: Framing) -> None:
    """The pump's buffers are made for this promise."""
    for size in (*SIZES, SCRATCH - 1, SCRATCH):
        sealer, opener = framing.make()
        reader = Reader(framing, opener)
        reader.feed(seal(sealer, CONTENT[:size]))
        reader.feed(seal(sealer, CONTENT[:size]))
        assert reader.got == framing.before + 2 * CONTENT[:size]


@each
def test_nothing_makes_no_payload(framing: Framing) -> None:
    sealer, opener = framing.make()
    reader = Reader(framing, opener)
    reader.feed(seal(sealer, b""))
    assert (reader.got, reader.unused) in {(framing.before, b""), (b"", b"")}
    assert seal(sealer, b"") == b""
    reader.feed(seal(sealer, b"payload"))
    assert seal(sealer, b"") == b""
    assert (reader.got, reader.unused) == (framing.before + b"payload", b"")


@each
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_every_buffer_can_be_sealed_and_is_not_kept(framing: Framing, make: Callable[[bytes], Any]) -> None:
    sealer, opener = framing.make()
    reader = Reader(framing, opener)
    for payload in (b"first", CONTENT[:20_000]):
        source, target = make(payload), bytearray(sealer.room(len(payload)))
        made = sealer.seal_into(source, memoryview(target))
        assert source == payload, "it changed its source"
        if isinstance(source, bytearray):
            source[:] = b""  # fails if the buffer is still held
        reader.feed(bytes(target[:made]))
    assert reader.got == framing.before + b"first" + CONTENT[:20_000]


@each
def test_any_opener_opens_what_any_sealer_makes(framing: Framing) -> None:
    wire = seal(framing.make()[0], b"payload")
    for _ in range(2):
        reader = Reader(framing)
        reader.feed(wire)
        assert reader.got == framing.before + b"payload"


@each
@TRIES
@given(data=st.data())
def test_garbage_has_a_verdict(framing: Framing, data: st.DataObject) -> None:
    """Or stays incomplete, within the limit: the reader sees to that."""
    size = data.draw(st.one_of(st.integers(0, 400), st.integers(0, framing.limit + 64)))
    garbage = random.Random(data.draw(st.integers(0, 1 << 32))).randbytes(size)
    garbage = data.draw(st.sampled_from((garbage, bytes(size), b"\xff" * size, b"GET / HTTP/1.1\r\n\r\n")))
    reader = Reader(framing)
    try:
        for piece in pieces(garbage, data.draw(st.lists(st.integers(0, size), max_size=3))):
            reader.feed(piece)
    except ProtocolError:
        assert framing.proves or framing.refuses, "a stream in which everything means something"
    if framing.proves:
        assert reader.got == b"", "payload from garbage"


@each_proving
def test_garbage_never_stays_undecided(framing: Framing) -> None:
    garbage = random.Random(3).randbytes(framing.limit + 1)
    with pytest.raises(ProtocolError):
        Reader(framing).feed(garbage)


def _spoken(framing: Framing) -> tuple[list[bytes], bytes]:
    """A short stream, piece by piece, and what it says."""
    sealer = framing.make()[0]
    payloads = (b"one", b"two", b"three")
    return [seal(sealer, payload) for payload in payloads], framing.before + b"".join(payloads)


def _refused(framing: Framing, stream: Iterable[bytes], said: bytes) -> bool:
    """Whether an opener raises for this stream. What came out before that must be genuine."""
    reader = Reader(framing)
    try:
        for piece in stream:
            reader.feed(piece)
    except ProtocolError:
        return True
    finally:
        assert said.startswith(reader.got), "payload that nobody has sent"
    return False


@each_proving
def test_every_changed_bit_is_noticed(framing: Framing) -> None:
    records, said = _spoken(framing)
    wire = b"".join(records)
    for bit in range(8 * len(wire)):
        changed = bytearray(wire)
        changed[bit // 8] ^= 1 << bit % 8
        assert _refused(framing, [bytes(changed)], said), f"bit {bit % 8} of byte {bit // 8}"


@each_proving
def test_a_changed_bit_is_noticed_byte_by_byte_too(framing: Framing) -> None:
    records, said = _spoken(framing)
    wire = b"".join(records)
    for at in range(0, len(wire), 5):
        changed = bytearray(wire)
        changed[at] ^= 1
        assert _refused(framing, (bytes((byte,)) for byte in changed), said), f"byte {at}"


@each_proving
def test_records_that_are_left_out_repeated_or_swapped_are_noticed(framing: Framing) -> None:
    """At the latest when enough has come after them to be one record."""
    sealer = framing.make()[0]
    one, two, three = (seal(sealer, payload) for payload in (b"one", b"two", b"three"))
    said = framing.before + b"onetwothree"
    rest = seal(sealer, CONTENT[: framing.limit])
    for stream in ([one, three], [two, three], [one, one], [one, two, two], [one, three, two], [one, two, three, one]):
        assert _refused(framing, [*stream, rest], said)


@each
def test_what_is_cut_off_is_no_mistake(framing: Framing) -> None:
    """The end of a stream is its reader's to judge."""
    records, said = _spoken(framing)
    wire = b"".join(records)
    for end in range(len(wire)):
        assert not _refused(framing, [wire[:end]], said), f"after {end} bytes"
