"""gproxy.route.action: what is written into sessions, and when a flood is met with silence."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.session import DEFAULT_DIAL, DialOptions
from gproxy.route.action import Overrides, Reject, Resolve, RouteTo, SetOptions, Sniff
from tests.route.kit import session


def test_which_actions_are_final():
    assert RouteTo("a").final
    assert Reject().final
    assert not SetOptions(Overrides()).final
    assert not Resolve().final


def test_no_overrides_change_nothing():
    one = session(addresses=("1.2.3.4",))
    Overrides().apply(one)
    assert one == session(addresses=("1.2.3.4",))
    assert one.dial is DEFAULT_DIAL


def test_another_address_keeps_the_port_and_drops_what_was_resolved():
    one = session("a.test", 80, addresses=("1.2.3.4",))
    Overrides(address="b.test").apply(one)
    assert one.target == Address("b.test", 80)
    assert one.asked == Address("a.test", 80)
    assert one.addresses == ()


def test_another_port_keeps_the_name_and_what_was_resolved():
    one = session("a.test", 80, addresses=("1.2.3.4",))
    Overrides(port=81).apply(one)
    assert one.target == Address("a.test", 81)
    assert one.asked == Address("a.test", 80)
    assert one.addresses == (IPv4Address("1.2.3.4"),)


def test_what_the_client_wanted_is_kept_over_several_overrides():
    one = session("a.test", 80)
    Overrides(address="b.test", port=81).apply(one)
    Overrides(address=IPv4Address("1.2.3.4")).apply(one)
    assert one.target == Address(IPv4Address("1.2.3.4"), 81)
    assert one.asked == Address("a.test", 80)


def test_dial_options_add_up():
    one = session()
    Overrides(fallback_delay=1.0, udp_connect=True).apply(one)
    Overrides(udp_timeout=9.0, udp_disable_domain_unmapping=True).apply(one)
    Overrides(fallback_delay=2.0).apply(one)
    assert one.dial == DialOptions(2.0, 9.0, udp_connect=True, udp_disable_domain_unmapping=True)
    assert DialOptions() == DEFAULT_DIAL


def test_sessions_share_their_dial_options():
    overrides = Overrides(udp_timeout=9.0)
    first, second = session(), session()
    overrides.apply(first)
    overrides.apply(second)
    assert first.dial is second.dial


@pytest.mark.parametrize("apart", [0.0, 0.125, 0.5])
def test_the_fifty_first_refusal_within_thirty_seconds_is_silent(held_clock, apart):
    reject = Reject(rule="rule[0] => reject")
    said = []
    for _ in range(60):
        said.append(reject.error().drop)
        held_clock.advance(apart)
    assert said == [False] * 50 + [True] * 10


def test_a_slower_stream_of_refusals_is_answered(held_clock):
    reject = Reject()
    for _ in range(200):
        assert not reject.error().drop
        held_clock.advance(0.625)


def test_after_a_pause_refusals_are_answered_again(held_clock):
    reject = Reject()
    assert [reject.error().drop for _ in range(60)][-1]
    held_clock.advance(30.1)
    assert not reject.error().drop


def test_no_drop_answers_everything(held_clock):
    reject = Reject(no_drop=True)
    assert not any(reject.error().drop for _ in range(200))


def test_drop_is_silent_from_the_first(held_clock):
    assert Reject("drop").error().drop


def test_each_rule_has_its_own_guard(held_clock):
    first, second = Reject(), Reject()
    for _ in range(60):
        first.error()
    assert "flood" in str(first.error())
    assert not second.error().drop


def test_a_refusal_names_its_rule():
    error = Reject(rule="rule[3] => reject").error()
    assert str(error) == "rule[3] => reject"
    assert error.word == "rejected"


def test_a_sniff_has_its_sniffers_at_hand():
    assert len(Sniff().streams) == 6
    assert Sniff(("ntp",)).streams == ()
    assert Sniff(("ntp",)) == Sniff(("ntp",))
