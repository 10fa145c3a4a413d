from __future__ import annotations

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
    account.up += 5
    account.down += 7
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
    other.up += 1
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
