from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.formats import trie
from gproxy.route.formats.binary import Reader, prefixed, words
from gproxy.route.formats.trie import MAX_KEY, read_keys, write_keys
from gproxy.route.headless import BadRuleSet

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("ab.", max_size=6)


def read(raw: bytes) -> list[str]:
    reader = Reader(raw)
    found = read_keys(reader)
    assert reader.left() == 0
    return found


def raw_trie(leaves: list[int], shape: list[int], labels: bytes) -> bytes:
    return b"\0" + words(array("Q", leaves)) + words(array("Q", shape)) + prefixed(labels)


def test_as_sing_box_writes_it():
    assert write_keys(["b", "a"]) == raw_trie([0b110], [0b11100], b"ab")
    assert write_keys(["ba", "a"]) == raw_trie([0b110], [0b11010], b"ab")
    assert write_keys(["\u00e9x"]) == raw_trie([0b1000], [0b1101010], b"x\xc3\xa9")


@given(st.sets(NAMES, max_size=30))
def test_names_survive(names):
    assert sorted(read(write_keys(names))) == sorted(names)


@given(st.lists(NAMES, max_size=10))
def test_the_order_does_not_matter_nor_how_often(names):
    assert write_keys(names) == write_keys([*reversed(names), *names])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (raw_trie([0b10], [0b110], b""), "contradict"),  # a child without a label
        (raw_trie([0b10], [0b110], b"ab"), "contradict"),  # a label without a child
        (raw_trie([0b10], [0b111], b"a"), "contradict"),  # nodes that are nobody's child
        (raw_trie([0b10], [], b"a"), "contradict"),
        (raw_trie([0b10], [0b110, 0, 0, 0], b"a"), "contradict"),
        (raw_trie([0b10], [0b101], b"a"), "nothing leads to"),  # the root has none, its child has itself
        (raw_trie([0b10], [0b110], b"\xff"), "not UTF-8"),
        (raw_trie([0b10], [0b110], b"a")[:-1], "cut off"),
        (b"", "cut off"),
    ],
)
def test_damaged_ones_are_refused(raw, said):
    with pytest.raises(BadRuleSet, match=said):
        read(raw)


def test_a_trie_that_is_too_deep_is_refused_before_it_is_gone_through():
    assert read(write_keys(["a" * MAX_KEY])) == ["a" * MAX_KEY]
    with pytest.raises(BadRuleSet, match="more than"):
        write_keys(["a" * (MAX_KEY + 1)])
    length = 2 * MAX_KEY
    bits = int("1" + "10" * length, 2)
    shape = [bits >> at & (2**64 - 1) for at in range(0, bits.bit_length(), 64)]
    with pytest.raises(BadRuleSet, match="a name of more than"):
        read(raw_trie([0], shape, b"a" * length))


def test_too_many_names_are_refused(monkeypatch):
    raw = write_keys(["a", "b", "c"])
    monkeypatch.setattr(trie, "MAX_KEYS", 2)
    for refused in (lambda: read(raw), lambda: write_keys(["a", "b", "c"])):
        with pytest.raises(BadRuleSet, match="more than 2 names"):
            refused()


def test_siblings_by_the_thousand_are_refused():
    labels = bytes(257)
    bits = ((1 << 258) - 1) << 257
    shape = [bits >> at & (2**64 - 1) for at in range(0, bits.bit_length(), 64)]
    with pytest.raises(BadRuleSet, match="contradict"):
        read(raw_trie([], shape, labels))


def test_a_small_trie_with_much_text_is_refused(monkeypatch):
    raw = write_keys([last + "a" * 100 for last in "xyz"])
    assert len(read(raw)) == 3
    monkeypatch.setattr(trie, "MAX_TEXT", 302)
    for refused in (lambda: read(raw), lambda: write_keys(["a" * 303])):
        with pytest.raises(BadRuleSet, match="names of more than"):
            refused()


def test_dead_ends_count_as_names(monkeypatch):
    monkeypatch.setattr(trie, "MAX_KEYS", 1)
    with pytest.raises(BadRuleSet, match="more than 1 names"):
        read(raw_trie([0b10], [0b11100], b"ab"))
