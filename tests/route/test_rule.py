"""gproxy.route.rule: the walk."""

from __future__ import annotations

import copy
from ipaddress import IPv4Address

from gproxy.base.session import LookupOptions, Sniffed
from gproxy.route.action import Overrides, Reject, Resolve, RouteTo, SetOptions, Sniff
from tests.route.kit import router, session


def walk(*rules, one=None):
    return list(router(*rules).walk(one or session()))


def test_no_rules_lead_to_the_final_outbound():
    (action,) = walk()
    assert isinstance(action, RouteTo)
    assert (action.outbound, action.rule, action.overrides, action.final) == ("final", "final", None, True)


def test_the_first_rule_that_matches_decides():
    (action,) = walk({"port": 1}, {"port": 443, "outbound": "b"}, {"port": 443, "outbound": "c"})
    assert isinstance(action, RouteTo)
    assert (action.outbound, action.rule) == ("b", "rule[1] port=443 => route(b)")


def test_actions_that_are_not_final_go_on():
    rules = [
        {"action": "route-options", "udp_connect": True},
        {"port": 1, "action": "resolve"},
        {"action": "resolve", "strategy": "prefer_ipv6"},
        {"action": "reject", "no_drop": True},
        {"outbound": "never"},
    ]
    first, second, third = walk(*rules)
    assert isinstance(first, SetOptions)
    assert first.overrides == Overrides(udp_connect=True)
    assert second == Resolve(LookupOptions(strategy="prefer_ipv6"), "rule[2] => resolve(prefer_ipv6)")
    assert third == Reject("default", no_drop=True, rule="rule[3] => reject")


def test_exactly_the_last_action_is_final():
    actions = walk({"action": "resolve"}, {"action": "route-options", "override_port": 1})
    assert [action.final for action in actions] == [False, False, True]


def test_rules_see_what_was_done_before_them():
    rules = router({"action": "resolve"}, {"ip_cidr": "10.0.0.0/8", "outbound": "inside"})
    one = session()
    actions = rules.walk(one)
    assert isinstance(next(actions), Resolve)
    one.addresses = (IPv4Address("10.0.0.1"),)
    assert next(actions) == RouteTo("inside", None, "rule[1] ip_cidr=10.0.0.0/8 => route(inside)")


def test_rules_see_the_target_that_a_rule_has_set():
    rules = router(
        {"action": "route-options", "override_address": "10.0.0.1", "override_port": 80},
        {"ip_cidr": "10.0.0.0/8", "port": 80, "outbound": "inside"},
    )
    one = session()
    actions = rules.walk(one)
    action = next(actions)
    assert isinstance(action, SetOptions)
    action.overrides.apply(one)
    last = next(actions)
    assert isinstance(last, RouteTo)
    assert last.outbound == "inside"


def test_the_walk_changes_nothing():
    one = session(addresses=("1.2.3.4",))
    before = copy.copy(one)
    walk(
        {"action": "route-options", "override_port": 1, "udp_timeout": "1s"},
        {"action": "resolve"},
        {"port": 443},
        one=one,
    )
    assert one == before


def test_a_route_may_carry_options():
    (action,) = walk({"outbound": "a", "override_address": "B.test", "override_port": 9, "fallback_delay": "1s",
                      "udp_timeout": "2m", "udp_connect": True, "udp_disable_domain_unmapping": True})  # fmt: skip
    assert isinstance(action, RouteTo)
    assert action.overrides == Overrides("b.test", 9, 1.0, 120.0, udp_connect=True, udp_disable_domain_unmapping=True)


def test_a_duration_of_zero_changes_nothing():
    (action,) = walk({"outbound": "a", "fallback_delay": "0s", "udp_timeout": "0s"})
    assert isinstance(action, RouteTo)
    assert action.overrides is None


def test_as_is_is_the_system_s_order():
    first, *_ = walk({"action": "resolve", "strategy": "as_is"})
    assert first == Resolve(LookupOptions(), "rule[0] => resolve(as_is)")


def test_methods_of_rejection():
    (action,) = walk({"action": "reject", "method": "drop"})
    assert action == Reject("drop", no_drop=False, rule="rule[0] => reject(drop)")


def test_a_sniff_is_as_its_rule_says():
    first, *_ = walk({"action": "sniff"})
    assert first == Sniff(rule="rule[0] => sniff")
    assert (first.timeout, len(first.streams), len(first.packets)) == (0.3, 6, 7)
    first, *_ = walk({"action": "sniff", "sniffer": ["ssh", "ntp"], "timeout": "1s", "override_destination": True})
    assert first == Sniff(("ssh", "ntp"), 1.0, True, "rule[0] => sniff(ssh,ntp)")
    assert (len(first.streams), len(first.packets)) == (1, 1)
    assert not first.final


def test_a_sniff_without_a_time_has_the_usual_one():
    first, *_ = walk({"action": "sniff", "timeout": "0s"})
    assert first.timeout == 0.3


def test_rules_see_what_was_sniffed():
    one = session("192.0.2.1")
    actions = router(
        {"protocol": "tls", "outbound": "before"},
        {"action": "sniff"},
        {"protocol": "quic", "outbound": "other"},
        {"domain": "site.test", "protocol": "tls", "outbound": "inside"},
    ).walk(one)
    assert isinstance(next(actions), Sniff)
    one.sniffed = Sniffed("tls", "site.test")
    assert next(actions).outbound == "inside"


def test_a_bypass_is_a_route_or_nothing():
    steps = walk({"action": "bypass"}, {"port": 80, "action": "bypass", "outbound": "x"}, one=session("a.test", 80))
    assert [type(step) for step in steps] == [SetOptions, RouteTo]
    assert steps[-1].outbound == "x"
