"""Published vectors, another library's opinion, and what the peers of old expect at the borders."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from hashlib import md5
from typing import Any

import pytest
from Crypto.Cipher import AES, ARC4, Blowfish, ChaCha20, Salsa20
from cryptography.exceptions import UnsupportedAlgorithm

from gproxy.protocol.shadowsocks.wire import legacy_ciphers
from gproxy.protocol.shadowsocks.wire.legacy_ciphers import KEYED, check_method
from gproxy.protocol.shadowsocks.wire.methods import METHODS

RANDOM = random.Random(7)
CONTENT = RANDOM.randbytes(100_003)
NAMES = [name for name, method in METHODS.items() if method.kind == "stream"]

# NIST SP 800-38A, the plaintext and keys of appendix F.
NIST_PLAIN = (
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
NIST_KEYS = {
    128: "2b7e151628aed2a6abf7158809cf4f3c",
    192: "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    256: "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
}
COUNTER = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
COUNTING = "000102030405060708090a0b0c0d0e0f"

# RFC 3713, appendix A. In CFB, the first block of zeros becomes the block cipher of the IV.
CAMELLIA = "0123456789abcdeffedcba9876543210"

VECTORS = [
    # F.5.1, F.5.3, F.5.5
    ("aes-128-ctr", NIST_KEYS[128], COUNTER, NIST_PLAIN, "874d6191b620e3261bef6864990db6ce"),
    ("aes-192-ctr", NIST_KEYS[192], COUNTER, NIST_PLAIN, "1abc932417521ca24f2b0459fe7e6e0b"),
    ("aes-256-ctr", NIST_KEYS[256], COUNTER, NIST_PLAIN, "601ec313775789a5b7a7f504bbf3d228"),
    # F.3.13, F.3.15, F.3.17
    (
        "aes-128-cfb",
        NIST_KEYS[128],
        COUNTING,
        NIST_PLAIN,
        "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b",
    ),
    (
        "aes-192-cfb",
        NIST_KEYS[192],
        COUNTING,
        NIST_PLAIN,
        "cdc80d6fddf18cab34c25909c99a417467ce7f7f81173621961a2b70171d3d7a",
    ),
    (
        "aes-256-cfb",
        NIST_KEYS[256],
        COUNTING,
        NIST_PLAIN,
        "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b",
    ),
    ("camellia-128-cfb", CAMELLIA, CAMELLIA, "00" * 16, "67673138549669730857065648eabe43"),
    ("camellia-192-cfb", CAMELLIA + "0011223344556677", CAMELLIA, "00" * 16, "b4993401b3e996f84ee5cee7d79b09b9"),
    (
        "camellia-256-cfb",
        CAMELLIA + "00112233445566778899aabbccddeeff",
        CAMELLIA,
        "00" * 16,
        "9acc237dff16d76c20ef7c919e3a7509",
    ),
    # Schneier's set of variable keys
    ("bf-cfb", "f0e1d2c3b4a5968778695a4b3c2d1e0f", "fedcba9876543210", "00" * 8, "93142887ee3be15c"),
    # draft-agl-tls-chacha20poly1305-04, section 7
    ("chacha20", "00" * 32, "00" * 8, "00" * 32, "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"),
    ("chacha20", "00" * 31 + "01", "00" * 8, "00" * 16, "4540f05a9f1fb296d7736e7b208e3c96"),
    # RFC 8439, A.1 vectors 1 and 5
    ("chacha20-ietf", "00" * 32, "00" * 12, "00" * 16, "76b8e0ada0f13d90405d6ae55386bd28"),
    ("chacha20-ietf", "00" * 32, "00" * 11 + "02", "00" * 16, "c2c64d378cd536374ae204b9ef933fcd"),
    # ECRYPT, set 1 vector 0 for 256 bits
    (
        "salsa20",
        "80" + "00" * 31,
        "00" * 8,
        "00" * 32,
        "e3be8fdd8beca2e3ea8ef9475b29a6e7003951e1097a5c38d23b7a5fad9f6844",
    ),
]

OTHERS: dict[str, Callable[[bytes, bytes], Any]] = {
    "aes-128-ctr": lambda key, iv: AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv),
    "aes-192-ctr": lambda key, iv: AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv),
    "aes-256-ctr": lambda key, iv: AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=iv),
    "aes-128-cfb": lambda key, iv: AES.new(key, AES.MODE_CFB, iv=iv, segment_size=128),
    "aes-192-cfb": lambda key, iv: AES.new(key, AES.MODE_CFB, iv=iv, segment_size=128),
    "aes-256-cfb": lambda key, iv: AES.new(key, AES.MODE_CFB, iv=iv, segment_size=128),
    "bf-cfb": lambda key, iv: Blowfish.new(key, Blowfish.MODE_CFB, iv=iv, segment_size=64),
    "rc4-md5": lambda key, iv: ARC4.new(md5(key + iv).digest()),
    "chacha20": lambda key, iv: ChaCha20.new(key=key, nonce=iv),
    "chacha20-ietf": lambda key, iv: ChaCha20.new(key=key, nonce=iv),
    "xchacha20": lambda key, iv: ChaCha20.new(key=key, nonce=iv),
    "salsa20": lambda key, iv: Salsa20.new(key=key, nonce=iv),
}


def encrypted(name: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    made = bytearray(len(data))
    assert KEYED[name](key, iv).encryptor().update_into(data, made) == len(data)
    return bytes(made)


def fresh(name: str) -> tuple[bytes, bytes]:
    method = METHODS[name]
    return RANDOM.randbytes(method.key_size), RANDOM.randbytes(method.salt_size)


def test_every_retired_method_has_its_cipher() -> None:
    assert list(KEYED) == NAMES


@pytest.mark.parametrize(("name", "key", "iv", "plain", "cipher"), VECTORS)
def test_published_vectors(name: str, key: str, iv: str, plain: str, cipher: str) -> None:
    wanted = bytes.fromhex(cipher)
    made = encrypted(name, bytes.fromhex(key), bytes.fromhex(iv), bytes.fromhex(plain))
    assert made[: len(wanted)] == wanted


@pytest.mark.parametrize("name", OTHERS)
def test_another_library_makes_the_same(name: str) -> None:
    key, iv = fresh(name)
    assert encrypted(name, key, iv, CONTENT) == OTHERS[name](key, iv).encrypt(CONTENT)


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_where_it_stopped_and_back(name: str) -> None:
    key, iv = fresh(name)
    whole = encrypted(name, key, iv, CONTENT)
    keyed = KEYED[name](key, iv)
    for one, data, wanted in ((keyed.encryptor(), CONTENT, whole), (KEYED[name](key, iv).decryptor(), whole, CONTENT)):
        made = bytearray(b"\xaa" * (len(data) + 7))
        at = 0
        for size in (0, 1, 7, 15, 16, 17, 63, 64, 65, 1000, len(data)):
            piece = memoryview(data)[at : at + size]
            at += one.update_into(piece, memoryview(made)[at:])
        assert made[:at] == wanted
        assert made[at:] == b"\xaa" * 7, "it wrote further than it said"


def test_chacha20_counts_on_where_32_bits_end() -> None:
    """As ss-server does: 64 bits for `chacha20`, and the same for `xchacha20`."""
    border = 1 << 32
    key, iv = fresh("chacha20")
    keyed: Any = KEYED["chacha20"](key, iv)
    keyed._start(border - 3)
    made = bytearray(1000)
    assert keyed.update_into(CONTENT[:100], made) == 100
    assert keyed.update_into(CONTENT[100:1000], memoryview(made)[100:]) == 900
    other = ChaCha20.new(key=key, nonce=iv)
    other.seek((border - 3) * 64)
    assert made == other.encrypt(CONTENT[:1000])


def test_the_border_may_lie_between_two_calls() -> None:
    key, iv = fresh("chacha20")
    keyed: Any = KEYED["chacha20"](key, iv)
    keyed._start((1 << 32) - 1)
    made = bytearray(128)
    assert keyed.update_into(bytes(64), made) == 64
    assert keyed.update_into(bytes(64), memoryview(made)[64:]) == 64
    other = ChaCha20.new(key=key, nonce=iv)
    other.seek(((1 << 32) - 1) * 64)
    assert made == other.encrypt(bytes(128))


@pytest.mark.parametrize("name", NAMES)
def test_the_libraries_here_have_them_all(name: str) -> None:
    check_method(METHODS[name])


@pytest.mark.parametrize("error", [UnsupportedAlgorithm("gone"), ImportError("gone")])
def test_a_library_that_was_built_without_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(key: bytes, iv: bytes) -> Any:
        raise error

    monkeypatch.setitem(legacy_ciphers.KEYED, "bf-cfb", refuse)
    with pytest.raises(ValueError, match="bf-cfb"):
        check_method(METHODS["bf-cfb"])


def test_pycryptodome_is_loaded_by_those_who_need_it_only() -> None:
    program = """
import sys
from gproxy.protocol.shadowsocks.wire.legacy_ciphers import check_method
from gproxy.protocol.shadowsocks.wire.methods import METHODS
for name in sys.argv[1:]:
    check_method(METHODS[name])
sys.exit(7 if "Crypto" in sys.modules else 0)
"""
    without = [name for name in NAMES if name != "salsa20"]
    assert subprocess.run([sys.executable, "-c", program, *without], check=False, timeout=60).returncode == 0
    assert subprocess.run([sys.executable, "-c", program, "salsa20"], check=False, timeout=60).returncode == 7
