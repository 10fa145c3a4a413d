from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.service.acme.dns.txt import encode_question, texts_in

NAME = b"\x0f_acme-challenge\x04site\x04test\0"
QUESTION = NAME + b"\0\x10\0\x01"


def record(kind: int, data: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def answer(*records: bytes, number: int = 7, flags: int = 0x8180) -> bytes:
    return struct.pack("!HHHHHH", number, flags, 1, len(records), 0, 0) + QUESTION + b"".join(records)


ANSWER = answer(record(5, NAME), record(16, b"\x03abc\x02de", NAME), record(16, b"\0"), record(1, b"\x7f\0\0\1"))


def test_a_question() -> None:
    asked = encode_question("_acme-challenge.site.test", 7)
    assert asked == bytes.fromhex("000701000001000000000000") + QUESTION


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".test", "bücher.test"])
def test_no_domains(name: str) -> None:
    with pytest.raises(ValueError):
        encode_question(name, 7)


def test_an_answer() -> None:
    assert texts_in(ANSWER, 7) == [b"abcde", b""], "behind an alias, and in pieces"
    assert texts_in(answer(), 7) == []
    assert texts_in(answer(flags=0x8183), 7) == [], "there is no such name"


def test_other_answers() -> None:
    with pytest.raises(ProtocolError, match="another question"):
        texts_in(ANSWER, 8)
    with pytest.raises(ProtocolError, match="not an answer"):
        texts_in(answer(flags=0x0100), 7)
    with pytest.raises(ProtocolError, match="longer than its record"):
        texts_in(answer(record(16, b"\x05abc")), 7)
    with pytest.raises(TooLarge):
        texts_in(answer(*[record(16, b"\x03abc")] * 400)[:-1], 7)


@pytest.mark.parametrize("size", range(len(ANSWER)))
def test_cut_anywhere(size: int) -> None:
    with pytest.raises(ProtocolError):
        texts_in(ANSWER[:size], 7)


@given(st.binary(max_size=100))
def test_garbage(data: bytes) -> None:
    for datagram in (data, ANSWER[:12] + data):
        try:
            texts_in(datagram, 7)
        except ProtocolError:
            pass
