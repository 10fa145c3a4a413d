from __future__ import annotations

from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import Limited
from gproxy.base.session import Session
from gproxy.limit.ledger import Ledger
from gproxy.limit.limits import ARRIVED, KNOWN, ROUTED, Hold, Limit, Limits
from gproxy.limit.memory import Memory
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]


def limits(*each: Limit, memory: Memory | None = None) -> Limits:
    made = Limits(each, Ledger(memory or Memory()))
    made.join()
    return made


def session(source: str = "192.0.2.1", **facts: Any) -> Session:
    return Session(
        facts.pop("id", 1), facts.pop("network", "tcp"), facts.pop("inbound", "in"), Address.parse(source, 4321),
        Address.parse("x.test:80"), **facts,
    )  # fmt: skip


def refused(limits: Limits, one: Session) -> str:
    with pytest.raises(Limited) as caught:
        limits.arrive(one)
    return caught.value.word


def test_open_connections() -> None:
    some = limits(Limit("few", max_connections=2))
    first, _ = some.arrive(session()), some.arrive(session())
    assert refused(some, session()) == "limited-connections"
    first.close()
    first.close()
    some.arrive(session())
    assert refused(some, session()) == "limited-connections", "what is given back twice counts once"


def test_each_source_has_its_own() -> None:
    some = limits(Limit("few", each=("source",), max_connections=1))
    some.arrive(session("192.0.2.1"))
    some.arrive(session("192.0.2.2"))
    assert refused(some, session("192.0.2.1")) == "limited-connections"


def test_a_source_may_be_a_prefix() -> None:
    some = limits(Limit("few", each=("source",), max_connections=1, prefix_ipv4=24, prefix_ipv6=48))
    some.arrive(session("192.0.2.1"))
    some.arrive(session("192.0.3.1"))
    some.arrive(session("2001:db8:1::1"))
    some.arrive(session("2001:db8:2::1"))
    assert refused(some, session("192.0.2.99"))
    assert refused(some, session("2001:db8:1:ffff::1"))


def test_a_combination() -> None:
    some = limits(Limit("few", each=("source", "inbound"), max_connections=1))
    some.arrive(session(inbound="a"))
    some.arrive(session(inbound="b"))
    assert refused(some, session(inbound="a"))


def test_new_connections_a_second(held_clock: HeldClock) -> None:
    some = limits(Limit("slow", each=("source",), connections_rate=2.0, connections_burst=3.0))
    for _ in range(3):
        some.arrive(session()).close()
    assert refused(some, session()) == "limited-rate"
    held_clock.advance(0.5)
    some.arrive(session())
    assert refused(some, session()) == "limited-rate"


def test_what_counts_is_when_it_is_looked_at(held_clock: HeldClock) -> None:
    some = limits(Limit("slow", outbounds=frozenset({"out"}), connections_rate=1.0))
    early, late = (session(outbound="out", began=held_clock.now()) for _ in range(2))
    some.arrive(early).look(early, ROUTED)
    held_clock.advance(1)
    some.arrive(late).look(late, ROUTED)


def test_what_is_refused_takes_nothing(held_clock: HeldClock) -> None:
    some = limits(
        Limit("all", max_connections=5, connections_rate=1.0, connections_burst=100.0),
        Limit("source", each=("source",), max_connections=1),
    )
    some.arrive(session())
    for _ in range(10):
        assert refused(some, session()) == "limited-connections"
    for number in range(4):
        some.arrive(session(f"192.0.2.{number + 9}"))


def test_udp_sessions() -> None:
    some = limits(Limit("udp", max_sessions=1))
    some.arrive(session())
    some.arrive(session(network="udp"))
    some.arrive(session())
    assert refused(some, session(network="udp")) == "limited-sessions"


def test_handshakes_in_progress() -> None:
    some = limits(Limit("shy", each=("source",), max_handshakes=1))
    first = some.arrive(session())
    assert refused(some, session()) == "limited-handshakes"
    first.settled()
    some.arrive(session())
    first.close()
    assert refused(some, session()) == "limited-handshakes"


def test_who_somebody_is_counts_when_it_is_known() -> None:
    some = limits(Limit("user", each=("user",), max_connections=1))
    holds = [some.arrive(session()).part() for _ in range(4)]
    holds[0].look(session(user="bob"), KNOWN)
    holds[1].look(session(user="eve"), KNOWN)
    holds[2].look(session(), KNOWN)  # nobody's limit
    with pytest.raises(Limited, match=r"limit user: 1 connections are open"):
        holds[3].look(session(user="bob"), KNOWN)
    holds[0].close()
    holds[3].look(session(user="bob"), KNOWN)


def test_where_it_goes_counts_when_that_is_decided() -> None:
    some = limits(
        Limit("way", outbounds=frozenset({"slow"}), max_connections=1),
        Limit("rule", each=("rule",), max_connections=2),
        Limit("named", by_rule=True, max_connections=1),
    )
    hold = some.arrive(session()).part()
    hold.look(session(), KNOWN)
    hold.look(session(outbound="slow", rule="rule[0]"), ROUTED)
    with pytest.raises(Limited, match="limit way"):
        some.arrive(session()).look(session(outbound="slow", rule="rule[0]"), ROUTED)
    some.arrive(session()).look(session(outbound="fast", rule="rule[0]"), ROUTED)
    with pytest.raises(Limited, match="limit rule"):
        some.arrive(session()).look(session(outbound="fast", rule="rule[0]"), ROUTED)
    some.arrive(session()).look(session(outbound="fast", rule="x", limits=("named",)), ROUTED)
    with pytest.raises(Limited, match="limit named"):
        some.arrive(session()).look(session(outbound="fast", rule="y", limits=("named",)), ROUTED)


