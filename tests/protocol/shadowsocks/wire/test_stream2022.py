"""gproxy.protocol.shadowsocks.wire.stream2022, opened and sealed by hand with another library."""

from __future__ import annotations

import os
import struct
from ipaddress import IPv4Address

import pytest
from Crypto.Cipher import AES

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.protocol.shadowsocks.wire import stream2022 as wire
from gproxy.wire.crypto.aead import AESGCM
from gproxy.wire.socksaddr import encode_address
from tests.protocol.shadowsocks.wire.test_chunks import open_all, seal
from tests.support.clock import START_WALL

pytestmark = pytest.mark.usefixtures("held_clock")

KEY = os.urandom(16)
TARGET = Address(IPv4Address("192.0.2.1"), 80)
ADDRESS = encode_address(TARGET)
NOW = int(START_WALL)
REQUEST_SALT = bytes(range(16))


def opened(number, sealed):
    cipher = AES.new(KEY, AES.MODE_GCM, nonce=number.to_bytes(12, "little"))
    return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])


def sealed(number, data):
    return b"".join(AES.new(KEY, AES.MODE_GCM, nonce=number.to_bytes(12, "little")).encrypt_and_digest(data))


def request(variable, kind=0, time=NOW):
    return sealed(0, struct.pack(">BQH", kind, time, len(variable))), sealed(1, variable)


def test_a_request_with_payload_has_no_padding():
    made = seal(wire.RequestSealer(AESGCM(KEY), b"salt", ADDRESS), b"payload")
    assert made[:4] == b"salt"
    assert opened(0, made[4:31]) == struct.pack(">BQH", 0, NOW, len(ADDRESS) + 9)
    assert opened(1, made[31:]) == ADDRESS + bytes(2) + b"payload"


def test_a_request_without_payload_is_padded():
    sizes = set()
    for _ in range(20):
        made = seal(wire.RequestSealer(AESGCM(KEY), b"", ADDRESS), b"")
        header = opened(1, made[27:])
        padding = int.from_bytes(header[7:9], "big")
        assert len(header) == len(ADDRESS) + 2 + padding
        assert 0 < padding <= wire.MOST_PADDING
        sizes.add(padding)
    assert len(sizes) > 1


def test_a_request_goes_on_in_chunks():
    payload = os.urandom(wire.MOST + 100)
    sealer = wire.RequestSealer(AESGCM(KEY), b"", ADDRESS)
    made = seal(sealer, payload)
    length = wire.open_fixed(AESGCM(KEY), made[:27])
    assert length == wire.MOST
    target, first = wire.open_variable(AESGCM(KEY), made[27 : 27 + length + 16])
    assert target == TARGET
    opener = wire.ChunkOpener(AESGCM(KEY), most=wire.MOST, number=2)
    assert first + open_all(opener, made[27 + length + 16 :])[1] == payload
    assert open_all(opener, seal(sealer, b"more"))[1] == b"more"


def test_a_request_of_others_is_opened():
    fixed, variable = request(ADDRESS + b"\0\3padpayload")
    assert wire.open_fixed(AESGCM(KEY), fixed) == len(ADDRESS) + 12
    assert wire.open_variable(AESGCM(KEY), variable) == (TARGET, b"payload")


@pytest.mark.parametrize(
    ("kind", "time", "error", "reason"),
    [(1, NOW, ProtocolError, ""), (0, NOW - 31, ProtocolError, "time"), (0, NOW + 31, ProtocolError, "time")],
)
def test_what_is_no_fresh_request(kind, time, error, reason):
    with pytest.raises(error) as caught:
        wire.open_fixed(AESGCM(KEY), request(ADDRESS, kind, time)[0])
    assert caught.value.reason == reason


@pytest.mark.parametrize("off", [-30, 30])
def test_clocks_may_differ_a_little(off):
    assert wire.open_fixed(AESGCM(KEY), request(b"x", time=NOW + off)[0]) == 1


def test_another_key():
    fixed, variable = request(ADDRESS + b"\0\0x")
    with pytest.raises(AuthError):
        wire.open_fixed(AESGCM(bytes(16)), fixed)
    with pytest.raises(AuthError):
        wire.open_variable(AESGCM(bytes(16)), variable)


@pytest.mark.parametrize("variable", [b"", ADDRESS, ADDRESS + b"\0", ADDRESS + b"\0\2x", b"\1\2", ADDRESS + b"\0\0"])
def test_a_header_that_is_not_whole_or_says_nothing(variable):
    with pytest.raises(ProtocolError):
        wire.open_variable(AESGCM(KEY), request(variable)[1])


def test_a_response_answers_its_request():
    sealer = wire.ResponseSealer(AESGCM(KEY), b"S" * 16, REQUEST_SALT)
    assert seal(sealer, b"") == b""  # the header waits for the first payload
    made = seal(sealer, b"payload")
    assert made[:16] == b"S" * 16
    assert opened(0, made[16:59]) == struct.pack(">BQ", 1, NOW) + REQUEST_SALT + b"\0\7"
    assert opened(1, made[59:]) == b"payload"
    assert opened(2, seal(sealer, b"more")[:18]) == b"\0\4"


def respond(kind=1, time=NOW, salt=REQUEST_SALT, payload=b"payload"):
    header = struct.pack(">BQ", kind, time) + salt + len(payload).to_bytes(2, "big")
    return b"S" * 16 + sealed(0, header) + sealed(1, payload)


def opener():
    return wire.ResponseOpener(REQUEST_SALT, lambda salt: AESGCM(KEY))


def test_a_response_of_others_is_opened():
    response = respond()
    assert open_all(opener(), response[:58]) == (0, b"")
    assert open_all(opener(), response + sealed(2, b"\0\2") + sealed(3, b"on")) == (len(response) + 36, b"payloadon")


def test_an_empty_first_payload_is_allowed():
    response = respond(payload=b"") + sealed(2, b"\0\2") + sealed(3, b"on")
    assert open_all(opener(), response) == (len(response), b"on")


@pytest.mark.parametrize("wrong", [{"kind": 0}, {"time": NOW - 31}, {"salt": bytes(16)}], ids=["kind", "time", "salt"])
def test_what_is_no_response_to_us(wrong):
    with pytest.raises(ProtocolError):
        open_all(opener(), respond(**wrong))


def test_a_response_by_another_key():
    with pytest.raises(AuthError):
        open_all(wire.ResponseOpener(REQUEST_SALT, lambda salt: AESGCM(bytes(16))), respond())


def test_a_long_response_in_one_seal():
    payload = os.urandom(3 * wire.MOST)
    made = seal(wire.ResponseSealer(AESGCM(KEY), b"S" * 16, REQUEST_SALT), payload)
    assert open_all(opener(), made) == (len(made), payload)
