from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.formats.binary import Reader, prefixed, utf8, uvarint, words
from gproxy.route.headless import BadRuleSet


@given(st.integers(0, 2**64 - 1))
def test_numbers_survive(value):
    reader = Reader(uvarint(value) + b"x")
    assert reader.uvarint() == value
    assert reader.left() == 1


@pytest.mark.parametrize("raw", [b"\x80" * 10 + b"\1", b"\xff" * 9 + b"\x02", b"\xff" * 30])
def test_numbers_have_64_bits(raw):
    with pytest.raises(BadRuleSet, match="64 bits"):
        Reader(raw).uvarint()


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_words_survive_and_stand_in_network_order(values):
    raw = words(array("Q", values))
    assert raw == uvarint(len(values)) + b"".join(value.to_bytes(8, "big") for value in values)
    assert Reader(raw).words().tolist() == values


def test_text():
    assert Reader(prefixed(utf8("é"))).text() == "é"
    with pytest.raises(BadRuleSet, match="UTF-8"):
        Reader(prefixed(b"\xff")).text()
    with pytest.raises(BadRuleSet, match="Unicode"):
        utf8("\ud800")


@pytest.mark.parametrize(
    "read",
    [
        Reader.u8,
        Reader.uvarint,
        Reader.text,
        Reader.words,
        lambda reader: reader.take(1),
        lambda reader: reader.count(1, 9),
    ],
)
def test_the_end_is_told(read):
    with pytest.raises(BadRuleSet, match="cut off"):
        read(Reader(b""))


def test_counts_that_lie_are_refused_before_anything_is_made():
    huge = uvarint(2**62)
    for read in (Reader.text, Reader.words, lambda reader: reader.count(1, 2**63)):
        with pytest.raises(BadRuleSet, match="cut off"):
            read(Reader(huge + b"abc"))
    with pytest.raises(BadRuleSet, match="more than 2 values"):
        Reader(b"\3abc").count(1, 2)
