"""gproxy.schema.users."""

from __future__ import annotations

from gproxy.schema.fields import Secret
from gproxy.schema.groups import User
from gproxy.schema.users import Users


def users(*pairs):
    return Users(User(username=name, password=Secret(password)) for name, password in pairs)


def test_nobody():
    assert not users()
    assert users().verify(b"", b"") is None


def test_name_and_password():
    known = users(("u", "pw1"), ("v", "pw2"))
    assert known
    assert known.verify(b"u", b"pw1") == "u"
    assert known.verify(b"v", b"pw2") == "v"
    for wrong in (
        (b"u", b"pw2"),
        (b"u", b""),
        (b"u", b"pw1\0"),
        (b"U", b"pw1"),
        (b"w", b"pw1"),
        (b"w", b""),
        (b"", b""),
    ):
        assert known.verify(*wrong) is None


def test_one_name_with_two_passwords():
    known = users(("u", "old"), ("u", "new"))
    assert known.verify(b"u", b"old") == known.verify(b"u", b"new") == "u"


def test_bytes_that_are_no_text():
    assert users(("u", "pw1")).verify(b"\xff", b"\xff") is None
    assert users(("bücher", "ä")).verify("bücher".encode(), "ä".encode()) == "bücher"


def test_an_empty_password_is_one():
    assert users(("u", "")).verify(b"u", b"") == "u"
    assert users(("u", "")).verify(b"u", b"x") is None
