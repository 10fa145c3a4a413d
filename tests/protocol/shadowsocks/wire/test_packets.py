"""gproxy.protocol.shadowsocks.wire.packets: packets of SIP004, of the retired ciphers, and of none."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ProtocolError, Unsupported
from gproxy.protocol.shadowsocks.wire.keys import key_of_password
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.shadowsocks.wire.packets import codec, split
from gproxy.wire.crypto.aead import TAG, XChaCha20Poly1305
from gproxy.wire.socksaddr import encode_address
from tests.support import shadowsocks as by_hand

V4, V6 = Address(IPv4Address("192.0.2.1"), 53), Address(IPv6Address("2001:db8::1"), 443)
NAME = Address("example.com", 80)
METHOD = METHODS["aes-128-gcm"]
KEY = key_of_password(METHOD, "secret")
NOT_2022 = [method for method in METHODS.values() if method.kind != "2022"]
AEAD = [method for method in NOT_2022 if method.kind == "aead"]
BY_HAND = [method for method in AEAD if method.name in by_hand.METHODS]
by_name = {"ids": lambda method: method.name}


@pytest.mark.parametrize("method", NOT_2022, **by_name)
@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 65_000, memoryview(b"view"), bytearray(b"array")])
def test_what_is_sealed_is_opened(method, payload):
    packets, key = codec(method), key_of_password(method, "secret")
    for address in (V4, V6, NAME):
        packet = packets.seal(key, encode_address(address), payload)
        assert split(packets.open(key, packet)) == (bytes(payload), address)


@pytest.mark.parametrize("method", NOT_2022, **by_name)
def test_a_packet_is_as_long_as_it_must_be(method):
    head = encode_address(V4)
    packet = codec(method).seal(key_of_password(method, "secret"), head, b"payload")
    assert len(packet) == method.salt_size + len(head) + 7 + (TAG if method.kind == "aead" else 0)


@pytest.mark.parametrize("method", BY_HAND, **by_name)
def test_others_read_and_write_the_same(method):
    other = by_hand.Packets(by_hand.key_of(method.name, "secret"))
    packets, key = codec(method), key_of_password(method, "secret")
    head = encode_address(NAME)
    assert other.open(packets.seal(key, head, b"payload")) == (head, b"payload")
    assert split(packets.open(key, other.seal(head, b"payload"))) == (b"payload", NAME)


def test_xchacha_has_a_longer_nonce():
    method = METHODS["xchacha20-ietf-poly1305"]
    key = key_of_password(method, "secret")
    packet = codec(method).seal(key, encode_address(V4), b"payload")
    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    subkey = HKDF(SHA1(), 32, packet[:32], b"ss-subkey").derive(key)
    assert XChaCha20Poly1305(subkey).decrypt(bytes(24), packet[32:], None) == encode_address(V4) + b"payload"


@pytest.mark.parametrize("method", [*AEAD, *(method for method in NOT_2022 if method.kind == "stream")], **by_name)
def test_no_two_packets_are_alike(method):
    packets, key = codec(method), key_of_password(method, "secret")
    made = {packets.seal(key, encode_address(V4), b"payload") for _ in range(8)}
    assert len({packet[:8] for packet in made}) == 8


@pytest.mark.parametrize("method", AEAD, **by_name)
def test_another_key_is_noticed(method):
    packet = codec(method).seal(key_of_password(method, "secret"), encode_address(V4), b"payload")
    with pytest.raises(AuthError):
        codec(method).open(key_of_password(method, "other"), packet)


@pytest.mark.parametrize("method", AEAD, **by_name)
def test_every_beginning_of_a_packet_is_turned_down(method):
    packets, key = codec(method), key_of_password(method, "secret")
    packet = packets.seal(key, encode_address(V4), b"payload")
    for end in range(len(packet)):
        with pytest.raises(ProtocolError):
            packets.open(key, packet[:end])


def test_every_changed_octet_is_noticed():
    packet = codec(METHOD).seal(KEY, encode_address(V4), b"payload")
    for at in range(len(packet)):
        changed = bytearray(packet)
        changed[at] ^= 1
        with pytest.raises(AuthError):
            codec(METHOD).open(KEY, bytes(changed))


@pytest.mark.parametrize("method", [m for m in NOT_2022 if m.kind == "stream"], **by_name)
def test_a_packet_shorter_than_its_iv_is_turned_down(method):
    with pytest.raises(ProtocolError):
        codec(method).open(bytes(method.key_size), bytes(method.salt_size - 1))


@pytest.mark.parametrize("address", [V4, V6, NAME])
def test_a_content_that_ends_within_its_address(address):
    head = encode_address(address)
    for end in range(len(head)):
        with pytest.raises(ProtocolError):
            split(head[:end])
    assert split(b"before" + head, 6) == (b"", address)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\x02" + bytes(20), Unsupported),
        (b"\x00" + bytes(20), Unsupported),
        (b"\x13" + bytes(20), Unsupported),
        (b"\x03\x00\x00\x35", ProtocolError),
        (b"\x03\x03a b\x00\x35", ProtocolError),
        (encode_address(V4)[:-2] + b"\0\0payload", ProtocolError),
        (encode_address(NAME)[:-2] + b"\0\0payload", ProtocolError),
    ],
)
def test_contents_that_name_no_target(content, error):
    with pytest.raises(error):
        split(content)


@given(st.binary(max_size=400))
def test_any_octets_have_a_verdict(noise):
    try:
        payload, _ = split(noise)
    except ProtocolError:
        return
    assert noise.endswith(payload)


def test_a_packet_that_was_made_elsewhere():
    """By OpenSSL's HKDF and GCM, by hand: salt 0…15, key of "secret", for 192.0.2.1:53."""
    salt = bytes(range(16))
    key = by_hand.key_of("aes-128-gcm", "secret")
    assert key.keys[0] == hashlib.md5(b"secret", usedforsecurity=False).digest() == KEY
    packet = salt + key.aead(salt).encrypt(bytes(12), encode_address(V4) + b"payload", None)
    assert split(codec(METHOD).open(KEY, packet)) == (b"payload", V4)
