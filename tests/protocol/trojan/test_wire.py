"""gproxy.protocol.trojan.wire, beyond what the laws say."""

from __future__ import annotations

import pytest

from gproxy.base.errors import Unsupported
from gproxy.protocol.trojan import wire
from gproxy.wire.cursor import Cursor
from tests.protocol.trojan.lab import V4, V4_BYTES, key, packet, request


@pytest.mark.parametrize("password", ["password", "pässwörd", "密码", "x" * 1000])
def test_a_key_is_of_the_password_in_utf8(password):
    assert wire.encode_key(wire.key_of(password)) == key(password)


def test_a_known_key():
    assert wire.key_of("") == b"d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"  # FIPS 180, of nothing


@pytest.mark.parametrize(
    ("decode", "command"),
    [
        (wire.decode_request, 2),
        (wire.decode_request, 0),
        (wire.decode_stream_request, 2),
        (wire.decode_stream_request, 0x7F),
    ],
)
def test_commands_that_are_refused(decode, command):
    with pytest.raises(Unsupported) as caught:
        decode(Cursor(request(command=command)))
    assert caught.value.word == "unsupported-command"


def test_the_longest_datagram():
    payload = bytes(65535)
    assert wire.decode_packet(Cursor(packet(payload))) == (V4, payload)
    assert wire.encode_packet(wire.Packet(V4, payload)) == packet(payload)
    with pytest.raises(OverflowError):
        wire.encode_packet(wire.Packet(V4, bytes(65536)))


def test_what_follows_a_message_is_left():
    cursor = Cursor(key() + request() + b"payload")
    wire.decode_key(cursor)
    assert wire.decode_request(cursor) == (1, V4)
    assert cursor.rest() == b"payload"


def test_a_domain_that_is_too_long():
    with pytest.raises(ValueError, match="256"):
        wire.encode_request(wire.Request(1, wire.Address("d" * 256, 80)))
    assert V4_BYTES in wire.encode_request(wire.Request(1, V4))
