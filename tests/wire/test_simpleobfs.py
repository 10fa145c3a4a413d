"""What peers look at, octet by octet; the laws of the decoders are in laws_simpleobfs.py."""

from __future__ import annotations

import re

import pytest

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1.head import decode_request, decode_response
from gproxy.wire.simpleobfs import (
    DATA,
    GREETING,
    HANDSHAKE,
    MOST,
    Disguise,
    encode_client_hello,
    encode_greeting,
    encode_switch,
    encode_upgrade,
    record_head,
    record_size,
)
from tests.wire.laws_simpleobfs import RANDOM, SESSION


def test_the_fields_of_a_clients_hello_stand_where_peers_read_them() -> None:
    hello = encode_client_hello(b"example.com", RANDOM, SESSION, b"ticket")
    assert hello[:3] == b"\x16\x03\x01"
    assert int.from_bytes(hello[3:5], "big") == len(hello) - 5
    assert hello[5:6] == b"\x01"
    assert int.from_bytes(hello[6:9], "big") == len(hello) - 9
    assert hello[9:11] == b"\x03\x03"
    assert hello[11:43] == RANDOM
    assert hello[43:76] == b"\x20" + SESSION
    assert hello[76:78] == b"\x00\x38"
    assert hello[134:136] == b"\x01\x00"
    assert int.from_bytes(hello[136:138], "big") == len(hello) - 138
    assert hello[138:148] == b"\x00\x23\x00\x06ticket"
    assert hello[148:168] == b"\x00\x00\x00\x10\x00\x0e\x00\x00\x0bexample.com"
    assert len(hello) == 217 + len("example.com") + len("ticket")


def test_the_fields_of_a_servers_greeting_stand_where_peers_read_them() -> None:
    greeting = encode_greeting(RANDOM, SESSION)
    assert len(greeting) == GREETING == 102
    assert greeting[:11] == b"\x16\x03\x01\x00\x5b\x02\x00\x00\x57\x03\x03"
    assert greeting[11:76] == RANDOM + b"\x20" + SESSION
    assert greeting[96:] == b"\x14\x03\x03\x00\x01\x01"
    assert int.from_bytes(greeting[79:81], "big") == 96 - 81  # the extensions go to the end of the hello


def test_a_request_for_a_websocket() -> None:
    data = encode_upgrade(Disguise(b"example.com:8388", b"curl/7.50.1", b"POST", b"/x"), bytes(16), 117)
    head = decode_request(Cursor(data))
    assert (head.method, head.target) == (b"POST", b"/x")
    assert [line[1:] for line in head.fields] == [
        (b"Host", b"example.com:8388"),
        (b"User-Agent", b"curl/7.50.1"),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA=="),
        (b"Content-Length", b"117"),
    ]


def test_the_answer_proves_that_the_key_was_read() -> None:
    """The example of RFC 6455, section 1.3."""
    data = encode_switch(b"nginx/1.1.1", b"Thu, 01 Jan 1970 00:00:00 GMT", b"dGhlIHNhbXBsZSBub25jZQ==")
    assert re.match(rb"HTTP/1\.1 101 Switching Protocols\r\nServer: nginx/1\.1\.1\r\nDate: ", data)
    head = decode_response(Cursor(data))
    assert head.fields.values(b"sec-websocket-accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]


@pytest.mark.parametrize("size", [0, 1, 255, 256, MOST])
def test_a_records_head(size: int) -> None:
    head = record_head(DATA, size)
    assert head == b"\x17\x03\x03" + size.to_bytes(2, "big")
    assert record_size(memoryview(head), 0, DATA) == size


def test_a_record_that_is_none() -> None:
    with pytest.raises(ProtocolError):
        record_size(memoryview(record_head(DATA, 1)), 0, HANDSHAKE)
    with pytest.raises(ProtocolError):
        record_size(memoryview(b"\x17\x03\x01\x00\x01"), 0, DATA)
    with pytest.raises(TooLarge):
        record_size(memoryview(record_head(DATA, MOST + 1)), 0, DATA)
