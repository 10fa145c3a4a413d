"""gproxy.protocol.shadowsocks.users."""

from __future__ import annotations

import base64

from gproxy.protocol.shadowsocks import users as module
from gproxy.protocol.shadowsocks.users import KeyRing
from gproxy.protocol.shadowsocks.wire.keys import key_hash
from gproxy.protocol.shadowsocks.wire.methods import METHODS

AEAD, MODERN = METHODS["aes-128-gcm"], METHODS["2022-blake3-aes-128-gcm"]


def ring(names, method=AEAD):
    return KeyRing(method, "", [(name, f"password of {name}", None) for name in names], several=True)


def tried(keys, source):
    return [credential.name for credential in keys.candidates(source)]


def test_a_single_key_is_nobodys():
    keys = KeyRing(AEAD, "secret", (), several=False)
    assert tried(keys, "a") == [None]
    keys.remember("a", next(keys.candidates("a")))
    assert tried(keys, "a") == [None]


def test_those_who_came_from_there_before_are_tried_first():
    keys = ring("abcd")
    by_name = {each.name: each for each in keys.candidates("there")}
    keys.remember("there", by_name["c"])
    assert tried(keys, "there") == ["c", "a", "b", "d"]
    keys.remember("there", by_name["d"])
    assert tried(keys, "there") == ["d", "c", "a", "b"]
    keys.remember("there", by_name["c"])
    assert tried(keys, "there") == ["c", "d", "a", "b"]
    assert tried(keys, "elsewhere") == ["a", "b", "c", "d"]


def test_only_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "_ADDRESSES", 2)
    monkeypatch.setattr(module, "_USERS_EACH", 2)
    keys = ring("abcd")
    for each in list(keys.candidates(0)):
        keys.remember("one", each)
    assert tried(keys, "one") == ["d", "c", "a", "b"]
    some = next(iter(keys.candidates("one")))
    for source in ("two", "one", "three"):
        keys.remember(source, some)
    assert tried(keys, "two") == ["a", "b", "c", "d"]  # the longest unseen is forgotten
    assert tried(keys, "one")[0] == "d"


def test_new_users_take_the_place_of_the_old_ones():
    keys = ring("ab")
    keys.remember("there", next(keys.candidates("there")))
    before = keys.version
    keys.replace([("c", "password of c", None)])
    assert tried(keys, "there") == ["c"]
    assert keys.version != before


def test_keys_are_named_by_their_hash():
    server, own = (base64.b64encode(bytes((each,)) * 16).decode() for each in (1, 2))
    keys = KeyRing(MODERN, server, [("a", own, None)], several=True)
    assert keys.key == b"\1" * 16
    assert keys.named(key_hash(b"\2" * 16)).name == "a"
    assert keys.named(key_hash(b"\3" * 16)) is None
