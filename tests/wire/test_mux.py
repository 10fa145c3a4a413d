"""gproxy.wire.mux; the laws of its Decodes are in laws_mux.py."""

from __future__ import annotations

import pytest

from gproxy.base.errors import TooLarge, Unsupported
from gproxy.wire.cursor import Cursor
from gproxy.wire.mux import (
    BRUTAL,
    MAX_TEXT,
    TARGET,
    Kind,
    Request,
    StreamRequest,
    decode_answer,
    decode_request,
    decode_stream_request,
    encode_answer,
    encode_request,
    encode_stream_request,
    is_brutal,
)


def test_a_padded_request_has_as_much_junk_as_is_asked_for() -> None:
    assert encode_request(Request(Kind.SMUX, False), 300) == b"\x00\x00"
    padded = encode_request(Request(Kind.YAMUX, True), 300)
    assert padded == b"\x01\x01\x01\x01\x2c" + bytes(300)
    cursor = Cursor(padded + b"rest")
    assert decode_request(cursor) == Request(Kind.YAMUX, True)
    assert cursor.rest() == b"rest"


@pytest.mark.parametrize(("wire", "reason"), [(b"\x02", "version"), (b"\x00\x07", "multiplex")])
def test_what_is_not_known_is_named(wire: bytes, reason: str) -> None:
    with pytest.raises(Unsupported) as caught:
        decode_request(Cursor(wire))
    assert caught.value.reason == reason


def test_addressed_means_nothing_without_datagrams() -> None:
    request = decode_stream_request(Cursor(b"\x00\x02\x01\xc0\x00\x02\x01\x01\xbb"))
    assert (request.datagrams, request.addressed) == (False, False)


def test_the_exchange_of_rates_is_known_in_any_case_of_its_letters() -> None:
    sent = encode_stream_request(StreamRequest(BRUTAL))
    assert b"_BrutalBwExchange" in sent
    assert is_brutal(decode_stream_request(Cursor(sent)).target)
    assert not is_brutal(TARGET)


def test_a_text_is_bounded_both_ways() -> None:
    assert decode_answer(Cursor(encode_answer("x" * 10_000))) == "x" * MAX_TEXT
    with pytest.raises(TooLarge):
        decode_answer(Cursor(b"\x01\x81\x20"))
