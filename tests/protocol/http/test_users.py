"""gproxy.protocol.http.users."""

from __future__ import annotations

import pytest

from gproxy.base.errors import AuthError
from gproxy.protocol.http.users import identify
from gproxy.protocol.http.wire import encode_basic
from gproxy.schema import users
from gproxy.schema.fields import Secret
from gproxy.schema.groups import User
from gproxy.schema.users import Users
from gproxy.wire.http1 import Fields


def given(*values):
    return Fields([(b"proxy-authorization", b"Proxy-Authorization", value) for value in values])


def known(*pairs):
    return Users(User(username=name, password=Secret(password)) for name, password in pairs)


def test_without_users_anybody_may_come():
    assert identify(known(), given()) is None
    assert identify(known(), given(b"nonsense")) is None


def test_a_name_may_have_several_passwords():
    both = known(("a", "1"), ("a", "2"), ("b", "3"))
    for password in ("1", "2"):
        assert identify(both, given(encode_basic("a", password))) == "a"
    with pytest.raises(AuthError):
        identify(both, given(encode_basic("a", "3")))


def test_an_empty_password_is_a_password():
    assert identify(known(("a", "")), given(encode_basic("a", ""))) == "a"
    with pytest.raises(AuthError):
        identify(known(("a", "")), given(encode_basic("b", "")))


def test_missing_and_wrong_are_told_apart():
    with pytest.raises(AuthError) as missing:
        identify(known(("a", "1")), given())
    with pytest.raises(AuthError) as wrong:
        identify(known(("a", "1")), given(encode_basic("a", "1"), encode_basic("a", "1")))
    assert (missing.value.reason, wrong.value.reason) == ("missing", "")


def test_every_password_is_compared_in_constant_time(monkeypatch):
    compared = []

    def compare(given, right):
        compared.append((given, right))
        return given == right

    monkeypatch.setattr(users, "compare_digest", compare)
    some = known(("a", "1"), ("a", "2"))
    identify(some, given(encode_basic("a", "1")))
    assert compared == [(b"1", b"1"), (b"1", b"2")]
    with pytest.raises(AuthError):
        identify(some, given(encode_basic("nobody", "1")))
    assert len(compared) == 3
