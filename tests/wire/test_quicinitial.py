"""gproxy.wire.quicinitial: the examples of RFC 9001 appendix A and RFC 9369 appendix A, and how pieces are joined."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.cursor import Cursor
from gproxy.wire.quicinitial import (
    ACK,
    CRYPTO,
    MOST_PIECES,
    PADDING,
    VERSION_1,
    VERSION_2,
    Handshake,
    client_keys,
    decode_head,
    encode_number,
    frames,
    open_packet,
    server_keys,
)
from tests.wire.laws_quicinitial import ID, crypto, sealed

HELLO = bytes.fromhex("""
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868 04fe3a47f06a2b69484c00000413011302010000c0000000
    10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017 00180010000700050461 6c706e0005000501000000000033
    00260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce1 5d43e994ec74d748002b0003020304000d0010000e040305
    0306030203080408050806002d00020101001c00024001003900320408ffffff ffffffffff05048000ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806048000ffff
""")
PAYLOAD = HELLO + bytes(917)

KEYS = {
    VERSION_1: (
        "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2",
        "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314",
    ),
    VERSION_2: (
        "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9",
        "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652", "edf6d05c83121201b436e16877593c3a",
    ),
}  # fmt: skip
PROTECTED = {
    VERSION_1: ("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11", "e221af44860018ab0856972e194cd934"),
    VERSION_2: ("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485", "a18b2faa745b6fe189cf772a9f84cbfc"),
}
ANSWERS = {
    VERSION_1: """
        cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a 5816b6394100f37a1c69797554780bb38cc5a99f5ede4c
        f73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3b ded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7a
        af2f58891850abbdca3d20398c276456cbc42158407dd074ee
    """,
    VERSION_2: """
        dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698 baeea26b91eb761d9b89237bbf87263017915358230035
        f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a39 3e42757507698075b2c984c707f0a0812d8cd5a6881eaf
        21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140
    """,
}

both = pytest.mark.parametrize("version", [VERSION_1, VERSION_2], ids=["v1", "v2"])


@both
def test_the_keys_of_the_example(version: int) -> None:
    client, server = client_keys(version, ID), server_keys(version, ID)
    made = (client.key, client.iv, client.mask, server.key, server.iv, server.mask)
    assert tuple(each.hex() for each in made) == KEYS[version]


@both
def test_the_clients_packet_of_the_example(version: int) -> None:
    packet = sealed(PAYLOAD, version)
    start, end = PROTECTED[version]
    assert len(packet) == 1200
    assert packet.hex().startswith(start)
    assert packet.hex().endswith(end)  # the seal, which proves all that lies between
    cursor = Cursor(packet)
    assert open_packet(packet, decode_head(cursor), client_keys(version, ID)) == PAYLOAD
    assert cursor.left() == 0
    first, second = frames(PAYLOAD)
    assert (first.kind, first.offset, first.data) == (CRYPTO, 0, HELLO[4:])
    assert (second.kind, second.size) == (PADDING, 917)


@both
def test_the_servers_packet_of_the_example(version: int) -> None:
    packet = bytes.fromhex(ANSWERS[version])
    opened = open_packet(packet, decode_head(Cursor(packet)), server_keys(version, ID))
    assert [frame.kind for frame in frames(opened)] == [ACK, CRYPTO]


def test_a_packet_behind_another_one() -> None:
    packet = b"before" + sealed(b"\x01\0\0\0", source=b"source", token=b"token")
    head = decode_head(Cursor(packet, 6))
    assert (head.start, head.end) == (6, len(packet))
    assert open_packet(packet, head, client_keys(VERSION_1, ID)) == b"\x01\0\0\0"


@pytest.mark.parametrize("at", [0, 3, 20, 30, -1])
def test_a_changed_bit_is_seen(at: int) -> None:
    packet = bytearray(sealed(PAYLOAD))
    head = decode_head(Cursor(bytes(packet)))
    packet[at] ^= 1
    with pytest.raises(ProtocolError, match="its seal"):
        open_packet(bytes(packet), head, client_keys(VERSION_1, ID))


def test_numbers_have_62_bits() -> None:
    assert encode_number((1 << 62) - 1) == b"\xff" * 8
    with pytest.raises(OverflowError):
        encode_number(1 << 62)


def test_pieces_are_joined_in_any_order() -> None:
    handshake = Handshake(100)
    for offset, data in ((6, b"ghi"), (3, b"def"), (20, b"x"), (3, b"d"), (0, b"abcd"), (7, b"hij")):
        handshake.add(offset, data)
    assert handshake.whole() == b"abcdefghij"
    handshake.add(2, b"cdefghijklmnopqrst")
    assert handshake.whole() == b"abcdefghijklmnopqrstx"


def test_a_gap_ends_what_is_whole() -> None:
    handshake = Handshake(100)
    handshake.add(1, b"bc")
    assert handshake.whole() == b""
    handshake.add(0, b"a")
    assert handshake.whole() == b"abc"


def test_what_is_kept_is_bounded() -> None:
    handshake = Handshake(10)
    with pytest.raises(TooLarge, match="10 bytes"):
        handshake.add(8, b"abc")
    with pytest.raises(TooLarge, match="pieces"):
        for _ in range(MOST_PIECES + 1):
            handshake.add(1, b"a")


@pytest.mark.parametrize("payload", [b"\6\0\5abcd", b"\2\1\2", b"\x1c\0\0\5abc", b"\6", b"\6\xc0\0", b"\3\0\0\0\0\1\2"])
def test_a_frame_that_is_cut_off(payload: bytes) -> None:
    with pytest.raises(ProtocolError, match="cut off"):
        list(frames(payload))


def test_frames_are_counted() -> None:
    assert len(list(frames(b"\1" * MOST_PIECES))) == MOST_PIECES
    with pytest.raises(TooLarge, match="frames"):
        list(frames(b"\0\1" * 30_000))
    with pytest.raises(TooLarge, match="ranges"):
        list(frames(b"\2\0\0\x41\1\0" + bytes(2000)))


def test_padding_of_any_length_is_one_frame() -> None:
    found = list(frames(bytes(60_000) + crypto(0, b"abc")))
    assert [frame.kind for frame in found] == [PADDING, CRYPTO]
