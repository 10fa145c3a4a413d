"""gproxy.wire.grpc. Heads are in tests/laws, too."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.grpc import MAX_PAYLOAD, Unwrapper, encode_head, is_path, multi_path, tun_path, wrap


def opened(*wire: bytes) -> bytes:
    messages = Unwrapper()
    return b"".join([messages.feed(piece) for piece in wire])


@given(sizes=st.lists(st.integers(1, 200), max_size=6), cuts=st.lists(st.integers(0, 1200), max_size=8))
@settings(max_examples=100)
def test_messages_however_they_are_cut(sizes: list[int], cuts: list[int]) -> None:
    wire = b"".join([wrap(bytes([size]) * size) for size in sizes])
    at = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    messages = Unwrapper()
    assert b"".join([messages.feed(wire[a:b]) for a, b in pairwise(at)]) == b"".join([bytes([n]) * n for n in sizes])
    assert not messages.inside


def test_an_end_inside_a_message_is_one() -> None:
    wire = wrap(b"payload")
    for cut in range(1, len(wire)):
        messages = Unwrapper()
        messages.feed(wire[:cut])
        assert messages.inside


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_long_payloads_are_cut(make: Any) -> None:
    payload = bytes(MAX_PAYLOAD) + b"x"
    assert wrap(make(payload)) == encode_head(MAX_PAYLOAD) + bytes(MAX_PAYLOAD) + encode_head(1) + b"x"
    assert wrap(make(b"abc")) == encode_head(3) + b"abc"


def test_messages_without_payload_are_passed_over() -> None:
    assert opened(bytes(5), b"\0\0\0\0\2\x0a\0", encode_head(2) + b"hi") == b"hi"
    with pytest.raises(ProtocolError, match="flood"):
        opened(bytes(5) * 300)


def test_longer_varints_than_there_must_be() -> None:
    assert opened(b"\0\0\0\0\5\x0a\x82\0hi") == b"hi"


def test_what_is_no_message() -> None:
    with pytest.raises(ProtocolError):
        opened(wrap(b"fine"), b"\1\0\0\0\3\x0a\1x")


def test_a_long_message_is_given_out_as_it_comes() -> None:
    messages = Unwrapper()
    assert messages.feed(encode_head((1 << 32) - 7) + b"abc") == b"abc"
    assert messages.feed(b"def") == b"def"
    assert messages.inside


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
