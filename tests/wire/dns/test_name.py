"""Names: text and wire, pointers that lead nowhere good, and dnspython's opinion of the same bytes."""

from __future__ import annotations

import dns.exception
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns.name import encode_name, read_name, read_wire_name, skip_name, split_name
from tests.wire.dns.samples import names

HEAD = bytes(12)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("", b"\0"),
        (".", b"\0"),
        ("Example.COM", b"\7Example\3COM\0"),
        ("example.com.", b"\7example\3com\0"),
        (r"a\.b.c", b"\3a.b\1c\0"),
        (r"a\\.c", b"\2a\\\1c\0"),
        (r"\000\255\065", b"\3\0\xffA\0"),
        (r"a\.", b"\2a.\0"),
        ("x" * 63, b"\x3f" + b"x" * 63 + b"\0"),
    ],
)
def test_names_are_written(text, wire):
    assert encode_name(text) == wire


@pytest.mark.parametrize(
    "text", ["a..b", ".a", "..", "x" * 64, r"\256", r"\25", "\\", r"a\1b", "é", ".".join(["x" * 63] * 4), r"a..\.b"]
)
def test_bad_names_are_not_written(text):
    with pytest.raises(ValueError):
        encode_name(text)


def test_the_longest_name():
    name = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(encode_name(name)) == 255
    with pytest.raises(ValueError):
        encode_name(name + "x")
    assert read_name(HEAD + encode_name(name), 12) == (name, 12 + 255)
    assert skip_name(HEAD + encode_name(name), 12) == 12 + 255
    for read in (read_name, skip_name):
        with pytest.raises(ProtocolError):
            read(HEAD + (b"\x3f" + b"x" * 63) * 3 + b"\x3e" + b"x" * 62 + b"\0", 12)


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"\7Example\3COM\0", "example.com"),
        (b"\3a.b\1c\0", r"a\.b.c"),
        (b"\2a\\\1c\0", r"a\\.c"),
        (b"\3\0\xffA\0", r"\000\255a"),
        (b"\1.\0", r"\."),
        (b"\1 \0", r"\032"),
        (b"\0", ""),
    ],
)
def test_names_are_read_in_lower_case(wire, text):
    assert read_name(HEAD + wire + b"rest", 12) == (text, 12 + len(wire))
    assert read_name(HEAD + encode_name(text), 12)[0] == text


def test_a_pointer_leads_back_and_the_name_ends_behind_it():
    message = HEAD + b"\3Www\7example\0" + b"\1a\xc0\x10" + b"\xc0\x19" + b"rest"
    assert read_name(message, 12) == ("www.example", 25)
    assert read_name(message, 25) == ("a.example", 29)
    assert read_name(message, 29) == ("a.example", 31)
    assert read_wire_name(message, 29) == (b"\1a\7example\0", 31)
    assert read_wire_name(message, 12) == (b"\3Www\7example\0", 25)
    assert [skip_name(message, at) for at in (12, 25, 29)] == [25, 29, 31]


@pytest.mark.parametrize(
    "wire",
    [
        b"\xc0\x0c",  # to itself
        b"\xc0\x0e\0",  # forwards
        b"\1a\xc0\x0c",  # round and round
        b"\xc0\x00",  # into the head
        b"\xff\xff",
        b"\x40a\0",
        b"\x80a\0",
        b"\3ab",
        b"\3abc",
        b"\xc0",
        b"",
    ],
)
def test_bad_names_are_not_read(wire):
    for read in (read_name, read_wire_name, skip_name):
        if read is skip_name and wire == b"\1a\xc0\x0c":
            continue
        with pytest.raises(ProtocolError):
            read(HEAD + wire, 12)


def test_pointers_that_make_a_name_too_long():
    """Each piece is short; together they are more than 255 octets."""
    message = bytearray(HEAD + b"\0")
    before = 12
    for _ in range(5):
        at = len(message)
        message += b"\x3f" + b"x" * 63 + (0xC000 | before).to_bytes(2, "big")
        before = at
    assert read_name(bytes(message), 12)[0] == ""
    assert len(read_name(bytes(message), 13 + 2 * 66)[0]) == 3 * 63 + 2
    with pytest.raises(ProtocolError):
        read_name(bytes(message), before)


class Counted(bytes):
    """Bytes that count how often they are looked at."""

    looks = 0

    def __getitem__(self, key):
        Counted.looks += 1
        return super().__getitem__(key)


def test_a_long_chain_of_pointers_is_not_followed_for_ever():
    message = HEAD + b"\1a\0" + b"".join((0xC000 | at).to_bytes(2, "big") for at in [12, *range(15, 16000, 2)])
    assert read_name(message, 17)[0] == "a"
    Counted.looks = 0
    with pytest.raises(ProtocolError):
        read_name(Counted(message), len(message) - 2)
    assert Counted.looks < 1000


@settings(max_examples=300)
@given(name=names)
def test_text_and_wire_are_one(name):
    wire = encode_name(name)
    assert read_name(HEAD + wire, 12) == (name, 12 + len(wire))
    assert dns.name.from_wire(wire, 0)[0].to_wire() == wire
    assert len(split_name(name)) == len(dns.name.from_wire(wire, 0)[0].labels) - 1
    assert b"".join(encode_name(label)[:-1] for label in split_name(name)) + b"\0" == wire


@settings(max_examples=1000)
@given(
    tail=st.lists(
        st.sampled_from(
            [
                b"\0",
                b"\1a",
                b"\2B.",
                b"\3\xffx\0",
                b"\xc0\x0c",
                b"\xc0\x0d",
                b"\xc0\x10",
                b"\xc0\x12",
                b"\xc0\x02",
                b"\x41",
                b"\x3f",
            ]
        ),
        max_size=12,
    ),
    at=st.integers(12, 24),
)
def test_dnspython_reads_the_same(tail, at):
    message = HEAD + b"".join(tail)
    try:
        theirs, used = dns.name.from_wire(message, at)
    except (dns.exception.DNSException, IndexError, ValueError):
        theirs = None
    try:
        ours, end = read_wire_name(message, at)
    except ProtocolError:
        # The one thing that dnspython takes beyond us: a pointer into the head.
        assert theirs is None or b"\xc0\x02" in tail
        return
    assert theirs is not None
    assert theirs.to_wire() == ours
    assert used == end - at
    assert encode_name(read_name(message, at)[0]) == ours.lower()
