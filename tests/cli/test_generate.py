from __future__ import annotations

import base64
import uuid

import pytest

from gproxy.cli.main import main


def test_uuid(capsys):
    assert main(["generate", "uuid"]) == 0
    assert uuid.UUID(capsys.readouterr().out.strip()).version == 4


def test_rand(capsysbinary):
    main(["generate", "rand", "16", "--hex"])
    assert len(bytes.fromhex(capsysbinary.readouterr().out.decode().strip())) == 16
    main(["generate", "rand", "16", "--base64"])
    first = base64.b64decode(capsysbinary.readouterr().out.strip(), validate=True)
    main(["generate", "rand", "16"])
    second = capsysbinary.readouterr().out
    assert len(first) == len(second) == 16
    assert first != second


def test_rand_has_bounds(capsys):
    assert main(["generate", "rand", "0"]) == 2
    assert main(["generate", "rand", "9999999999"]) == 2


@pytest.mark.parametrize(
    ("method", "size"),
    [("2022-blake3-aes-128-gcm", 16), ("2022-blake3-aes-256-gcm", 32), ("2022-blake3-chacha20-poly1305", 32)],
)
def test_ss_key(method, size, capsys):
    keys = set()
    for _ in range(2):
        assert main(["generate", "ss-key", method]) == 0
        keys.add(capsys.readouterr().out)
    assert {len(base64.b64decode(key.strip(), validate=True)) for key in keys} == {size}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("method", "why"),
    [("aes-128-gcm", "a password of your choice"), ("none", "no password"), ("rot13", "no method `rot13`")],
)
def test_ss_key_of_a_method_without_keys(method, why, capsys):
    assert main(["generate", "ss-key", method]) == 2
    err = capsys.readouterr().err
    assert why in err
    assert "2022-blake3-aes-256-gcm" in err
