"""gproxy.limit.bans: who is banned when, for how long, and seen by all who share the memory."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from gproxy.base.errors import AuthError, DialError, GproxyError, ProtocolError, ReplayError, TooLarge, Unsupported
from gproxy.limit.bans import ROWS, Bans, BanTable, Kept, Policy, offence_of, ordinal, shown
from gproxy.limit.memory import Memory
from tests.support.clock import HeldClock

POLICY = Policy(tries=3, window=160.0, duration=60.0, growth=4.0, longest=1000.0)
WRONG = AuthError("wrong password")


def bans_of(memory: Memory | None = None, allow: Any = (), **more: Any) -> Bans:
    policy = Policy(**{**{name: getattr(POLICY, name) for name in Policy.__slots__}, **more})
    return Bans(BanTable(memory or Memory()), policy, [ip_address(each) for each in allow])


def fail(bans: Bans, times: int, host: str = "192.0.2.1", why: GproxyError = WRONG) -> bool:
    """Whether it is banned after that."""
    for _ in range(times):
        bans.failed(ip_address(host), why)
    return ip_address(host) in bans


@pytest.mark.parametrize(
    ("why", "offence"),
    [
        (AuthError("wrong"), "auth"),
        (ReplayError("again"), "replay"),
        (ProtocolError("garbage"), "malformed"),
        (TooLarge("a head without end"), "malformed"),
        (AuthError("no method", reason="method"), "malformed"),
        (AuthError("another name", reason="server-name"), "malformed"),
        (AuthError("none yet", reason="missing"), None),
        (ProtocolError("nothing was said", reason="empty"), None),
        (ProtocolError("cut", reason="truncated"), None),
        (ProtocolError("slow", reason="timeout"), None),
        (Unsupported("not here"), None),
        (DialError("not the client's fault"), None),
    ],
)
def test_what_counts_as_what(why: GproxyError, offence: str | None) -> None:
    assert offence_of(why) == offence


def test_the_last_try_of_so_many_is_the_ban(held_clock: HeldClock) -> None:
    bans = bans_of()
    assert not fail(bans, 2)
    assert fail(bans, 1)
    assert ip_address("192.0.2.2") not in bans
    held_clock.advance(59.9)
    assert ip_address("192.0.2.1") in bans
    held_clock.advance(0.2)
    assert ip_address("192.0.2.1") not in bans


def test_failures_are_forgotten_as_the_window_slides(held_clock: HeldClock) -> None:
    bans = bans_of()
    for _ in range(20):
        assert not fail(bans, 1)
        held_clock.advance(81)  # never three of them within 160 s
    held_clock.advance(100)
    for _ in range(2):
        assert not fail(bans, 1)
        held_clock.advance(70)
    assert fail(bans, 1)


def test_long_silence_empties_the_window(held_clock: HeldClock) -> None:
    bans = bans_of()
    fail(bans, 2)
    held_clock.advance(10_000)
    assert not fail(bans, 2)


def test_each_ban_is_longer_and_good_behaviour_is_rewarded(held_clock: HeldClock) -> None:
    bans, lengths = bans_of(), []
    for _ in range(5):
        assert fail(bans, 3)
        [(_, ban)] = bans.table.bans()
        lengths.append(ban.length)
        held_clock.advance(ban.length + 1)
    assert lengths == [60.0, 240.0, 960.0, 1000.0, 1000.0]
    held_clock.advance(1001)
    fail(bans, 3)
    [(_, ban)] = bans.table.bans()
    assert (ban.length, ban.times) == (60.0, 1)


def test_a_thousand_bans_overflow_nothing() -> None:
    assert POLICY.next_length(10**9) == 1000.0


def test_failures_have_weights() -> None:
    weights = {"auth": 1.0, "replay": 3.0, "malformed": 0.2}
    garbage = ProtocolError("garbage")
    assert fail(bans_of(weights=weights), 1, why=ReplayError("again"))
    bans = bans_of(weights=weights)
    assert not fail(bans, 14, why=garbage)
    assert fail(bans, 1, why=garbage)
    assert not fail(bans_of(weights={**weights, "malformed": 0.0}), 100, why=garbage)


def test_who_is_allowed_is_never_banned() -> None:
    bans = bans_of(allow=["192.0.2.1"])
    assert not fail(bans, 10)
    bans.table.add(ip_network("192.0.2.0/24"), 60)
    assert ip_address("192.0.2.1") not in bans
    assert ip_address("192.0.2.2") in bans


def test_prefixes_are_banned_together() -> None:
    bans = bans_of(prefix_ipv4=24, prefix_ipv6=64)
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        fail(bans, 1, host)
    for host in ("2001:db8::1", "2001:db8::2:2", "2001:db8:0:0:3::"):
        fail(bans, 1, host)
    inside = ["192.0.2.200", "2001:db8::ffff"]
    outside = ["192.0.3.1", "2001:db8:0:1::1", "::192.0.2.1", "192.0.1.255"]
    assert [host for host in inside + outside if ip_address(host) in bans] == inside
    assert {str(ban.network) for _, ban in bans.table.bans()} == {"192.0.2.0/24", "2001:db8::/64"}


def test_all_who_share_the_memory_see_it() -> None:
    memory = Memory()
    one, other = bans_of(memory), bans_of(memory)
    assert ip_address("192.0.2.1") not in other
    fail(one, 1)
    fail(other, 1)
    assert fail(one, 1)
    assert ip_address("192.0.2.1") in other
    one.table.add(ip_network("2001:db8::/48"), 60)  # a length that the other has not seen before
    assert ip_address("2001:db8::7") in other
    assert (one.table.total, other.table.total) == (2, 2)


def test_failures_of_those_who_were_inside_before_make_no_ban_longer() -> None:
    bans = bans_of()
    fail(bans, 9)
    [(_, ban)] = bans.table.bans()
    assert (ban.times, ban.length) == (1, 60.0)


def test_by_hand_and_back(held_clock: HeldClock) -> None:
    table = BanTable(Memory())
    before = table.epoch
    for text in ("192.0.2.0/24", "192.0.3.7/32", "2001:db8::/32"):
        table.add(ip_network(text), 100)
    assert table.epoch != before
    assert table.holds(ip_address("192.0.2.9"))
    assert table.remove(ip_network("192.0.2.9/32")) == [ip_network("192.0.2.0/24")]
    assert not table.holds(ip_address("192.0.2.9"))
    assert table.remove(ip_network("0.0.0.0/0")) == [ip_network("192.0.3.7/32")]
    assert table.remove(ip_network("0.0.0.0/0")) == []
    [(row, ban)] = table.bans()
    assert (ban.network, ban.reason, ban.left) == (ip_network("2001:db8::/32"), "manual", 100.0)
    assert list(table.bans(row + 1)) == []


def test_removal_forgets_what_was_done() -> None:
    bans = bans_of()
    fail(bans, 3)
    bans.table.remove(ip_network("192.0.2.1/32"))
    assert not fail(bans, 2)
    assert fail(bans, 1)
    [(_, ban)] = bans.table.bans()
    assert ban.times == 1


def test_what_is_kept_comes_back(held_clock: HeldClock) -> None:
    bans = bans_of()
    fail(bans, 3)
    fail(bans, 1, "192.0.2.2")
    held_clock.advance(20)
    [row] = bans.table.to_json()
    network = ip_network(str(row.pop("network")))
    kept = Kept(network, **row)  # type: ignore[arg-type]
    held_clock.advance(20)
    later = bans_of()
    assert later.table.restore([kept]) == 1
    [(_, ban)] = later.table.bans()
    assert (ban.left, ban.length, ban.times, ban.reason) == (pytest.approx(20, abs=0.01), 60.0, 1, "auth")
    held_clock.advance(60)
    assert bans_of().table.restore([kept]) == 0
    assert fail(later, 3)
    [(_, ban)] = later.table.bans()
    assert ban.length == 240.0


@pytest.mark.parametrize(("off", "left"), [(+1e9, 60.0), (-1e9, None)])
def test_a_clock_that_was_set_makes_no_ban_longer(off: float, left: float | None, held_clock: HeldClock) -> None:
    table = BanTable(Memory())
    table.restore([Kept(ip_network("192.0.2.1/32"), held_clock.wall() + off, 60.0, 1, "auth")])
    assert [ban.left for _, ban in table.bans()] == ([] if left is None else [left])


def test_only_the_first_loads() -> None:
    memory = Memory()
    assert BanTable(memory).claim_loading()
    assert not BanTable(memory).claim_loading()


def test_the_table_is_bounded_and_keeps_bans_longest() -> None:
    """Far more prefixes than rows: those who fail once push out each other, not those who are banned."""
    table = BanTable(Memory())
    banned = [ip_address(f"198.51.100.{number}") for number in range(100)]
    for ip in banned:
        table.add(ip_network(f"{ip}/32"), 1000)
    policy = Policy(tries=2)
    for number in range(ROWS + ROWS // 2):
        table.fail(ip_address(0x0A000000 + number), "auth", policy)
    assert sum(table.holds(ip) for ip in banned) == len(banned)
    assert len(list(table.bans())) == len(banned)


def test_rows_go_on_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BanTable, "_tag", lambda self, version, bits, prefix: ROWS * prefix[3] + ROWS - 1)
    table = BanTable(Memory())
    ips = [ip_address(f"192.0.2.{number}") for number in range(1, 9)]
    for ip in ips:
        table.add(ip_network(f"{ip}/32"), 60)
    assert [row for row, _ in table.bans()] == [*range(7), ROWS - 1]
    assert all(table.holds(ip) for ip in ips)
    assert not table.holds(ip_address("192.0.2.9"))


def test_a_record_that_is_half_written_is_no_fault() -> None:
    table = BanTable(Memory())
    table.add(ip_network("2001:db8:ffff::/127"), 60)
    [(row, _)] = table.bans()
    record = table._read(row)
    record.version = 4
    table._write(row, record)
    assert [str(ban.network) for _, ban in table.bans()] == ["32.1.13.184/32"]
    record.version, record.bits = 6, 8
    table._write(row, record)
    assert [str(ban.network) for _, ban in table.bans()] == ["2000::/8"]


def test_each_ban_is_told(caplog: pytest.LogCaptureFixture) -> None:
    fail(bans_of(), 3)
    assert [record.getMessage() for record in caplog.records] == [
        "192.0.2.1 is banned for 60 s, for the 1st time: wrong passwords"
    ]


def test_how_things_are_written() -> None:
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 111, 122)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "111th", "122nd",
    ]  # fmt: skip
    assert [shown(ip_network(text)) for text in ("192.0.2.1/32", "192.0.2.0/24", "::1/128")] == [
        "192.0.2.1", "192.0.2.0/24", "::1",
    ]  # fmt: skip
