"""gproxy.protocol.trojan.users."""

from __future__ import annotations

from gproxy.protocol.trojan import users as module
from gproxy.protocol.trojan.users import Users
from gproxy.protocol.trojan.wire import key_of


def test_each_by_its_own_key():
    users = Users((f"user{number}", f"pw{number}") for number in range(1000))
    for number in (0, 1, 999):
        assert users.find(key_of(f"pw{number}")) == f"user{number}"
    assert users.find(key_of("pw1000")) is None
    assert users.find(b"0" * 56) is None


def test_a_name_may_stand_twice_and_be_empty():
    users = Users([("me", "a"), ("me", "b"), ("", "c")])
    assert [users.find(key_of(password)) for password in "abcd"] == ["me", "me", "", None]


def test_nobody():
    assert Users([]).find(bytes(56)) is None


def test_the_keys_themselves_are_not_what_is_searched_by():
    """Two processes, or two starts, search by different hashes."""
    first, second = Users([("me", "a")]), Users([("me", "a")])
    assert first._by_digest.keys() != second._by_digest.keys()
    assert key_of("a") not in first._by_digest


def test_what_is_found_is_confirmed(monkeypatch):
    compared = []
    monkeypatch.setattr(module, "compare_digest", lambda one, other: compared.append((one, other)) or one == other)
    users = Users([("me", "a")])
    users.find(key_of("a"))
    users.find(key_of("b"))
    assert [one for one, _ in compared] == [key_of("a"), key_of("b")], "the work is the same, found or not"
    assert len({len(other) for _, other in compared}) == 1
