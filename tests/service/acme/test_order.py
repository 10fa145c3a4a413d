from __future__ import annotations

import pytest
from cryptography import x509
from greenlet import GreenletExit

from gproxy.base.errors import GproxyError
from gproxy.service.acme import order as module
from gproxy.service.acme.certificates import new_key, request
from gproxy.service.acme.client import AcmeError, Client
from gproxy.service.acme.jws import Key
from gproxy.service.acme.order import Unproved, fulfil, place
from gproxy.service.acme.web import Response
from tests.service.acme.authority import BASE, Authority, problem

KEY = Key.new()


class Shown:
    """A prover that notes what is done with it."""

    def __init__(self, kind: str = "http-01", fails: bool = False) -> None:
        self.kind = kind
        self.fails = fails
        self.heard: list[str] = []

    def show(self, name: str, token: str, answer: str) -> None:
        assert answer == f"{token}.{KEY.thumbprint()}"
        self.heard.append(f"show {name}")

    def wait(self) -> None:
        self.heard.append("wait")
        if self.fails:
            raise AcmeError("can't be seen")

    def hide(self, *, hurry: bool = False) -> None:
        self.heard.append("hide at once" if hurry else "hide")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(module, "sleep", slept.append)
    return slept


def obtained(authority: Authority, prover: Shown, *names: str, profile: str = "", replaces: str = "") -> bytes:
    client = Client(authority.ask, f"{BASE}/dir", KEY)
    client.register("")
    url, order = place(client, names, profile, replaces)
    return fulfil(client, url, order, prover, names, request(new_key("p256"), names))


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01", "dns-01"])
def test_from_the_beginning_to_the_chain(kind: str) -> None:
    authority, prover = Authority(), Shown(kind)
    chain = obtained(authority, prover, "site.test", "*.site.test", "192.0.2.1")
    x509.load_pem_x509_certificate(chain)
    assert prover.heard == ["show site.test", "show site.test", "show 192.0.2.1", "wait", "hide"]
    assert authority.triggered == [kind] * 3
    assert authority.orders[0]["identifiers"][0] == {"type": "dns", "value": "site.test"}
    assert authority.orders[0]["identifiers"][2] == {"type": "ip", "value": "192.0.2.1"}


def test_an_authority_that_takes_its_time(quick: list[float]) -> None:
    authority = Authority()
    authority.looks = 5
    assert obtained(authority, Shown(), "site.test")
    assert quick[:5] == [0.5, 1.0, 2.0, 4.0, 5.0], "ever later"
    assert quick[5:] == [1.0] * 5, "as it has said"


def test_what_was_proved_lately_is_not_proved_again() -> None:
    authority, prover = Authority(), Shown()
    obtained(authority, prover, "site.test")
    valid = b'{"status": "valid", "identifier": {"type": "dns", "value": "site.test"}, "challenges": []}'
    client = Client(authority.ask, f"{BASE}/dir", KEY)
    client.register("")
    url, order = place(client, ["site.test"], "", "")
    authority.answers["/authz/1"] = [Response(200, {}, valid)]
    authority.orders[1]["status"] = "ready"
    prover.heard.clear()
    assert fulfil(client, url, order, prover, ["site.test"], request(new_key("p256"), ["site.test"]))
    assert prover.heard == ["hide"]


def test_a_way_that_is_not_taken() -> None:
    authority, prover = Authority(("dns-01",)), Shown()
    with pytest.raises(Unproved, match=r"does not take http-01 for site.test"):
        obtained(authority, prover, "site.test")
    assert authority.triggered == []


def test_a_proof_that_does_not_convince() -> None:
    authority, prover = Authority(), Shown()
    authority.convinced = False
    with pytest.raises(Unproved, match=r"http-01 for site.test is invalid: connection: nobody there"):
        obtained(authority, prover, "site.test")
    assert prover.heard[-1] == "hide"


