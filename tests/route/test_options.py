"""gproxy.route.options: what a rule may hold, and what is said about one that is wrong."""

from __future__ import annotations

import pytest

from gproxy.route.options import (
    MAX_NESTING,
    DefaultRuleOptions,
    LogicalRuleOptions,
    NestedDefaultRuleOptions,
    NestedLogicalRuleOptions,
    NestedRuleOptions,
    RouteOptions,
    RuleOptions,
)
from gproxy.schema.model import not_yet_of, read
from tests.route.kit import options, problems


def said(*rules):
    """Where something is wrong, and what."""
    return [(".".join(map(str, problem.path[1:])), problem.message) for problem in problems(*rules)]


def to_x(**keys):
    """A rule that leads to `x`."""
    return {**keys, "outbound": "x"}


def joined(*rules, **keys):
    """A logical rule that leads to `x`."""
    return to_x(type="logical", **{"mode": "or", "rules": list(rules), **keys})


def test_an_empty_table_is_right():
    found = []
    assert read(RouteOptions, {}, (), found) == RouteOptions()
    assert not found


def test_a_rule_without_a_type_is_a_default_one():
    for kind in ({}, {"type": ""}, {"type": "default"}):
        (rule,) = options({"port": 80, "outbound": "x", **kind})
        assert isinstance(rule, DefaultRuleOptions)
        assert (rule.port, rule.outbound, rule.action) == ((80,), "x", "route")


def test_logical_rules_nest():
    (rule,) = options({
        "type": "logical", "mode": "or", "outbound": "x",
        "rules": [{"port": 1}, {"type": "logical", "mode": "and", "rules": [{"port": [2, 3], "invert": True}]}],
    })  # fmt: skip
    assert isinstance(rule, LogicalRuleOptions)
    first, second = rule.rules
    assert isinstance(first, NestedDefaultRuleOptions)
    assert isinstance(second, NestedLogicalRuleOptions)
    assert isinstance(second.rules[0], NestedDefaultRuleOptions)
    assert second.rules[0].port == (2, 3)


NO_ACTION = "a nested rule has no action of its own"


@pytest.mark.parametrize(
    ("rule", "where", "message"),
    [
        ({"port": 1}, "0", "`outbound` is missing: action `route` needs the tag of one"),
        ({"port": 1, "outbound": ""}, "0", "`outbound` is missing: action `route` needs the tag of one"),
        (3, "0", "expected a table, got an integer"),
        (to_x(type="logic"), "0.type", "expected `default` or `logical`"),
        (to_x(type=7), "0.type", "expected `default` or `logical`"),
        (to_x(invert=True), "0.invert", "expected a condition beside it: a rule without any matches everything"),
        (to_x(ip_version=5), "0.ip_version", "expected `4` or `6`, got an integer"),
        (to_x(prot=1), "0.prot", "unknown key"),
        (to_x(override_port=0), "0.override_port", "expected 1 to 65535"),
        (to_x(action="reject"), "0.outbound", "belongs to action `route` or `bypass`, and this is `reject`"),
        (to_x(method="drop"), "0.method", "belongs to action `reject`, and this is `route`"),
        (to_x(strategy="ipv4_only"), "0.strategy", "belongs to action `resolve`, and this is `route`"),
        (
            to_x(action="route-options", override_port=1),
            "0.outbound",
            "belongs to action `route` or `bypass`, and this is `route-options`",
        ),
        (
            {"action": "reject", "override_port": 1},
            "0.override_port",
            "belongs to action `route` or `route-options`, and this is `reject`",
        ),
        ({"action": "bypass", "method": "drop"}, "0.method", "belongs to action `reject`, and this is `bypass`"),
        (
            {"action": "direct"},
            "0.action",
            "expected one of `route`, `reject`, `route-options`, `hijack-dns`, `resolve`, `sniff`, `bypass`",
        ),
        (to_x(sniffer="tls"), "0.sniffer", "belongs to action `sniff`, and this is `route`"),
        (to_x(override_destination=True), "0.override_destination", "belongs to action `sniff`, and this is `route`"),
        (to_x(timeout="1s"), "0.timeout", "belongs to action `resolve` or `sniff`, and this is `route`"),
        (
            {"action": "sniff", "outbound": "x"},
            "0.outbound",
            "belongs to action `route` or `bypass`, and this is `sniff`",
        ),
        ({"action": "route-options"}, "0.action", "expected an option beside it that it sets"),
        ({"action": "reject", "method": "drop", "no_drop": True}, "0.no_drop", "contradicts method `drop`"),
        ({"action": "reject", "method": "reply"}, "0.method", "`reply` is not supported yet"),
        (joined(), "0.rules", "expected at least one rule"),
        (joined({"port": 1}, mode="xor"), "0.mode", "expected `and` or `or`"),
        (to_x(type="logical", rules=[{"port": 1}]), "0", "`mode` is missing"),
        (joined({"port": 1}, port=1), "0.port", "unknown key"),
        (joined({}), "0.rules.0", "expected a condition"),
        (joined({"port": 1, "outbound": "y"}), "0.rules.0.outbound", NO_ACTION),
        (joined({"port": 1, "sniffer": []}), "0.rules.0.sniffer", NO_ACTION),
        (joined({"port": 1}, {"preferred_by": "x"}), "0.rules.1.preferred_by", "not supported yet"),
    ],
)
def test_what_is_wrong_is_told(rule, where, message):
    assert said(rule) == [(where, message)]


def test_all_mistakes_are_told_at_once():
    assert len(said({"port": "x", "domain": "a b", "outbound": "x"}, {"action": "no"}, {"port": 1})) == 4


def test_what_a_sniff_may_say():
    (rule,) = options({"action": "sniff", "sniffer": ["tls", "quic"], "timeout": "1s", "override_destination": True})
    assert (rule.sniffer, rule.timeout, rule.override_destination) == (("tls", "quic"), 1.0, True)
    problem = said({"action": "sniff", "sniffer": "smtp"})
    assert problem[0][0].startswith("0.sniffer")
    assert problem[0][1].startswith("expected one of `tls`, `http`")


@pytest.mark.parametrize("key", sorted(not_yet_of(DefaultRuleOptions)))
def test_what_only_sing_box_has_is_refused_by_name(key):
    assert said({key: "x", "outbound": "x"}) == [(f"0.{key}", "not supported yet")]


@pytest.mark.parametrize("key", sorted(not_yet_of(RouteOptions)))
def test_what_only_sing_box_has_in_the_table_is_refused_by_name(key):
    found = []
    assert read(RouteOptions, {key: "x"}, (), found) is None
    assert [(problem.path, problem.message) for problem in found] == [((key,), "not supported yet")]


def nested(levels):
    rule = {"port": 1}
    for _ in range(levels):
        rule = {"type": "logical", "mode": "and", "rules": [rule]}
    return {**rule, "outbound": "x"}


def test_nesting_is_bounded():
    assert not said(nested(MAX_NESTING - 1))
    (problem,) = said(nested(100))
    assert problem[1] == f"expected at most {MAX_NESTING} levels of rules"


def test_the_variants_are_all_that_a_rule_can_be():
    assert dict(RuleOptions.variants()) == {"default": DefaultRuleOptions, "logical": LogicalRuleOptions}
    assert set(NestedRuleOptions.variants().values()) == {NestedDefaultRuleOptions, NestedLogicalRuleOptions}
