"""gproxy.protocol.shadowsocks.wire.keys, against other implementations of the same functions."""

from __future__ import annotations

import base64
import os

import pytest
from blake3 import blake3
from Crypto.Cipher import AES
from Crypto.Hash import SHA1
from Crypto.Protocol.KDF import HKDF

from gproxy.protocol.shadowsocks.wire import keys
from gproxy.protocol.shadowsocks.wire.methods import METHODS

AES128, AES256, CHACHA = (
    METHODS[f"2022-blake3-{name}"] for name in ("aes-128-gcm", "aes-256-gcm", "chacha20-poly1305")
)


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.mark.parametrize(
    ("method", "key"),
    [  # `openssl enc -CIPHER -k foobar -P -md md5 -nosalt`
        ("aes-128-gcm", "3858f62230ac3c915f300c664312c63f"),
        ("aes-192-gcm", "3858f62230ac3c915f300c664312c63f568378529614d22d"),
        ("aes-256-gcm", "3858f62230ac3c915f300c664312c63f568378529614d22ddb49237d2f60bfdf"),
    ],
)
def test_the_key_of_a_password(method, key):
    assert keys.key_of_password(METHODS[method], "foobar").hex() == key


@pytest.mark.parametrize("size", [16, 24, 32])
def test_session_keys_of_sip004(size):
    key, salt = os.urandom(size), os.urandom(size)
    assert keys.session_key_aead(key, salt) == HKDF(key, size, salt, SHA1, context=b"ss-subkey")


def test_session_and_identity_keys_of_sip022_differ():
    key, salt = os.urandom(16), os.urandom(16)
    assert keys.session_key_2022(key, salt) != keys.identity_key(key, salt)
    context = "shadowsocks 2022 session subkey"
    assert keys.session_key_2022(key, salt) == blake3(key + salt, derive_key_context=context).digest(length=16)


def test_a_password_of_2022_is_a_row_of_keys():
    one, two = os.urandom(16), os.urandom(16)
    assert keys.keys_of_password(AES128, text(one)) == [one]
    assert keys.keys_of_password(AES128, f"{text(one)}:{text(two)}") == [one, two]


@pytest.mark.parametrize(
    ("method", "password", "words"),
    [
        (AES128, "secret words", "expected a key in base64"),
        (AES128, text(bytes(32)), "of 16 bytes in base64, got 32"),
        (AES256, text(bytes(16)), "of 32 bytes in base64, got 16"),
        (AES128, text(bytes(16)) + ":", "got 0"),
        (CHACHA, f"{text(bytes(32))}:{text(bytes(32))}", "no identity headers"),
    ],
)
def test_bad_keys_are_told_without_telling_them(method, password, words):
    with pytest.raises(ValueError, match=words) as caught:
        keys.keys_of_password(method, password)
    assert password not in str(caught.value)


def test_identity_headers_name_the_next_key():
    first, second, own, salt = (os.urandom(16) for _ in range(4))
    headers = keys.identity_headers([first, second, own], salt)
    assert len(headers) == 2 * keys.BLOCK
    for key, named, header in ((first, second, headers[:16]), (second, own, headers[16:])):
        opened = AES.new(keys.identity_key(key, salt), AES.MODE_ECB).decrypt(header)
        assert opened == blake3(named).digest()[:16] == keys.key_hash(named)
        assert keys.decrypt_block(keys.identity_key(key, salt), header) == opened
    assert keys.identity_headers([own], salt) == b""
