"""The load generator's side of Shadowsocks: what counts as an answer, and that nothing else does."""

from __future__ import annotations

import os
import struct
import time

import pytest

from tests.bench.doors import Declined
from tests.bench.sealed import SealedDoor
from tests.support.shadowsocks import METHODS, Chunks, Key, Request, key_of, new_key

PAYLOAD = b"q" * 128


def a_key(method: str) -> Key:
    return key_of(method, new_key(method) if method.startswith("2022-") else "password")


def answer(request: Request, key: Key, payload: bytes = PAYLOAD) -> bytes:
    """What a server with this key says to a request."""
    salt = os.urandom(key.salt_size)
    sealer = Chunks(key.aead(salt))
    if not key.modern:
        return salt + sealer.chunks(payload)
    head = struct.pack(">BQ", 1, int(time.time())) + request.salt + struct.pack(">H", len(payload))
    return salt + sealer.seal(head) + sealer.seal(payload)


@pytest.mark.parametrize("method", METHODS)
def test_an_answer_is_whole_with_its_last_byte(method: str) -> None:
    key = a_key(method)
    door = SealedDoor(key, 1, 80)
    talk = door.talk(PAYLOAD)
    (said, whole), *more = talk.steps
    assert not more
    request = Request(key, b"", PAYLOAD)
    request.salt = said[: key.salt_size]
    full = answer(request, key)
    assert [whole(bytearray(full[:size])) for size in (1, len(full) - 1, len(full))] == [False, False, True]


@pytest.mark.parametrize("method", METHODS)
def test_another_answer_is_declined(method: str) -> None:
    key = a_key(method)
    talk = SealedDoor(key, 1, 80).talk(PAYLOAD)
    said, whole = talk.steps[0]
    request = Request(key, b"", PAYLOAD)
    request.salt = said[: key.salt_size]
    for wrong in (answer(request, key, b"z" * 128), os.urandom(len(answer(request, key)))):
        with pytest.raises(Declined):
            whole(bytearray(wrong))


def test_every_connection_says_something_else() -> None:
    door = SealedDoor(a_key("aes-128-gcm"), 1, 80)
    first, second = door.talk(PAYLOAD), door.talk(PAYLOAD)
    assert first.steps[0][0] != second.steps[0][0]
    assert first.again()[0] != first.again()[0]
