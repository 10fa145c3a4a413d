"""gproxy.protocol.shadowsocks.wire.methods."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from gproxy.protocol.shadowsocks.options import MethodName
from gproxy.protocol.shadowsocks.wire.methods import METHODS


def test_what_can_be_configured_is_what_there_is():
    assert list(get_args(MethodName)) == list(METHODS)


@pytest.mark.parametrize("method", [each for each in METHODS.values() if each.aead], ids=lambda each: each.name)
def test_a_cipher_takes_its_key_and_no_other(method):
    method.cipher(os.urandom(method.key_size))
    with pytest.raises(ValueError, match="key"):
        method.cipher(os.urandom(method.key_size + 1)).encrypt(bytes(12), b"", None)


def test_names_say_what_they_are():
    for name, method in METHODS.items():
        assert method.kind == ("2022" if name.startswith("2022-") else method.kind)
        for bits in (128, 192, 256):
            if f"-{bits}-" in name:
                assert method.key_size == bits // 8
        assert method.block == (name.startswith("2022-") and "aes" in name)