def test_what_can_t_be_seen_is_taken_back_and_not_asked_for() -> None:
    authority, prover = Authority(), Shown(fails=True)
    with pytest.raises(AcmeError, match="can't be seen"):
        obtained(authority, prover, "site.test")
    assert (prover.heard[-1], authority.triggered) == ("hide", [])


def test_other_names_are_not_proved() -> None:
    """Whoever says so might want to have records set, or programs run, for names of its choice."""
    authority, prover = Authority(), Shown()
    other = b'{"status": "pending", "identifier": {"type": "dns", "value": "other.test"}, "challenges": []}'
    authority.answers["/authz/0"] = [Response(200, {}, other)]
    with pytest.raises(AcmeError, match="something else to be proved"):
        obtained(authority, prover, "site.test")
    assert prover.heard == []


def test_an_order_that_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    authority, prover = Authority(), Shown()
    authority.looks = 9

    def killed(seconds: float) -> None:
        raise GreenletExit

    monkeypatch.setattr(module, "sleep", killed)
    with pytest.raises(GreenletExit):
        obtained(authority, prover, "site.test")
    assert prover.heard[-1] == "hide at once"


def test_an_order_that_never_ends(monkeypatch: pytest.MonkeyPatch, quick: list[float]) -> None:
    passed = 0.0

    def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(module, "sleep", sleep)
    monkeypatch.setattr(module, "now", lambda: passed)
    authority = Authority()
    authority.looks = 10**9
    with pytest.raises(AcmeError, match="does not come to an end"):
        obtained(authority, Shown(), "site.test")
    assert 500 < passed <= 600


@pytest.mark.parametrize(
    ("path", "answer", "message"),
    [
        ("/new-order", problem("rejectedIdentifier", detail="policy"), "rejectedIdentifier: policy"),
        ("/new-order", Response(201, {}, b"{}"), "an order without a URL"),
        ("/new-order", Response(201, {"location": f"{BASE}/order/0"}, b"[]"), "an order: expected a JSON object"),
        ("/authz/0", Response(200, {}, b"garbage"), "authorization: expected JSON"),
        ("/finalize/0", problem("badCSR"), "badCSR"),
        ("/order/0", Response(200, {}, b'{"status": "invalid", "authorizations": [], "finalize": "https://ca.test/f",'
         b' "error": {"type": "x:caa", "detail": "no"}}'), "the order is invalid: caa: no"),
        ("/order/0", Response(200, {}, b'{"status": "valid", "authorizations": [], "finalize": "https://ca.test/f"}'),
         "the order is valid"),
    ],
)  # fmt: skip
def test_whatever_goes_wrong_has_a_word(path: str, answer: Response, message: str) -> None:
    authority = Authority()
    authority.answers[path] = [answer]
    with pytest.raises(GproxyError, match=message):
        obtained(authority, Shown(), "site.test")


def test_a_profile() -> None:
    authority = Authority()
    with pytest.raises(AcmeError, match="it has no profile short: it has none"):
        obtained(authority, Shown(), "site.test", profile="short")
    authority.profiles = {"short": "six days"}
    obtained(authority, Shown(), "site.test", profile="short")
    assert authority.orders[0]["profile"] == "short"


def test_a_renewal_says_what_it_follows() -> None:
    authority = Authority()
    obtained(authority, Shown(), "site.test", replaces="a.b")
    authority.windows = [(1.0, 2.0)]
    obtained(authority, Shown(), "site.test", replaces="a.b")
    assert authority.replaced == ["", "a.b"], "only to those who know of such things"
    authority.answers["/new-order"] = [problem("alreadyReplaced", 409)]
    obtained(authority, Shown(), "site.test", replaces="a.b")
    assert authority.replaced[2:] == [""]
    authority.answers["/new-order"] = [problem("rateLimited", 429)]
    with pytest.raises(AcmeError, match="rateLimited"):
        obtained(authority, Shown(), "site.test", replaces="a.b")
