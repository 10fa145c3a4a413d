from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.service.acme.answers import Authorization, Directory, Order, Problem, Window, printable, table_of

DIRECTORY = {
    "newNonce": "https://ca.test/nonce", "newAccount": "https://ca.test/account", "newOrder": "https://ca.test/order",
    "renewalInfo": "https://ca.test/renewal", "keyChange": 5,
    "meta": {"externalAccountRequired": True, "profiles": {"classic": "…", "short": "…"}},
}  # fmt: skip
ORDER = {
    "status": "pending", "authorizations": ["https://ca.test/authz/1"], "finalize": "https://ca.test/finalize/1",
    "expires": "2030-01-01T00:00:00Z",
}  # fmt: skip
CHALLENGE = {"type": "http-01", "status": "pending", "url": "https://ca.test/challenge/1", "token": "a-_Z9"}
AUTHORIZATION = {
    "status": "pending", "identifier": {"type": "dns", "value": "site.test"},
    "challenges": [CHALLENGE, {"type": "dns-account-01", "status": 5}],
}  # fmt: skip
WINDOW = {"suggestedWindow": {"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00+00:00"}}


def body(table: Any, **changed: Any) -> bytes:
    return json.dumps({**table, **changed}).encode()


def test_a_directory() -> None:
    found = Directory.read(body(DIRECTORY))
    assert (found.new_nonce, found.new_account, found.new_order, found.renewal_info) == (
        "https://ca.test/nonce", "https://ca.test/account", "https://ca.test/order", "https://ca.test/renewal",
    )  # fmt: skip
    assert (found.external, found.profiles) == (True, ("classic", "short"))
    bare = Directory.read(body({key: DIRECTORY[key] for key in ("newNonce", "newAccount", "newOrder")}, meta=None))
    assert (bare.renewal_info, bare.external, bare.profiles) == ("", False, ())


def test_an_order() -> None:
    found = Order.read(body(ORDER))
    assert (found.status, found.authorizations) == ("pending", ("https://ca.test/authz/1",))
    assert (found.finalize, found.certificate, str(found.problem)) == (
        "https://ca.test/finalize/1", "", "no reason given",
    )  # fmt: skip
    error = {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA", "subproblems": [{"detail": "site.test"}]}
    assert str(Order.read(body(ORDER, status="invalid", error=error)).problem) == "caa: CAA (site.test)"


def test_an_authorization_has_the_challenges_that_are_known() -> None:
    found = Authorization.read(body(AUTHORIZATION))
    assert (found.status, found.kind, found.name, list(found.challenges)) == (
        "pending",
        "dns",
        "site.test",
        ["http-01"],
    )
    assert found.challenges["http-01"].token == "a-_Z9"
    assert str(found.problem()) == "no reason given"


def test_a_window() -> None:
    found = Window.read(body(WINDOW))
    assert found.end - found.start == 86400


@pytest.mark.parametrize(
    ("model", "table", "changed"),
    [
        (Directory, DIRECTORY, {"newNonce": None}), (Directory, DIRECTORY, {"newOrder": "http://ca.test/order"}),
        (Directory, DIRECTORY, {"newAccount": "https://ca.test/a b"}), (Directory, DIRECTORY, {"renewalInfo": 5}),
        (Directory, DIRECTORY, {"newAccount": "https://ca.test/\r\nx"}), (Directory, DIRECTORY, {"newNonce": "https://[x"}),
        (Order, ORDER, {"status": 5}), (Order, ORDER, {"status": ""}), (Order, ORDER, {"authorizations": {}}),
        (Order, ORDER, {"authorizations": ["file:///etc/passwd"]}), (Order, ORDER, {"finalize": None}),
        (Order, ORDER, {"authorizations": ["https://ca.test/1"] * 201}), (Order, ORDER, {"certificate": 7}),
        (Authorization, AUTHORIZATION, {"identifier": None}), (Authorization, AUTHORIZATION, {"challenges": None}),
        (Authorization, AUTHORIZATION, {"identifier": {"type": "dns"}}),
        (Authorization, AUTHORIZATION, {"challenges": [{**CHALLENGE, "token": "../../etc"}]}),
        (Authorization, AUTHORIZATION, {"challenges": [{**CHALLENGE, "token": "x" * 257}]}),
        (Authorization, AUTHORIZATION, {"challenges": [{**CHALLENGE, "url": None}]}),
        (Window, {}, {}), (Window, WINDOW, {"suggestedWindow": {"start": "x", "end": "y"}}),
        (Window, WINDOW, {"suggestedWindow": {"start": "2030-01-01T00:00:00", "end": "2030-01-02T00:00:00"}}),
        (Window, WINDOW, {"suggestedWindow": {"start": "2030-01-02T00:00:00Z", "end": "2030-01-01T00:00:00Z"}}),
    ],
)  # fmt: skip
def test_answers_that_can_t_be_used(model: Any, table: Any, changed: Any) -> None:
    with pytest.raises(ValueError):
        model.read(body(table, **changed))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"5", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_object(text: bytes) -> None:
    with pytest.raises(ValueError):
        table_of(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["status", "authorizations", "finalize", "identifier", "challenges", "type", "value", "suggestedWindow",
         "start", "end", "meta", "profiles", "newNonce", "error", "detail", "subproblems"]), inner, max_size=4),
    max_leaves=10,
))  # fmt: skip
def test_whatever_comes_is_read_or_refused(value: Any) -> None:
    text = json.dumps(value).encode()
    for model in (Directory, Order, Authorization, Window):
        try:
            model.read(text)
        except ValueError:
            pass
    assert str(Problem.read(text))


def test_what_others_say_is_safe_to_print() -> None:
    assert printable("a\x1b[31mb\nc") == "a [31mb c"
    long = Problem.of({"type": "urn:ietf:params:acme:error:" + "x" * 99, "detail": "y" * 999})
    assert (len(long.kind), len(long.detail)) == (40, 300)
    assert str(Problem.read(b"<html>")) == "no reason given"
