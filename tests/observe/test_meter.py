from __future__ import annotations

from gproxy.base.address import UNSPECIFIED
from gproxy.base.clock import now
from gproxy.base.session import Session
from gproxy.observe.meter import Meter


def test_clients_come_and_go() -> None:
    meter = Meter()
    meter.begin()
    meter.begin()
    meter.leave()
    assert (meter.opened, meter.active) == (2, 1)


def test_sessions_are_counted_by_their_word() -> None:
    meter = Meter()
    meter.record("ok", 1, 10)
    meter.record("ok", 2, 20)
    meter.record("dial-refused", 0, 0)
    assert (meter.up, meter.down) == (3, 30)
    assert meter.statuses == {"ok": 2, "dial-refused": 1}
    assert (meter.opened, meter.active) == (0, 0)


def test_meters_do_not_share() -> None:
    Meter().record("ok", 1, 1)
    assert Meter().statuses == {}


def test_what_a_user_moves_is_told_once() -> None:
    meter = Meter()
    account = meter.enter("in", "ada", "tcp")
    account.way("out").up += 5
    account.way("out").down += 7
    assert meter.take_traffic() == [["in", "ada", 5, 7, 0, 0, 1, 0]]
    assert meter.take_traffic() == []
    account.down_packets += 1
    assert meter.take_traffic() == [["in", "ada", 0, 0, 0, 1, 0, 0]]


def test_the_sessions_of_a_user_share_an_account() -> None:
    meter = Meter()
    one, other = meter.enter("in", "ada", "tcp"), meter.enter("in", "ada", "udp")
    assert one is other
    assert meter.enter("other", "ada", "tcp") is not one
    assert meter.enter("in", "bob", "udp") is not one
    assert sorted(meter.take_traffic()) == [
        ["in", "ada", 0, 0, 0, 0, 1, 1],
        ["in", "bob", 0, 0, 0, 0, 0, 1],
        ["other", "ada", 0, 0, 0, 0, 1, 0],
    ]


def test_an_account_is_forgotten_when_nobody_uses_it() -> None:
    """After its last traffic is told, so that nothing is lost and nothing stays."""
    meter = Meter()
    one, other = meter.enter("in", "ada", "tcp"), meter.enter("in", "ada", "tcp")
    one.leave()
    meter.take_traffic()
    other.way("out").up += 1
    other.leave()
    again = meter.enter("in", "ada", "tcp")
    assert again is other, "it was not told yet"
    again.leave()
    assert meter.take_traffic() == [["in", "ada", 1, 0, 0, 0, 1, 0]]
    assert meter.enter("in", "ada", "tcp") is not other


def test_questions_are_counted_with_their_bytes() -> None:
    meter = Meter()
    meter.queries(5, 0, 100, 200)
    meter.queries(0, 1, 0, 0)
    meter.queries(1, 0, 1, 2)
    assert meter.statuses == {"query": 6, "query-dropped": 1}
    assert (meter.up, meter.down) == (101, 202)


def session_of(inbound: str = "in", user: str | None = None) -> Session:
    return Session(1, "tcp", inbound, UNSPECIFIED, UNSPECIFIED, user=user)


def test_what_is_moved_is_told_by_outbound_and_by_user_where_metrics_are_asked_for() -> None:
    meter = Meter(detailed=True)
    named, nameless = meter.account(session_of(user="ada"), "tcp"), meter.account(session_of(), "tcp")
    assert named is not None
    assert nameless is not None
    named.way("a").up += 1
    named.way("b").down += 2
    nameless.way("a").up += 4
    assert meter.take_traffic() == [["in", "ada", 1, 2, 0, 0, 1, 0]]
    named.way("a").up += 8
    meter.take_traffic()
    assert meter.take_moved() == {
        ("moved", "in", "a"): [13, 0],
        ("moved", "in", "b"): [0, 2],
        ("user", "ada"): [9, 2, 1, 0],
    }
    assert meter.take_moved() == {}


def test_nobody_has_an_account_for_metrics_that_nobody_asks_for() -> None:
    meter = Meter()
    assert meter.account(session_of(), "tcp") is None
    session = session_of()
    session.began = 1.0
    meter.shook_hands(session)
    meter.dialled("out", 0.0)
    meter.record("ok", 1, 1, session)
    assert (meter.handshakes, meter.dials, meter.ends) == ({}, {}, {})


def test_a_session_has_one_handshake() -> None:
    meter = Meter(detailed=True)
    session = session_of()
    session.began = now()
    meter.shook_hands(session)
    meter.shook_hands(session)
    assert sum(meter.handshakes["in"].counts) == 1


def test_ends_are_counted_by_all_that_has_led_to_them() -> None:
    meter = Meter(detailed=True)
    session = session_of()
    session.outbound, session.rule = "out", "rule 1"
    meter.record("ok", 1, 1, session)
    meter.record("ok", 1, 1, session)
    meter.record("auth", 0, 0, session_of("other"))
    assert meter.ends == {("in", "out", "rule 1", "ok"): 2, ("other", "", "", "auth"): 1}


def test_first_bytes() -> None:
    meter = Meter(detailed=True)
    meter.answered("out", -1.0)
    assert meter.first_bytes == {}
    meter.answered("out", 0.5)
    assert sum(meter.first_bytes["out"].counts) == 1
    silent = Meter()
    silent.answered("out", 0.5)
    assert silent.first_bytes == {}
