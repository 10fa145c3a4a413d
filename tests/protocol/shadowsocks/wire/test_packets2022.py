"""gproxy.protocol.shadowsocks.wire.packets2022: packets of the 2022 edition, and their identity headers."""

from __future__ import annotations

import os
import struct
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import AuthError, ProtocolError
from gproxy.protocol.shadowsocks.wire import packets2022
from gproxy.protocol.shadowsocks.wire.keys import key_hash
from gproxy.protocol.shadowsocks.wire.methods import METHODS
from gproxy.protocol.shadowsocks.wire.packets2022 import (
    BlockFormat,
    answer_head,
    blocks,
    exclusive_or,
    make_format,
    make_sealer,
    read_answer,
    read_request,
    request_head,
)
from gproxy.wire.crypto.aead import XChaCha20Poly1305
from gproxy.wire.socksaddr import encode_address
from tests.support import shadowsocks as by_hand
from tests.support.clock import START_WALL

MODERN = [method for method in METHODS.values() if method.kind == "2022"]
AES = [method for method in MODERN if method.block]
V4 = Address(IPv4Address("192.0.2.1"), 443)
DNS = Address(IPv4Address("192.0.2.1"), 53)
HEAD, DNS_HEAD = encode_address(V4), encode_address(DNS)
SESSION = bytes(range(8))
CLIENT = b"\xc1" * 8
by_name = {"ids": lambda method: method.name}


def key_for(method, seed=1):
    return bytes((seed,)) * method.key_size


def opened(method, keys, packet, *, identities=0):
    """Session, number, and what `read_request` wants: the server's view with the first key and the user's own."""
    made = make_format(method, keys[0], identities)
    block, rest = made.begin(packet)
    content, at = made.finish(block, rest, made.cipher(keys[-1], block[:8]))
    return block[:8], int.from_bytes(block[8:], "big"), (content, at)


@pytest.mark.parametrize("method", MODERN, **by_name)
@pytest.mark.parametrize("payload", [b"", b"x", b"y" * 65_000, memoryview(b"view"), bytearray(b"array")])
def test_what_is_sealed_is_opened(method, payload, held_clock):
    keys = [key_for(method)]
    sealer = make_sealer(method, keys, SESSION)
    for number in range(3):
        packet = sealer.seal(request_head(HEAD, len(payload)), HEAD, payload)
        session, came, content = opened(method, keys, packet)
        assert (session, came) == (SESSION, number)
        assert read_request(*content) == (START_WALL, bytes(payload), V4)


@pytest.mark.parametrize("method", MODERN, **by_name)
def test_an_answer_names_the_session_that_it_is_for(method, held_clock):
    keys = [key_for(method)]
    packet = make_sealer(method, keys, SESSION, number=7).seal(answer_head(CLIENT, HEAD, 4), HEAD, b"data")
    session, number, content = opened(method, keys, packet)
    assert (session, number) == (SESSION, 7)
    assert read_answer(*content) == (START_WALL, CLIENT, b"data", V4)


@pytest.mark.parametrize("method", AES, **by_name)
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_others_read_what_is_written(method, hops):
    keys = [key_for(method, seed) for seed in range(1, hops + 1)]
    other = by_hand.Packets(by_hand.Key(method.name, tuple(keys)), session=SESSION)
    theirs = other.seal(HEAD, b"payload")
    session, number, content = opened(method, keys, theirs, identities=hops - 1)
    assert (session, number) == (SESSION, 0)
    assert read_request(*content)[1:] == (b"payload", V4)

    answer = make_sealer(method, keys[-1:], os.urandom(8)).seal(answer_head(SESSION, HEAD, 6), HEAD, b"answer")
    assert other.open(answer) == (HEAD, b"answer")


@pytest.mark.parametrize("method", AES, **by_name)
def test_the_same_packet_as_by_hand(method, held_clock, monkeypatch):
    monkeypatch.setattr(by_hand.time, "time", held_clock.wall)
    keys = [key_for(method, seed) for seed in (1, 2, 3)]
    sealer = make_sealer(method, keys, SESSION, number=9)
    theirs = by_hand.Packets(by_hand.Key(method.name, tuple(keys)), session=SESSION).seal(HEAD, b"payload", number=9)
    assert sealer.seal(request_head(HEAD, 7), HEAD, b"payload") == theirs


