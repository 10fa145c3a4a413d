"""WebSocket, octet by octet: what RFC 6455 shows in its sections 1.3 and 5.7, and what it forbids."""

from __future__ import annotations

import random
from base64 import b64encode

import pytest

from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1.head import Fields, decode_request, decode_response
from gproxy.wire.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    NORMAL,
    PING,
    PONG,
    accept_of,
    check_switch,
    decode_close,
    decode_early,
    decode_head,
    encode_control,
    encode_early,
    encode_head,
    encode_switch,
    encode_upgrade,
    is_upgrade,
    key_of,
    mask_into,
)

MASK = bytes.fromhex("37fa213d")
NONCE = b"the sample nonce"
KEY = b64encode(NONCE)
SHOWN = b"dGhlIHNhbXBsZSBub25jZQ=="


# -- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opcode", "size", "mask", "wire"),
    [
        (BINARY, 0, b"", "8200"),
        (BINARY, 125, b"", "827d"),
        (BINARY, 126, b"", "827e007e"),
        (BINARY, 256, b"", "827e0100"),
        (BINARY, 0xFFFF, b"", "827effff"),
        (BINARY, 0x10000, b"", "827f0000000000010000"),
        (BINARY, 5, MASK, "828537fa213d"),
        (BINARY, 256, MASK, "82fe010037fa213d"),
        (BINARY, 0x10000, MASK, "82ff000000000001000037fa213d"),
        (PING, 5, b"", "8905"),
        (PONG, 5, MASK, "8a8537fa213d"),
    ],
)
def test_heads(opcode: int, size: int, mask: bytes, wire: str) -> None:
    head = bytes.fromhex(wire)
    assert encode_head(opcode, size, mask) == head
    for end in range(len(head)):
        assert decode_head(memoryview(head[:end]), 0, masked=bool(mask)) is None
    found = decode_head(memoryview(b"before" + head), 6, masked=bool(mask))
    assert found == (6 + len(head), opcode, True, size, mask)


@pytest.mark.parametrize(("wire", "opcode", "final"), [("0203", BINARY, False), ("0002", CONTINUATION, False)])
def test_heads_of_messages_in_pieces(wire: str, opcode: int, final: bool) -> None:
    found = decode_head(memoryview(bytes.fromhex(wire)), 0, masked=False)
    assert found is not None
    assert found[1:3] == (opcode, final)


@pytest.mark.parametrize("wire", [
    "c200", "a200", "9200",  # reserved bits: a compressed message, for one
    "8100", "8300", "8700", "8b00", "8f00",  # text, and what is unknown
    "0900", "0800", "0a00",  # a control frame in pieces
    "897e007e", "887f0000000000010000",  # one that is too long
    "827e007d", "827f000000000000ffff",  # a length that has a shorter form
    "827f8000000000000000", "827fffffffffffffffff",
])  # fmt: skip
@pytest.mark.parametrize("masked", [False, True])
def test_heads_that_can_not_be(wire: str, masked: bool) -> None:
    head = bytearray.fromhex(wire)
    if masked:
        head[1] |= 0x80
    with pytest.raises(ProtocolError):
        decode_head(memoryview(head + bytes(4)), 0, masked=masked)


@pytest.mark.parametrize(("wire", "masked"), [("8205", True), ("8285", False), ("8900", True), ("8980", False)])
def test_a_client_masks_and_a_server_does_not(wire: str, masked: bool) -> None:
    with pytest.raises(ProtocolError, match="masked"):
        decode_head(memoryview(bytes.fromhex(wire)), 0, masked=masked)


def test_the_mask() -> None:
    target = bytearray(5)
    mask_into(b"Hello", MASK, memoryview(target))
    assert target == bytes.fromhex("7f9f4d5158")


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 1000, 1023, 1024, 1025, 1026, 1027, 70_001])
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_the_mask_of_every_size_and_buffer(size: int, make: type) -> None:
    plain = random.Random(size).randbytes(size)
    target = bytearray(size + 2)
    with memoryview(target) as whole:
        mask_into(make(plain), MASK, whole[1:-1])
    assert target == b"\0" + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(plain)) + b"\0"


