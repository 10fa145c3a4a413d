from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, cast

import pytest

from gproxy.base.address import IP, UNSPECIFIED, Address
from gproxy.base.errors import AuthError, Denied, DialError, GproxyError, Limited, ProtocolError, ReplayError
from gproxy.base.iface import QueryEntrance
from gproxy.engine.admission import Access, Admission
from gproxy.limit.bans import Ban, network_of
from gproxy.limit.ledger import Ledger
from gproxy.limit.limits import Limit, Limits
from gproxy.limit.memory import Memory
from gproxy.route.cidrs import CidrSet
from tests.support.audit import AuditFile
from tests.support.playbook import new_session


def cidrs(*texts: str) -> CidrSet | None:
    return CidrSet(ip_network(text) for text in texts) if texts else None


def word(access: Access, host: str) -> str:
    try:
        access.check(host if host.startswith("@") else ip_address(host))
    except Denied as why:
        return why.word
    return "ok"


@pytest.mark.parametrize(
    ("allow", "deny", "let_in", "kept_out"),
    [
        ((), (), ("192.0.2.1", "::1"), ()),
        (("192.0.2.0/24", "2001:db8::/32"), (), ("192.0.2.1", "2001:db8::1"), ("192.0.3.1", "2001:db9::1")),
        ((), ("192.0.2.0/24",), ("192.0.3.1", "::1"), ("192.0.2.1",)),
        (("192.0.2.0/24",), ("192.0.2.128/25",), ("192.0.2.1",), ("192.0.2.200", "::1")),
        (("192.0.2.0/24",), (), ("@socket", "0.0.0.0"), ()),
    ],
)
def test_addresses(allow: Any, deny: Any, let_in: Any, kept_out: Any) -> None:
    access = Access(cidrs(*allow), cidrs(*deny))
    assert {host: word(access, host) for host in let_in} == dict.fromkeys(let_in, "ok")
    assert {host: word(access, host) for host in kept_out} == dict.fromkeys(kept_out, "denied-address")


def test_who_is_banned_stays_outside() -> None:
    access = Access(None, None, {ip_address("192.0.2.1")})
    assert (word(access, "192.0.2.1"), word(access, "192.0.2.2")) == ("denied-ban", "ok")


@pytest.mark.parametrize("kind", ["streams", "packets"])
def test_only_those_who_are_let_in_are_served(kind: str) -> None:
    limits = Limits([Limit("few", max_connections=1)], Ledger(Memory()))
    limits.join()
    admission = Admission(Access(None, cidrs("192.0.2.9")), limits)
    served: list[Any] = []
    accept = getattr(admission, kind)(lambda opened, session: served.append(opened))
    session = new_session(Address.parse("192.0.2.9:1"))
    with pytest.raises(Denied, match=r"192\.0\.2\.9 is denied"):
        accept("a", session)
    assert session.held is None
    first = new_session(Address.parse("192.0.2.1:1"))
    accept("b", first)
    assert first.held is not None
    with pytest.raises(Limited):
        accept("c", new_session(Address.parse("192.0.2.1:1")))
    assert served == ["b"]


def test_questions_without_a_session() -> None:
    entrance = QueryEntrance(lambda data, name: data.upper())
    denying = Admission(Access(None, cidrs("192.0.2.9")), None).queries(entrance)
    assert denying.answer(b"a", ("192.0.2.9", 1)) == b""
    assert denying.answer(b"a", ("192.0.2.8", 1)) == b"A"
    assert Admission(None, None).queries(entrance) is entrance


class Watch:
    """Bans for the third failure."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def failed(self, ip: IP, why: GproxyError) -> Ban | None:
        self.failures.append((str(ip), why.word))
        return Ban(network_of(ip), 60.0, 60.0, 1, "auth") if len(self.failures) == 3 else None


FAILURES = [
    (AuthError("wrong"), None, 1.0, True),
    (ReplayError("again"), "ada", 1.0, True),  # whose salt it was is known by then
    (ProtocolError("garbage"), None, 1.0, True),
    (ProtocolError("garbage"), "ada", 1.0, False),
    (AuthError("a record fails its tag"), "ada", 0.0, False),  # not of the handshake
    (DialError("not reached"), None, 1.0, False),
]


@pytest.mark.parametrize(("why", "user", "began", "counts"), FAILURES)
def test_failures_of_handshakes_are_looked_at(why: GproxyError, user: str | None, began: float, counts: bool) -> None:
    watch = Watch()

    def fail(stream: Any, session: Any) -> None:
        session.user, session.began = user, began
        session.fail(why)
        session.fail(why)

    Admission(None, None, watch).streams(fail)(cast(Any, object()), new_session(Address.parse("192.0.2.1:9")))
    assert watch.failures == ([("192.0.2.1", why.word)] if counts else [])
    session = new_session(Address.parse("192.0.2.1:9"))  # anybody can write any address into a datagram
    Admission(None, None, watch).packets(fail)(cast(Any, object()), session)
    assert len(watch.failures) == counts


def test_who_is_not_let_in_has_not_failed() -> None:
    """Nor has a balancer whose header can't be read: who comes is not known then."""
    watch = Watch()
    session = new_session(Address.parse("192.0.2.9:9"))
    session.began = 1.0
    with pytest.raises(Denied):
        Admission(Access(None, cidrs("192.0.2.9")), None, watch).streams(lambda *_: None)(cast(Any, None), session)
    session.fail(ProtocolError("no header"))
    assert watch.failures == []


def test_what_the_audit_log_gets(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    watch = Watch()
    with log.open():
        accept = Admission(None, None, watch, audited=True).streams(lambda stream, session: session.fail(stream))
        for why in (AuthError("wrong"), ReplayError("again"), ProtocolError("garbage"), AuthError(reason="missing")):
            session = new_session(Address.parse("192.0.2.1:9"))
            session.began = 1.0
            accept(cast(Any, why), session)
    assert log.events() == [
        {"event": "auth-failure", "result": "refused", "source": "192.0.2.1:9", "session": 1, "inbound": "in",
         "detail": "wrong"},
        {"event": "auth-replay", "result": "refused", "source": "192.0.2.1:9", "session": 1, "inbound": "in",
         "detail": "again"},
        {"event": "ban", "source": "192.0.2.1:9", "session": 1, "inbound": "in", "prefix": "192.0.2.1", "seconds": 60,
         "times": 1, "reason": "auth"},
    ]  # fmt: skip
    assert len(watch.failures) == 4


def test_an_audit_log_alone(tmp_path: Path) -> None:
    log = AuditFile(tmp_path)
    with log.open():
        session = new_session(UNSPECIFIED)
        session.began = 1.0
        Admission(None, None, audited=True).streams(lambda stream, session: session.fail(stream))(
            cast(Any, AuthError("wrong")), session
        )
    assert [each["event"] for each in log.events()] == ["auth-failure"]


def test_clients_without_an_address_fail_unseen() -> None:
    watch = Watch()

    def fail(stream: Any, session: Any) -> None:
        session.began = 1.0
        session.fail(AuthError("wrong"))

    Admission(None, None, watch).streams(fail)(cast(Any, object()), new_session(UNSPECIFIED))
    assert watch.failures == []
