from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.service.acme.answers import Order
from gproxy.service.acme.client import AcmeError, Client
from gproxy.service.acme.jws import Key
from gproxy.service.acme.web import Response
from tests.service.acme.authority import BASE, MAC, Authority, problem

KEY = Key.new()


def client_of(authority: Authority) -> Client:
    return Client(authority.ask, f"{BASE}/dir", KEY)


def test_an_account_is_opened_once() -> None:
    authority = Authority()
    client = client_of(authority)
    client.register("admin@site.test")
    assert client.account == f"{BASE}/account/1"
    assert authority.accounts[client.account]["payload"]["contact"] == ["mailto:admin@site.test"]
    again = client_of(authority)
    again.register("")
    assert again.account == client.account
    assert "contact" not in authority.accounts[client.account]["payload"]


def test_nonces_are_used_once_and_asked_for_once() -> None:
    authority = Authority()
    client = client_of(authority)
    client.register("")
    for _ in range(3):
        client.register("")
    assert authority.asked.count("HEAD /new-nonce") == 1
    assert authority.asked.count("GET /dir") == 1


def test_a_refused_nonce_is_exchanged() -> None:
    authority = Authority()
    authority.bad_nonces = 5
    client_of(authority).register("")
    assert authority.asked.count("POST /new-account") == 6
    assert authority.asked.count("HEAD /new-nonce") == 1, "the refusal brought the next one"


def test_not_for_ever() -> None:
    authority = Authority()
    authority.bad_nonces = 1000
    with pytest.raises(AcmeError, match="none of its own nonces"):
        client_of(authority).register("")
    assert authority.asked.count("POST /new-account") == 10


def test_an_external_account() -> None:
    authority = Authority()
    authority.external = True
    client = client_of(authority)
    with pytest.raises(AcmeError, match="externalAccountRequired"):
        client.register("")
    with pytest.raises(AcmeError, match="unauthorized"):
        client.register("", ("kid-1", b"wrong"))
    client.register("", ("kid-1", MAC))
    assert client.account


def test_errors_say_what_and_when() -> None:
    authority = Authority()
    limited = problem("rateLimited", 429, "too many", **{"retry-after": "3600"})
    authority.answers["/new-account"] = [limited]
    with pytest.raises(AcmeError) as raised:
        client_of(authority).register("")
    assert (raised.value.word, raised.value.retry_after) == ("acme-rateLimited", 3600.0)
    assert str(raised.value) == "rateLimited: too many"


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/dir", Response(200, {}, b"<html>"), "the directory: expected JSON"),
        ("/dir", Response(200, {}, b"{}"), "the directory: expected a URL in newNonce"),
        ("/dir", Response(503, {}, b"later"), "it answers 503"),
        ("/new-nonce", Response(200, {"replay-nonce": ""}, b""), "no nonce"),
        ("/new-nonce", Response(404, {}, b""), "it answers 404"),
        ("/new-account", Response(201, {}, b"{}"), "an account without a URL"),
        ("/new-account", Response(201, {"location": "http://ca.test/x"}, b"{}"), "an account without a URL"),
        ("/new-account", Response(201, {"location": "https://ca.test/a b"}, b"{}"), "an account without a URL"),
        ("/new-account", Response(500, {}, b"\xff" * 1000), "it answers 500"),
    ],
)
def test_answers_that_can_t_be_used(path: str, answer: Response, message: str) -> None:
    authority = Authority()
    authority.answers[path] = [answer]
    with pytest.raises(AcmeError, match=message):
        client_of(authority).register("")


def test_what_the_web_says_comes_through() -> None:
    def ask(*_: object) -> Response:
        raise DialError("nobody there", reason="refused")

    with pytest.raises(DialError):
        Client(ask, f"{BASE}/dir", KEY).directory()


def test_asking_for_something() -> None:
    authority = Authority()
    client = client_of(authority)
    client.register("")
    authority.answers["/order/9"] = [Response(200, {"retry-after": "7"}, b'{"authorizations": [], "status": 1}')]
    with pytest.raises(AcmeError, match="order: expected text in status"):
        client.fetch(Order, f"{BASE}/order/9")


def test_renewal_information() -> None:
    authority = Authority()
    assert client_of(authority).window("a.b") is None, "it has none"
    authority.windows = [(1000.0, 2000.0)]
    client = client_of(authority)
    assert client.window("") is None, "the certificate has no name there"
    found = client.window("a.b")
    assert found is not None
    assert (found[0].start, found[0].end, found[1]) == (1000.0, 2000.0, 600.0)
    assert authority.asked[-1] == "GET /renewal/a.b"
