"""gproxy.route.index: nothing that matches is left out, and what can't match mostly is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.action import RouteTo, SetOptions
from gproxy.route.compile import groups_of
from gproxy.route.context import NO_CONTEXT
from gproxy.route.index import Index
from gproxy.route.options import Conditions
from tests.route.kit import options, router, session
from tests.route.test_compile import holds, rules, sessions


def index(*wanted):
    read = options(*({**rule, "outbound": "x"} for rule in wanted))
    return Index([(rule, groups_of(rule, NO_CONTEXT)) if isinstance(rule, Conditions) else None for rule in read])


def filled(*wanted):
    """With rules before them that nobody looks for, so that the index is one."""
    return [*({"domain": [f"{number}.unused.test"]} for number in range(8)), *wanted]


@given(st.lists(rules, min_size=1, max_size=3), sessions)
def test_all_that_match_are_candidates(wanted, one):
    rules = filled(*wanted)
    found = list(index(*rules).candidates(one))
    assert found == sorted(set(found))
    assert {number for number, rule in enumerate(rules) if holds(rule, one)} <= set(found)


@given(st.lists(rules, min_size=1, max_size=3), sessions)
def test_a_walk_meets_the_rules_that_match_in_their_order(wanted, one):
    rules = [{**rule, "action": "route-options", "udp_connect": True} for rule in filled(*wanted)]
    expected = [number for number, rule in enumerate(rules) if holds(_looks(rule), one)]
    *steps, last = router(*rules).walk(one)
    assert [int(step.rule.partition("]")[0].removeprefix("rule[")) for step in steps] == expected
    assert isinstance(last, RouteTo)
    assert last.rule == "final"


def _looks(rule):
    return {key: value for key, value in rule.items() if key not in ("action", "udp_connect")}


@pytest.mark.parametrize(
    ("rule", "hit", "miss"),
    [
        ({"domain": "a.test"}, session("a.test"), session("b.a.test")),
        ({"domain_suffix": ".a.test", "port": 443}, session("b.a.test", 80), session("a.test")),
        ({"domain": "a.test"}, session("1.2.3.4", sniffed="a.test"), session("a.test", sniffed="b.test")),
        ({"ip_cidr": "10.0.0.0/8"}, session("10.1.1.1"), session("11.1.1.1")),
        ({"ip_cidr": "10.0.0.0/8"}, session(addresses=("10.1.1.1",)), session(addresses=("11.1.1.1",))),
        ({"ip_is_private": True}, session("fd00::1"), session("2001:db8::1")),
        ({"ip_cidr": "10.0.0.0/8", "domain": "a.test"}, session("a.test"), session("b.test")),
        ({"auth_user": "bob"}, session(user="bob"), session(user="eve")),
        ({"port": 80, "port_range": "90:99"}, session(port=95), session(port=81)),
        ({"inbound": "in"}, session(), session(inbound="out")),
        ({"network": "udp", "inbound": "in"}, session(), session(inbound="out")),
    ],
)
def test_what_rules_are_entered_under(rule, hit, miss):
    made = index(*filled(rule))
    assert list(made.candidates(hit)) == [8]
    assert not made.candidates(miss)


@pytest.mark.parametrize(
    "rule",
    [
        {"domain": "a.test", "domain_keyword": "b"}, {"domain_regex": "a"}, {"domain": "a.test", "invert": True},
        {"port_range": "1000:"}, {"network": "udp"}, {"domain": [f"{n}.test" for n in range(1000)]},
        {"type": "logical", "mode": "or", "rules": [{"port": 80}]}, {},
    ],
)  # fmt: skip
def test_what_is_always_asked(rule):
    assert list(index(*filled(rule)).candidates(session("x.y"))) == [8]


def test_few_rules_are_all_asked():
    assert list(index({"domain": "a.test"}, {"port": 1}).candidates(session())) == [0, 1]


def test_what_an_action_has_changed_counts_for_the_rules_behind_it():
    rules = filled(
        {"port": 443, "action": "route-options", "override_port": 80},
        {"port": 443, "outbound": "before"},
        {"port": 80, "outbound": "after"},
    )
    one = session()
    walk = router(*rules).walk(one)
    step = next(walk)
    assert isinstance(step, SetOptions)
    step.overrides.apply(one)
    last = next(walk)
    assert isinstance(last, RouteTo)
    assert last.outbound == "after"


def test_what_is_remembered_is_bounded():
    made = index(*({"port": port} for port in range(1, 3000)), {})
    for port in range(1, 3000):
        assert list(made.candidates(session(port=port))) == [port - 1, 2999]
    assert len(made._together) <= 1024