@pytest.mark.parametrize("method", AES, **by_name)
def test_identity_headers_name_each_next_key(method):
    keys = [key_for(method, seed) for seed in (1, 2, 3)]
    packet = make_sealer(method, keys, SESSION).seal(request_head(HEAD, 0), HEAD, b"")
    first = BlockFormat(method, keys[0], 2)
    block, _ = first.begin(packet)
    assert block == SESSION + bytes(8)
    assert first.named(packet, block) == key_hash(keys[1])
    # A relay takes its own header out, and encrypts the block for the next one.
    passed = blocks(keys[1]).encrypt(block) + packet[32:]
    second = BlockFormat(method, keys[1], 1)
    block, _ = second.begin(passed)
    assert second.named(passed, block) == key_hash(keys[2])
    assert read_request(*opened(method, keys[1:], passed, identities=1)[2])[1:] == (b"", V4)


def test_identity_headers_of_two_packets_differ():
    [method] = [each for each in AES if each.key_size == 16]
    sealer = make_sealer(method, [key_for(method, 1), key_for(method, 2)], SESSION)
    assert len({sealer.seal(b"", HEAD, b"")[16:32] for _ in range(4)}) == 4


def test_chacha_seals_with_the_key_itself(held_clock):
    method = METHODS["2022-blake3-chacha20-poly1305"]
    key = key_for(method)
    sealer = make_sealer(method, [key], SESSION)
    packets = [sealer.seal(request_head(HEAD, 1), HEAD, b"x") for _ in range(2)]
    for number, packet in enumerate(packets):
        content = XChaCha20Poly1305(key).decrypt(packet[:24], packet[24:], None)
        assert content == SESSION + struct.pack(">QBQH", number, 0, int(START_WALL), 0) + HEAD + b"x"
    assert packets[0][:24] != packets[1][:24]


@pytest.mark.parametrize("method", MODERN, **by_name)
def test_another_key_is_noticed(method):
    keys, others = [key_for(method, 1)], [key_for(method, 2)]
    packet = make_sealer(method, keys, SESSION).seal(request_head(HEAD, 1), HEAD, b"x")
    with pytest.raises(AuthError):
        opened(method, others, packet)


@pytest.mark.parametrize("method", MODERN, **by_name)
def test_every_beginning_and_every_changed_octet_are_turned_down(method):
    keys = [key_for(method)]
    packet = make_sealer(method, keys, SESSION).seal(request_head(HEAD, 7), HEAD, b"payload")
    for at in range(len(packet)):
        with pytest.raises(ProtocolError):
            opened(method, keys, packet[:at])
        changed = bytearray(packet)
        changed[at] ^= 0x80
        with pytest.raises(AuthError):
            opened(method, keys, bytes(changed))


@pytest.mark.parametrize("size", [0, 1, 898, 899])
def test_what_goes_to_dns_is_padded(size):
    lengths = {len(request_head(DNS_HEAD, size)) - 11 for _ in range(40)}
    assert all(1 <= length <= 900 - size for length in lengths)
    assert len(lengths) > 1 or size == 899
    assert all(1 <= len(answer_head(SESSION, DNS_HEAD, size)) - 19 <= 900 - size for _ in range(40))


def test_the_rest_is_not_padded():
    assert len(request_head(HEAD, 10)) == 11
    assert len(request_head(DNS_HEAD, 900)) == 11
    assert len(answer_head(SESSION, HEAD, 10)) == 19


def test_blocks_go_there_and_back_again_and_again():
    made = packets2022.Blocks(bytes(16))
    one, other = bytes(range(16)), bytes(16)
    assert [made.decrypt(made.encrypt(block)) for block in (one, other, one)] == [one, other, one]
    assert made.encrypt(one) == by_hand._block(bytes(16), one)
    assert exclusive_or(one, b"\xff" * 16) == bytes(255 - octet for octet in one)
