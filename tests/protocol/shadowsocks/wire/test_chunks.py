"""gproxy.protocol.shadowsocks.wire.chunks, opened and sealed by hand with another library."""

from __future__ import annotations

import os

import pytest
from Crypto.Cipher import AES, ChaCha20_Poly1305

from gproxy.base.errors import AuthError, ProtocolError
from gproxy.protocol.shadowsocks.wire.chunks import MOST, ChunkOpener, ChunkSealer, SaltedOpener, open_length
from gproxy.wire.crypto.aead import AESGCM, ChaCha20Poly1305, XChaCha20Poly1305

KEY = os.urandom(32)
OURS = {"aes": AESGCM, "chacha": ChaCha20Poly1305, "xchacha": XChaCha20Poly1305}


def by_hand(kind, number):
    size = 24 if kind == "xchacha" else 12
    nonce = number.to_bytes(size, "little")
    return AES.new(KEY, AES.MODE_GCM, nonce=nonce) if kind == "aes" else ChaCha20_Poly1305.new(key=KEY, nonce=nonce)


def seal_by_hand(kind, pieces, *, lengths=None):
    sealed, number = b"", 0
    for index, piece in enumerate(pieces):
        length = lengths[index] if lengths else len(piece)
        for data in (length.to_bytes(2, "big"), piece):
            cipher, tag = by_hand(kind, number).encrypt_and_digest(data)
            sealed += cipher + tag
            number += 1
    return sealed


def seal(sealer, data):
    target = memoryview(bytearray(sealer.room(len(data))))
    return target[: sealer.seal_into(data, target)].tobytes()


def open_all(opener, sealed):
    target = memoryview(bytearray(len(sealed)))
    used, made = opener.open_into(memoryview(sealed), target)
    return used, target[:made].tobytes()


@pytest.mark.parametrize("kind", OURS)
def test_what_is_sealed_is_what_the_specification_says(kind):
    sealer = ChunkSealer(OURS[kind](KEY), b"salt", b"address")
    assert seal(sealer, b"payload") == b"salt" + seal_by_hand(kind, [b"addresspayload"])
    long = os.urandom(MOST + 5)
    first = seal_by_hand(kind, [b"addresspayload", long[:MOST], long[MOST:]])
    assert seal(sealer, long) == first[len(seal_by_hand(kind, [b"addresspayload"])) :]


@pytest.mark.parametrize("kind", OURS)
def test_what_others_have_sealed_is_opened(kind):
    sealed = seal_by_hand(kind, [b"one", b"two"])
    assert open_all(ChunkOpener(OURS[kind](KEY)), sealed) == (len(sealed), b"onetwo")


def test_nothing_leaves_the_salt_alone():
    sealer = ChunkSealer(AESGCM(KEY), b"salt")
    assert seal(sealer, b"") == b"salt"
    assert seal(sealer, b"") == b""


def test_the_salt_makes_the_key():
    salts = []
    opener = SaltedOpener(4, lambda salt: salts.append(salt) or AESGCM(KEY))
    assert open_all(opener, b"sal") == (0, b"")
    sealed = seal_by_hand("aes", [b"one"])
    assert open_all(opener, b"salt" + sealed) == (4 + len(sealed), b"one")
    assert salts == [b"salt"]


def test_a_length_that_was_opened_is_not_opened_again():
    sealed = seal_by_hand("aes", [b"payload"])
    opener = ChunkOpener(AESGCM(KEY))
    assert open_all(opener, sealed[:20]) == (0, b"")
    assert open_all(opener, sealed[:-1]) == (0, b"")
    assert open_all(opener, sealed) == (len(sealed), b"payload")


def test_one_that_goes_on_after_the_first_length():
    sealed = seal_by_hand("aes", [b"payload", b"more"])
    assert open_length(AESGCM(KEY), sealed[:18]) == 7
    assert open_all(ChunkOpener(AESGCM(KEY), number=1, size=7), sealed[18:]) == (len(sealed) - 18, b"payloadmore")


def test_the_first_length_tells_keys_apart():
    assert open_length(AESGCM(bytes(32)), seal_by_hand("aes", [b"payload"])[:18]) is None


def test_an_empty_chunk_says_nothing():
    sealed = seal_by_hand("aes", [b"", b"one", b"", b"two"])
    assert open_all(ChunkOpener(AESGCM(KEY)), sealed) == (len(sealed), b"onetwo")
    assert open_length(AESGCM(KEY), sealed[:18]) == 0
    assert open_all(ChunkOpener(AESGCM(KEY), number=1, size=0), sealed[18:]) == (len(sealed) - 18, b"onetwo")


@pytest.mark.parametrize("length", [MOST + 1, 0xFFFF])
def test_a_length_that_cannot_be(length):
    sealed = seal_by_hand("aes", [b"payload"], lengths=[length])
    with pytest.raises(ProtocolError, match=f"{length} bytes"):
        open_all(ChunkOpener(AESGCM(KEY)), sealed)
    with pytest.raises(ProtocolError, match=f"{length} bytes"):
        open_length(AESGCM(KEY), sealed[:18])


@pytest.mark.parametrize("at", [0, 17, 18, 30])
def test_a_wrong_bit(at):
    sealed = bytearray(seal_by_hand("aes", [b"payload"]))
    sealed[at] ^= 1
    with pytest.raises(AuthError):
        open_all(ChunkOpener(AESGCM(KEY)), bytes(sealed))