@pytest.mark.parametrize("selected", [{"inbounds": frozenset({"in"})}, {"users": frozenset({"bob"})}])
def test_others_are_not_concerned(selected: dict[str, Any]) -> None:
    some = limits(Limit("some", max_connections=1, **selected))
    for user, inbound in (("bob", "in"), ("eve", "other"), ("eve", "other")):
        one = session(user=user, inbound=inbound)
        hold = some.arrive(one)
        hold.look(one, KNOWN)
    one = session(user="bob", inbound="in")
    with pytest.raises(Limited):
        some.arrive(one).look(one, KNOWN)


def test_so_many_devices() -> None:
    some = limits(Limit("devices", each=("user",), max_sources=2))

    def come(source: str) -> Hold:
        one = session(source, user="bob")
        hold = some.arrive(one)
        hold.look(one, KNOWN)
        return hold

    phone, again, laptop = come("192.0.2.1"), come("192.0.2.1"), come("192.0.2.2")
    with pytest.raises(Limited) as caught:
        come("192.0.2.3")
    assert caught.value.word == "limited-sources"
    phone.close()
    with pytest.raises(Limited):
        come("192.0.2.3")
    again.close()
    tablet = come("192.0.2.3")
    with pytest.raises(Limited):
        come("192.0.2.1")
    for hold in (laptop, tablet):
        hold.close()
    come("192.0.2.8")
    come("192.0.2.9")


def test_bytes_are_paid_for_by_all_who_share_them(held_clock: HeldClock) -> None:
    some = limits(
        Limit("user", each=("user",), up=1000.0, burst=500.0),
        Limit("all", up=4000.0, down=100.0, burst=2000.0),
    )
    tolls = []
    for user in ("bob", "bob", "eve"):
        hold = some.arrive(session()).part()
        hold.look(session(user=user), KNOWN)
        tolls.append(hold.tolls())
    (first, down), (second, _), (other, _) = tolls
    assert first is not None
    assert second is not None
    assert other is not None
    assert down is not None
    assert first.pay(500) == 0
    assert second.pay(500) == 0.5
    assert first.pay(500) == 1.0
    assert other.pay(500) == 0
    assert other.pay(1000) == 1.0
    assert down.pay(2100) == 1.0


def test_without_rates_nothing_is_paid() -> None:
    assert limits(Limit("few", max_connections=2)).arrive(session()).tolls() == (None, None)


def test_a_part_ends_by_itself() -> None:
    some = limits(Limit("all", up=1000.0), Limit("user", each=("user",), max_connections=1))
    whole = some.arrive(session())
    for _ in range(3):  # the requests of one client, one after the other
        part = whole.part()
        part.look(session(user="bob"), KNOWN)
        assert part.tolls()[0] is not None
        part.close()


def test_other_generations_see_what_is_open() -> None:
    memory = Memory()
    old, new = (
        limits(Limit("few", max_connections=2), memory=memory),
        limits(Limit("few", max_connections=3), memory=memory),
    )
    old.arrive(session())
    old.arrive(session())
    new.arrive(session())
    assert refused(new, session())
    assert refused(old, session())


@pytest.mark.parametrize(("rate", "later"), [(1.0, 1), (4.0, 4)])
def test_a_reload_changes_a_rate_of_which_some_is_spent(rate: float, later: int, held_clock: HeldClock) -> None:
    """What there was is neither given back nor forgotten; the old generation drains by its own rate meanwhile."""
    memory = Memory()
    old = limits(Limit("slow", connections_rate=2.0, connections_burst=5.0), memory=memory)
    for _ in range(5):
        old.arrive(session())
    new = limits(Limit("slow", connections_rate=rate, connections_burst=5.0), memory=memory)
    assert refused(new, session()) == "limited-rate"
    held_clock.advance(1)
    for _ in range(later):
        new.arrive(session())
    assert refused(new, session()) == "limited-rate"
    assert refused(old, session()) == "limited-rate"
    held_clock.advance(10)
    for _ in range(5):
        new.arrive(session())
    assert refused(new, session()) == "limited-rate", "no more than the burst"


def test_stages() -> None:
    assert Limit("x").stage == ARRIVED
    assert Limit("x", inbounds=frozenset({"in"}), each=("source", "inbound")).stage == ARRIVED


def test_refusals_are_told_and_not_each(held_clock: HeldClock, caplog: pytest.LogCaptureFixture) -> None:
    full, other = limits(Limit("few", max_connections=1)), limits(Limit("slow", connections_rate=0.001))
    for some in (full, other):
        some.arrive(session())
        for _ in range(100):
            assert refused(some, session())
    held_clock.advance(61)
    refused(full, session())
    assert [record.getMessage() for record in caplog.records] == [
        *["limit few refuses a session: 1 connections are open"] * 2,
        *["limit slow refuses a session: more than 0.001 connections a second"] * 2,
        "limit few refuses a session: 1 connections are open, and 98 others before",
    ]


def test_what_a_limit_has_refused_is_counted() -> None:
    made = limits(Limit("few", max_connections=1), Limit("many", max_connections=9))
    held = made.arrive(session())
    for _ in range(2):
        refused(made, session())
    assert made.refused() == {("few", "connections"): 2}
    held.close()
