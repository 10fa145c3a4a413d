"""Streams and packets of the retired ciphers. What every sealer and opener keeps is in tests/laws."""

from __future__ import annotations

from hashlib import md5

import pytest
from Crypto.Cipher import ARC4, ChaCha20
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.protocol.shadowsocks.wire.keys import key_of_password
from gproxy.protocol.shadowsocks.wire.legacy import StreamOpener, StreamSealer, open_packet, seal_packet
from gproxy.protocol.shadowsocks.wire.methods import METHODS, Method

RETIRED = [method for method in METHODS.values() if method.kind == "stream"]
HEAD = b"\x01\x7f\0\0\1\0P"

each = pytest.mark.parametrize("method", RETIRED, ids=lambda method: method.name)


def key_for(method: Method) -> bytes:
    return key_of_password(method, "pw1")


def sealed(sealer: StreamSealer, payload: bytes) -> bytes:
    target = bytearray(sealer.room(len(payload)))
    return bytes(target[: sealer.seal_into(payload, memoryview(target))])


def opened(opener: StreamOpener, data: bytes) -> tuple[int, bytes]:
    target = bytearray(len(data))
    used, made = opener.open_into(memoryview(data), memoryview(target))
    return used, bytes(target[:made])


def test_a_stream_on_the_wire() -> None:
    method = METHODS["chacha20-ietf"]
    key = key_for(method)
    sealer = StreamSealer(method, key, HEAD)
    wire = sealed(sealer, b"first ") + sealed(sealer, b"second")
    assert wire[:12] == sealer.iv
    assert ChaCha20.new(key=key, nonce=wire[:12]).decrypt(wire[12:]) == HEAD + b"first second"


def test_a_packet_on_the_wire() -> None:
    method = METHODS["rc4-md5"]
    key = key_for(method)
    packet = seal_packet(method, key, HEAD + b"payload")
    assert ARC4.new(md5(key + packet[:16]).digest()).decrypt(packet[16:]) == HEAD + b"payload"


@each
def test_the_head_leaves_with_nothing_too_and_once(method: Method) -> None:
    sealer, opener = StreamSealer(method, key_for(method), HEAD), StreamOpener(method, key_for(method))
    assert opened(opener, sealed(sealer, b"")) == (method.salt_size + len(HEAD), HEAD)
    assert sealed(sealer, b"") == b""
    assert sealer.room(7) == 7
    assert opened(opener, sealed(sealer, b"payload")) == (7, b"payload")


@each
def test_without_a_head_nothing_is_nothing(method: Method) -> None:
    sealer = StreamSealer(method, key_for(method))
    assert sealed(sealer, b"") == b""
    assert len(sealed(sealer, b"x")) == method.salt_size + 1
    assert len(sealed(sealer, b"x")) == sealer.room(1) == 1


@each
def test_the_iv_is_known_as_soon_as_it_has_come(method: Method) -> None:
    sealer, opener = StreamSealer(method, key_for(method)), StreamOpener(method, key_for(method))
    wire = sealed(sealer, b"payload")
    assert opened(opener, wire[: method.salt_size - 1]) == (0, b"")
    assert opener.iv == b""
    assert opened(opener, wire[: method.salt_size]) == (method.salt_size, b"")
    assert opener.iv == sealer.iv
    assert opened(opener, wire[method.salt_size :]) == (7, b"payload")


@each
def test_no_two_streams_or_packets_have_one_iv(method: Method) -> None:
    key = key_for(method)
    assert len({StreamSealer(method, key).iv for _ in range(50)}) == 50
    assert len({seal_packet(method, key, b"x")[: method.salt_size] for _ in range(50)}) == 50


@each
@pytest.mark.parametrize("size", [0, 1, 1200, 65_000])
def test_packets_there_and_back(method: Method, size: int) -> None:
    key, content = key_for(method), bytes(range(256)) * 254
    packet = seal_packet(method, key, memoryview(content)[:size])
    assert len(packet) == method.salt_size + size
    for data in (packet, bytearray(packet), memoryview(packet)):
        assert open_packet(method, key, data) == content[:size]


@each
def test_a_packet_shorter_than_its_iv(method: Method) -> None:
    for size in range(method.salt_size):
        with pytest.raises(ProtocolError):
            open_packet(method, key_for(method), bytes(size))


@given(data=st.binary(max_size=300), method=st.sampled_from(RETIRED))
def test_any_packet_has_some_content(data: bytes, method: Method) -> None:
    if len(data) >= method.salt_size:
        assert len(open_packet(method, key_for(method), data)) == len(data) - method.salt_size


def test_another_key_makes_nonsense() -> None:
    method = METHODS["aes-256-cfb"]
    wire = sealed(StreamSealer(method, key_for(method)), b"payload that is long enough")
    assert opened(StreamOpener(method, bytes(32)), wire)[1] != b"payload that is long enough"
