from __future__ import annotations

import pytest

from gproxy.config.secrecy import Secrecy, looks_secret
from gproxy.protocol import INBOUNDS, OUTBOUNDS
from gproxy.schema.fields import Secret
from gproxy.schema.model import fields_of, holds
from gproxy.schema.problem import Problem


@pytest.mark.parametrize(
    "key",
    ["password", "Proxy-Authorization", "private_key", "key", "token", "uuid", "psk", "auth_str", "Cookie", "API-Key"],
)
def test_keys_that_sound_secret(key):
    assert Secrecy(()).covers(("a", key))
    assert Secrecy(()).covers(("a", key, 0, "x"))


@pytest.mark.parametrize("key", ["keyboard", "auth_user", "domain_keyword", "disable_tcp_keep_alive", "tag", "listen"])
def test_keys_that_do_not(key):
    assert not Secrecy(()).covers(("a", key))


def test_every_secret_field_is_covered():
    models = [registry.row(name).options for registry in (INBOUNDS, OUTBOUNDS) for name in registry.names()]
    secret = {name for model in models for name, field in fields_of(model).items() if holds(field.kind, Secret)}
    assert secret
    assert all(Secrecy(()).covers((name,)) for name in secret)


def test_what_was_not_understood_is_covered():
    secrecy = Secrecy([Problem(("a", "foo"), "unknown key", unread=True), Problem(("in", 0, "type"), "unknown")])
    assert secrecy.covers(("a", "foo", "bar"))
    assert not secrecy.covers(("a", "bar"))
    assert secrecy.covers(("in", 0, "user", "x"))
    assert not secrecy.covers(("in", 0, "tag"))
    assert not secrecy.covers(("in", 0, "type"))
    assert not secrecy.covers(("in", 1, "user"))


def test_a_line_of_text_may_name_a_secret():
    assert looks_secret("key = 5")
    assert not looks_secret("keyboard = 5")
