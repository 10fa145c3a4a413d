from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, Rejected
from gproxy.base.session import LookupOptions, Session, Sniffed
from gproxy.engine import decide as room
from gproxy.engine.decide import Decider, Straight
from gproxy.engine.outbounds import Outbounds
from gproxy.engine.sniffing import ServerFirst
from gproxy.net import resolve
from gproxy.route.action import Action, HijackDns, Overrides, Reject, Resolve, RouteTo, SetOptions, Sniff
from gproxy.route.facts import Facts
from gproxy.rt.sync import sleep
from tests.engine.stand_ins import FakeOutbound
from tests.support.playbook import new_session

A = IPv4Address("192.0.2.1")
X = IPv6Address("2001:db8::1")
HELLO = Sniffed("tls", "site.test")


class Walk:
    """A router of these actions, which looks at the session between them."""

    def __init__(self, *actions: Action) -> None:
        self._actions = actions
        self.facts = Facts()
        self.seen: list[tuple[Address, tuple[object, ...]]] = []

    def walk(self, session: Session) -> Iterator[Action]:
        for action in self._actions:
            self.seen.append((session.target, session.addresses))
            yield action


OUTBOUNDS = Outbounds({"out": FakeOutbound(), "streams": FakeOutbound(networks=frozenset({"tcp"}))}, "out")


@pytest.fixture
def session() -> Session:
    session = new_session()
    session.target = Address("example.com", 443)
    return session


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []

    def getaddrinfo(domain: str, *_: object) -> list[tuple[object, ...]]:
        asked.append(domain)
        return [(0, 0, 0, "", (str(X), 0)), (0, 0, 0, "", (str(A), 0))]

    monkeypatch.setattr(resolve, "getaddrinfo", getaddrinfo)
    return asked


def decide(session: Session, *actions: Action) -> object:
    return Decider(Walk(*actions), OUTBOUNDS).decide(session)  # type: ignore[arg-type]


def test_the_chosen_outbound_is_written_down(session: Session) -> None:
    assert decide(session, RouteTo("out", rule="rules[2]")) is OUTBOUNDS.get("out", "tcp")
    assert (session.outbound, session.rule) == ("out", "rules[2]")


def test_an_outbound_that_does_not_carry_it(session: Session) -> None:
    session.network = "udp"
    with pytest.raises(DialError, match="no udp"):
        decide(session, RouteTo("streams"))
    assert session.outbound == "streams"


def test_a_rule_may_send_it_elsewhere(session: Session) -> None:
    decide(session, RouteTo("out", Overrides(address=A, port=80)))
    assert (session.target, session.asked) == (Address(A, 80), Address("example.com", 443))


def test_a_refusal_names_its_rule(session: Session) -> None:
    with pytest.raises(Rejected) as caught:
        decide(session, Reject(rule="rules[1]"))
    assert (session.rule, caught.value.drop) == ("rules[1]", False)
    with pytest.raises(Rejected) as caught:
        decide(session, Reject("drop"))
    assert caught.value.drop


def test_what_one_action_changes_the_next_rule_sees(session: Session, names: list[str]) -> None:
    walk = Walk(
        Resolve(LookupOptions(strategy="ipv4_only")), SetOptions(Overrides(port=80, udp_timeout=3.0)), RouteTo("out")
    )
    Decider(walk, OUTBOUNDS).decide(session)  # type: ignore[arg-type]
    assert walk.seen == [
        (Address("example.com", 443), ()),
        (Address("example.com", 443), (A,)),
        (Address("example.com", 80), (A,)),
    ]
    assert names == ["example.com"]
    assert session.dial.udp_timeout == 3.0


def test_an_address_needs_no_resolving(session: Session, names: list[str]) -> None:
    session.target = Address(A, 443)
    decide(session, Resolve(), RouteTo("out"))
    assert (names, session.addresses) == ([], ())


def test_a_name_that_cannot_be_resolved(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "getaddrinfo", lambda *args: [])
    with pytest.raises(DialError) as caught:
        decide(session, Resolve(), RouteTo("out"))
    assert caught.value.reason == "dns"
    assert session.addresses == ()


def test_a_resolver_that_does_not_answer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RESOLVE_TIMEOUT", 0.005)
    monkeypatch.setattr(room, "resolve", lambda *args: sleep(60))
    with pytest.raises(DialError, match=r"example\.com: no answer in time") as caught:
        decide(session, Resolve(), RouteTo("out"))
    assert caught.value.reason == "dns"


def test_straight_asks_no_rule(session: Session) -> None:
    outbound = FakeOutbound()
    assert Straight(outbound, "direct").decide(session) is outbound
    assert (session.outbound, session.rule, str(session.target)) == ("direct", "", "example.com:443")


class Heard:
    """An opening in which this is found, every time."""

    def __init__(self, found: Sniffed | None = HELLO) -> None:
        self.found = found
        self.asked: list[tuple[Sniff, Address]] = []

    def sniff(self, action: Sniff, target: Address, server_first: ServerFirst) -> Sniffed | None:
        self.asked.append((action, target))
        return self.found


def test_what_is_sniffed_is_written_down(session: Session) -> None:
    heard = Heard()
    walk = Walk(Sniff(override=True), RouteTo("out"))
    Decider(walk, OUTBOUNDS).decide(session, heard)  # type: ignore[arg-type]
    assert session.sniffed == HELLO
    assert (session.target, session.asked) == (Address("site.test", 443), Address("example.com", 443))
    assert walk.seen[1][0] == session.target


def test_nothing_is_sniffed_twice(session: Session) -> None:
    heard = Heard()
    Decider(Walk(Sniff(), Sniff(("ssh",)), RouteTo("out")), OUTBOUNDS).decide(session, heard)  # type: ignore[arg-type]
    assert len(heard.asked) == 1
    nothing = Heard(None)
    session.sniffed = None
    Decider(Walk(Sniff(), Sniff(("ssh",)), RouteTo("out")), OUTBOUNDS).decide(session, nothing)  # type: ignore[arg-type]
    assert len(nothing.asked) == 2
    assert session.sniffed is None


@pytest.mark.parametrize("port", [25, 110, 143, 465, 587, 993, 995])
def test_mail_is_not_sniffed(session: Session, port: int) -> None:
    heard = Heard()
    session.target = Address("mail.test", port)
    Decider(Walk(Sniff(), RouteTo("out")), OUTBOUNDS).decide(session, heard)  # type: ignore[arg-type]
    assert heard.asked == []


def test_without_an_opening_nothing_is_sniffed(session: Session) -> None:
    Decider(Walk(Sniff(), RouteTo("out")), OUTBOUNDS).decide(session)  # type: ignore[arg-type]
    assert session.sniffed is None


def test_questions_go_where_they_are_answered(session: Session) -> None:
    here = FakeOutbound()
    walk = Walk(HijackDns("rule 3"))
    decided = Decider(walk, OUTBOUNDS, hijack=here).decide(session)  # type: ignore[arg-type]
    assert decided is here
    assert (session.outbound, session.rule) == ("hijack-dns", "rule 3")
    assert session.target == Address("example.com", 443)
