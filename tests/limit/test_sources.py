from __future__ import annotations

from ipaddress import ip_network

from gproxy.base.address import parse_ip
from gproxy.limit import sources
from gproxy.limit.sources import Sources, Verdict
from gproxy.route.cidrs import CidrSet
from tests.support.clock import HeldClock

PRIVATE = CidrSet([ip_network("10.0.0.0/8")])
ALL = CidrSet([ip_network("0.0.0.0/0"), ip_network("::/0")])


def verdicts(guard: Sources, host: str, count: int) -> list[Verdict]:
    return [guard.judge(host) for _ in range(count)]


def test_who_is_not_allowed_is_refused() -> None:
    guard = Sources(PRIVATE, PRIVATE, 0)
    assert guard.judge("10.1.2.3") == "answer"
    assert guard.judge("192.0.2.1") == "refuse"
    assert guard.allows(parse_ip("10.1.2.3"))
    assert not guard.allows(parse_ip("192.0.2.1"))


def test_a_prefix_beyond_its_rate_is_sent_to_tcp_every_other_time(held_clock: HeldClock) -> None:
    guard = Sources(ALL, PRIVATE, 2)
    assert verdicts(guard, "192.0.2.1", 2) == ["answer", "answer"]
    assert verdicts(guard, "192.0.2.200", 4) == ["shorten", "drop", "shorten", "drop"]
    assert guard.judge("192.0.3.1") == "answer"
    held_clock.advance(0.5)
    assert verdicts(guard, "192.0.2.1", 2) == ["answer", "shorten"]


def test_a_second_is_all_that_is_saved(held_clock: HeldClock) -> None:
    guard = Sources(ALL, PRIVATE, 2)
    guard.judge("2001:db8:0:1::1")
    held_clock.advance(100)
    assert verdicts(guard, "2001:db8:0:ff::2", 3) == ["answer", "answer", "shorten"]


def test_refusals_are_limited_too(held_clock: HeldClock) -> None:
    guard = Sources(PRIVATE, PRIVATE, 1)
    assert verdicts(guard, "192.0.2.1", 4) == ["refuse", "drop", "drop", "drop"]


def test_exempt_hosts_are_free_once_they_are_known() -> None:
    guard = Sources(ALL, PRIVATE, 1)
    assert "10.0.0.1" not in guard.free
    assert verdicts(guard, "10.0.0.1", 9) == ["answer"] * 9
    assert "10.0.0.1" in guard.free
    guard.judge("192.0.2.1")
    assert "192.0.2.1" not in guard.free


def test_memory_is_bounded() -> None:
    guard = Sources(ALL, PRIVATE, 1)
    for number in range(3 * sources._MOST_PREFIXES):
        guard.judge(f"{11 + number // 65536}.{number // 256 % 256}.{number % 256}.1")
        guard.judge(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(guard._budgets) <= sources._MOST_PREFIXES
    assert len(guard.free) <= sources._MOST_HOSTS


def test_mapped_addresses_and_zones_are_those_they_stand_for() -> None:
    guard = Sources(PRIVATE, PRIVATE, 1)
    assert guard.judge("::ffff:10.0.0.1") == "answer"
    assert guard.judge("fe80::1%eth0") == "refuse"
