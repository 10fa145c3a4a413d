"""Published vectors; how the ciphers are used on the wire is the protocols' tests' to tell."""

from __future__ import annotations

import random

import pytest
from Crypto.Cipher import ChaCha20
from Crypto.Cipher import ChaCha20_Poly1305 as Others

from gproxy.wire.crypto.aead import AESGCM, TAG, ChaCha20Poly1305, WrongTag, XChaCha20Poly1305, hchacha20

RANDOM = random.Random(11)

LADIES = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)
LABEL = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
KEY = bytes(range(0x80, 0xA0))


def test_hchacha20() -> None:
    """draft-irtf-cfrg-xchacha-03, section 2.2.1."""
    nonce = bytes.fromhex("000000090000004a0000000031415927")
    wanted = "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"
    assert hchacha20(bytes(range(32)), nonce).hex() == wanted


def test_hchacha20_as_others_have_it() -> None:
    for _ in range(200):
        key, nonce = RANDOM.randbytes(32), RANDOM.randbytes(24)
        theirs = ChaCha20.new(key=key, nonce=nonce).encrypt(bytes(64))
        assert ChaCha20.new(key=hchacha20(key, nonce[:16]), nonce=nonce[16:]).encrypt(bytes(64)) == theirs
    for octet in (b"\0", b"\x7f", b"\x80", b"\xff"):
        theirs = ChaCha20.new(key=octet * 32, nonce=octet * 24).encrypt(bytes(64))
        assert ChaCha20.new(key=hchacha20(octet * 32, octet * 16), nonce=octet * 8).encrypt(bytes(64)) == theirs


def test_xchacha20_poly1305() -> None:
    """draft-irtf-cfrg-xchacha-03, appendix A.3.1."""
    sealed = XChaCha20Poly1305(KEY).encrypt(bytes(range(0x40, 0x58)), LADIES, LABEL)
    assert sealed.hex() == (
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49"
    )


def test_chacha20_poly1305() -> None:
    """RFC 8439, section 2.8.2."""
    sealed = ChaCha20Poly1305(KEY).encrypt(bytes.fromhex("070000004041424344454647"), LADIES, LABEL)
    assert sealed[-TAG:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


def test_aes_gcm() -> None:
    """The cases 2 and 14 of McGrew and Viega."""
    assert AESGCM(bytes(16)).encrypt(bytes(12), bytes(16), None).hex() == (
        "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"
    )
    assert AESGCM(bytes(32)).encrypt(bytes(12), bytes(16), None).hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )


@pytest.mark.parametrize("size", [0, 1, 15, 64, 1400, 0x3FFF])
def test_another_library_makes_the_same(size: int) -> None:
    key, nonce, data = RANDOM.randbytes(32), RANDOM.randbytes(24), RANDOM.randbytes(size)
    other = Others.new(key=key, nonce=nonce)
    assert XChaCha20Poly1305(key).encrypt(nonce, data, None) == b"".join(other.encrypt_and_digest(data))


@pytest.mark.parametrize(
    ("make", "key_size", "nonce_size"),
    [
        (AESGCM, 16, 12),
        (AESGCM, 24, 12),
        (AESGCM, 32, 12),
        (ChaCha20Poly1305, 32, 12),
        (XChaCha20Poly1305, 32, 24),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 2, 1400])
def test_every_cipher_keeps_the_promises(make: type, key_size: int, nonce_size: int, size: int) -> None:
    cipher = make(RANDOM.randbytes(key_size))
    nonce, data, label = RANDOM.randbytes(nonce_size), RANDOM.randbytes(size), b"label"
    sealed = cipher.encrypt(nonce, data, label)
    assert len(sealed) == size + TAG
    assert cipher.decrypt(nonce, sealed, label) == data
    target = bytearray(size + TAG)
    assert cipher.encrypt_into(memoryview(nonce), memoryview(data), label, memoryview(target)) == size + TAG
    assert target == sealed
    opened = bytearray(size)
    assert cipher.decrypt_into(memoryview(nonce), memoryview(sealed), label, memoryview(opened)) == size
    assert opened == data
    wrong = bytes((sealed[0] ^ 1,)) + sealed[1:]
    other = bytes((nonce[0] ^ 1,)) + nonce[1:]
    for arguments in ((nonce, wrong, label), (other, sealed, label), (nonce, sealed, b"other"), (nonce, sealed, None)):
        with pytest.raises(WrongTag):
            cipher.decrypt(*arguments)
        with pytest.raises(WrongTag):
            cipher.decrypt_into(*arguments, memoryview(opened))


def test_both_halves_of_a_long_nonce_count() -> None:
    cipher = XChaCha20Poly1305(KEY)
    nonces = [bytes(24), b"\1" + bytes(23), bytes(16) + b"\1" + bytes(7), bytes(23) + b"\1"]
    assert len({cipher.encrypt(nonce, b"payload", None) for nonce in nonces}) == len(nonces)