def test_control_frames() -> None:
    assert encode_control(PING, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert encode_control(PONG, b"Hello", MASK) == bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert encode_control(CLOSE, b"") == bytes.fromhex("8800")


@pytest.mark.parametrize(
    ("payload", "status"), [("", NORMAL), ("03e8", 1000), ("03f3627965", 1011), ("0bb8", 3000), ("1387", 4999)]
)
def test_why_it_is_closed(payload: str, status: int) -> None:
    assert decode_close(bytes.fromhex(payload)) == status


@pytest.mark.parametrize("payload", ["03", "0000", "03e7", "03ec", "03ed", "03ee", "03f7", "0bb7", "1388", "ffff"])
def test_no_reason_to_close(payload: str) -> None:
    with pytest.raises(ProtocolError):
        decode_close(bytes.fromhex(payload))


# -- the handshake ----------------------------------------------------------------------------------------------------


def fields(**lines: str) -> Fields:
    made = Fields([])
    for name, value in lines.items():
        made.add(name.replace("_", "-").encode(), value.encode())
    return made


def test_what_is_answered_to_a_key() -> None:
    assert accept_of(SHOWN) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_request_and_its_answer() -> None:
    request = encode_upgrade(b"a.test:81", b"/chat", fields(X_Own="1"), NONCE)
    assert request == (
        b"GET /chat HTTP/1.1\r\nHost: a.test:81\r\nX-Own: 1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % KEY
    )
    head = decode_request(Cursor(request))
    assert is_upgrade(head)
    assert key_of(head) == KEY
    answer = encode_switch(fields(X_Ours="2"), KEY)
    assert answer == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\nX-Ours: 2\r\n\r\n" % accept_of(KEY)
    )
    check_switch(decode_response(Cursor(answer)), NONCE)


def test_without_a_key_it_is_no_websocket() -> None:
    request = encode_upgrade(b"a.test", b"/", fields())
    assert b"Sec-" not in request
    assert is_upgrade(decode_request(Cursor(request)))
    answer = encode_switch(fields())
    assert b"Sec-" not in answer
    check_switch(decode_response(Cursor(answer)))


@pytest.mark.parametrize(
    ("line", "lines", "right"),
    [
        ("GET / HTTP/1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket", True),
        ("GET / HTTP/1.0", "Connection: Upgrade\r\nUpgrade: websocket", False),
        ("POST / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket", False),
        ("GET / HTTP/1.1", "Connection: keep-alive\r\nUpgrade: websocket", False),
        ("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c", False),
        ("GET / HTTP/1.1", "Connection: Upgrade", False),
    ],
)
def test_what_asks_for_an_upgrade(line: str, lines: str, right: bool) -> None:
    head = decode_request(Cursor(f"{line}\r\nHost: a\r\n{lines}\r\n\r\n".encode()))
    assert is_upgrade(head) is right


@pytest.mark.parametrize("keys", [[], [KEY, KEY], [b"short"], [KEY[:-1]], [b"\xff" * 24], [b"a b" * 8]])
def test_requests_without_a_right_key(keys: list[bytes]) -> None:
    lines = b"".join(b"Sec-WebSocket-Key: %s\r\n" % key for key in keys)
    head = decode_request(Cursor(b"GET / HTTP/1.1\r\n%sSec-WebSocket-Version: 13\r\n\r\n" % lines))
    with pytest.raises(ProtocolError, match="key"):
        key_of(head)


@pytest.mark.parametrize("versions", [[], ["8"], ["13", "13"]])
def test_requests_of_another_version(versions: list[str]) -> None:
    lines = "".join(f"Sec-WebSocket-Version: {version}\r\n" for version in versions)
    with pytest.raises(Unsupported):
        key_of(decode_request(Cursor(f"GET / HTTP/1.1\r\nSec-WebSocket-Key: {KEY.decode()}\r\n{lines}\r\n".encode())))


GOOD = f"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept_of(KEY).decode()}\r\n"


def test_a_server_may_choose_the_protocol_that_was_asked_for() -> None:
    text = f"HTTP/1.1 101 X\r\n{GOOD}Sec-WebSocket-Protocol: mine\r\n\r\n"
    check_switch(decode_response(Cursor(text.encode())), NONCE, b"mine")


@pytest.mark.parametrize(
    ("line", "lines", "reason"),
    [
        ("HTTP/1.1 404 Not Found", GOOD, "declined"),
        ("HTTP/1.1 200 OK", GOOD, "declined"),
        ("HTTP/1.0 101 X", GOOD, ""),
        ("HTTP/1.1 101 X", GOOD.replace("websocket", "h2c"), ""),
        ("HTTP/1.1 101 X", GOOD.replace("Connection: upgrade\r\n", ""), ""),
        ("HTTP/1.1 101 X", GOOD.replace("Accept: ", "Accept: x"), ""),
        ("HTTP/1.1 101 X", GOOD + "Sec-WebSocket-Extensions: permessage-deflate\r\n", ""),
        ("HTTP/1.1 101 X", GOOD + "Sec-WebSocket-Protocol: other\r\n", ""),
    ],
)
def test_answers_that_do_not_agree(line: str, lines: str, reason: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_switch(decode_response(Cursor(f"{line}\r\n{lines}\r\n".encode())), NONCE, b"mine")
    assert caught.value.reason == reason


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 100, 2048])
def test_early_data(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    text = encode_early(payload)
    assert b"=" not in text
    assert decode_early(text) == decode_early(b64encode(payload)) == payload


@pytest.mark.parametrize("text", [b"a", b"abcde", b"ab c", b"ab\xff", b"ab=c", b"ab?d"])
def test_early_data_that_is_none(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_early(text)
