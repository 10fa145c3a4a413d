from __future__ import annotations

import pytest
from cryptography import x509

from gproxy.service.acme import proofs as module
from gproxy.service.acme.proofs import InHandshakes, OnPort80, Pages
from gproxy.service.http import Answer, Request


def ask(pages: Pages, *parts: str, method: str = "GET") -> Answer:
    return pages.answer(Request(method, list(parts), {}, b""))


def test_pages() -> None:
    pages = Pages()
    one, other = OnPort80(pages), OnPort80(pages)
    one.show("site.test", "token-1", "token-1.print")
    other.show("b.test", "token-2", "token-2.print")
    one.wait()
    found = ask(pages, ".well-known", "acme-challenge", "token-1")
    assert (found.status, found.body, found.kind) == (200, b"token-1.print", "application/octet-stream")
    one.hide()
    one.hide(hurry=True)
    assert ask(pages, ".well-known", "acme-challenge", "token-1").status == 404
    assert ask(pages, ".well-known", "acme-challenge", "token-2").status == 200


@pytest.mark.parametrize(
    "parts", [(), ("token-1",), ("acme-challenge", "token-1"), (".well-known", "acme-challenge"),
              (".well-known", "acme-challenge", "token-1", "x"), (".well-known", "acme-challenge", "token-2")],
)  # fmt: skip
def test_there_is_nothing_else(parts: tuple[str, ...]) -> None:
    pages = Pages()
    OnPort80(pages).show("site.test", "token-1", "answer")
    assert ask(pages, *parts).status == 404


def test_nothing_can_be_changed() -> None:
    pages = Pages()
    OnPort80(pages).show("site.test", "token-1", "answer")
    assert ask(pages, ".well-known", "acme-challenge", "token-1", method="POST").status == 405


def test_in_handshakes(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "sleep", slept.append)
    told: list[dict[str, str]] = []
    prover = InHandshakes(lambda challenges: told.append(dict(challenges)))
    prover.hide()
    assert told == [], "there was nothing to be taken back"
    prover.show("site.test", "token", "token.print")
    prover.show("192.0.2.1", "token", "token.print")
    assert told == []
    prover.wait()
    assert slept == [1.0], "workers have a moment"
    assert sorted(told[0]) == ["1.2.0.192.in-addr.arpa", "site.test"]
    assert "PRIVATE KEY" in told[0]["site.test"]
    assert x509.load_pem_x509_certificate(told[0]["site.test"].partition("PRIVATE KEY-----\n")[2].encode())
    prover.hide()
    assert told[1] == {}
