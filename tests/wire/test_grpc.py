"""gproxy.wire.grpc. What sealers and openers promise is in tests/laws."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.wire.grpc import (
    MAX_PAYLOAD,
    GrpcOpener,
    GrpcSealer,
    decode_head,
    encode_head,
    is_path,
    multi_path,
    tun_path,
)


def opened(*wire: bytes) -> bytes:
    opener, unused, got = GrpcOpener(), b"", b""
    for piece in wire:
        unused += piece
        target = memoryview(bytearray(len(unused)))
        used, made = opener.open_into(memoryview(unused), target)
        unused = unused[used:]
        got += bytes(target[:made])
    return got


def sealed(payload: bytes) -> bytes:
    sealer = GrpcSealer()
    target = memoryview(bytearray(sealer.room(len(payload))))
    return bytes(target[: sealer.seal_into(payload, target)])


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (1, "00 00000003 0a 01"),
        (127, "00 00000081 0a 7f"),
        (128, "00 00000083 0a 8001"),
        (16384, "00 00004004 0a 808001"),
        (1 << 21, "00 00200005 0a 80808001"),
    ],
)
def test_heads(size: int, head: str) -> None:
    wire = bytes.fromhex(head)
    assert encode_head(size) == wire
    for cut in range(len(wire)):
        assert decode_head(memoryview(wire[:cut]), 0) is None
    assert decode_head(memoryview(b"ab" + wire), 2) == (len(wire) + 2, size)


def test_long_payloads_are_cut() -> None:
    payload = bytes(MAX_PAYLOAD) + b"x"
    assert sealed(payload) == encode_head(MAX_PAYLOAD) + bytes(MAX_PAYLOAD) + encode_head(1) + b"x"


def test_messages_without_payload_are_passed_over() -> None:
    assert opened(bytes(5), b"\0\0\0\0\2\x0a\0", encode_head(2) + b"hi") == b"hi"
    with pytest.raises(ProtocolError, match="flood"):
        opened(bytes(5) * 300)


@pytest.mark.parametrize(
    "wire",
    [
        b"\1\0\0\0\3\x0a\1x",  # compressed
        b"\0\0\0\0\3\x12\1x",  # another field
        b"\0\0\0\0\3\x08\1x",  # a number
        b"\0\0\0\0\4\x0a\1xy",  # more behind it
        b"\0\0\0\0\2\x0a\1x",  # less than there should be
        b"\0\0\0\0\3\x0a\xff\xff\xff\xff\xff\1",
        b"\0\0\0\0\1\x0a\0",
        b"HTTP/1.1 400 Bad Request",
    ],
)
def test_what_is_no_message(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        opened(wire)


def test_a_long_message_is_opened_as_it_comes() -> None:
    size = (1 << 32) - 7
    assert opened(encode_head(size) + b"abc") == b"ab"


@pytest.mark.parametrize(
    ("service", "tun", "multi"),
    [
        ("Gun", b"/Gun/Tun", b"/Gun/TunMulti"),
        ("", b"//Tun", b"//TunMulti"),
        ("a/b c", b"/a%2Fb%20c/Tun", b"/a%2Fb%20c/TunMulti"),
        ("/my/own/path", b"/my/own/path", b"/my/own/"),
        ("/my/one|other", b"/my/one", b"/my/other"),
        ("ü", b"/%C3%BC/Tun", b"/%C3%BC/TunMulti"),
    ],
)
def test_paths(service: str, tun: bytes, multi: bytes) -> None:
    assert (tun_path(service), multi_path(service)) == (tun, multi)


def test_a_path_is_the_same_however_it_is_encoded() -> None:
    assert is_path(b"/a/b/Tun", tun_path("a/b"))
    assert is_path(b"/a%2fb/Tun", tun_path("a/b"))
    assert not is_path(b"/a/c/Tun", tun_path("a/b"))
    assert not is_path(b"/a/b/Tun/x", tun_path("a/b"))
