from __future__ import annotations

from typing import Any

import pytest

from gproxy.config.advice import advice, advice_text
from gproxy.config.load import Source, load_sources
from gproxy.route.further_options import MEANINGLESS
from gproxy.schema.problem import dotted


def told(tree: dict[str, Any]) -> list[tuple[str, str]]:
    return [(dotted(each.path), each.message) for each in advice(tree)]


def rules(*listed: dict[str, Any]) -> dict[str, Any]:
    return {"route": {"rules": list(listed)}}


@pytest.mark.parametrize("item", MEANINGLESS)
@pytest.mark.parametrize("section", ["route", "dns"])
def test_items_without_meaning(section: str, item: str) -> None:
    assert told({section: {"rules": [{item: ["x"]}, {item: []}]}}) == [
        (f"{section}.rules[0].{item}", "never matches on Linux")
    ]


def test_within_logical_rules_and_where_one_stands_for_a_list() -> None:
    nested = {
        "type": "logical",
        "mode": "or",
        "rules": [{"package_name": "x"}, {"type": "logical", "rules": {"package_name": "y"}}],
    }
    assert [path for path, _ in told({"route": {"rules": nested}})] == [
        "route.rules.rules[0].package_name",
        "route.rules.rules[1].rules.package_name",
    ]


def test_a_mode_that_is_never_set() -> None:
    assert told(rules({"clash_mode": "direct"})) == [("route.rules[0].clash_mode", "never matches: there is no mode")]
    assert told({"route": {"default_mode": "rule", "rules": [{"clash_mode": "direct"}]}}) == []


@pytest.mark.parametrize(
    "first",
    [
        {"outbound": "x"},
        {"action": "reject"},
        {"type": "default", "outbound": "x", "domain": []},
        {"port": None, "outbound": "x"},
    ],
)
def test_rules_behind_one_that_decides_about_everything(first: dict[str, Any]) -> None:
    assert told(rules({"port": 1}, first, {"port": 2}, {"port": 3})) == [
        ("route.rules[2]", "never reached: route.rules[1] decides about all that comes so far")
    ]


@pytest.mark.parametrize(
    "first",
    [
        {"action": "sniff"}, {"action": "resolve"}, {"port": 1}, {"port": 1, "invert": True}, {"rule_set": "x"},
        {"type": "logical", "mode": "and", "rules": [{"port": 1}]}, {"query_type": "A"}, {"time_of_day": "08:00-09:00"},
    ],
    ids=str,
)  # fmt: skip
def test_rules_that_leave_something_to_others(first: dict[str, Any]) -> None:
    assert told(rules(first, {"port": 2})) == []


@pytest.mark.parametrize(
    "tree", [{}, {"route": 1}, {"route": {"rules": 1}}, {"dns": {"rules": [1, None]}}, {"route": []}]
)
def test_documents_of_any_shape(tree: dict[str, Any]) -> None:
    assert told(tree) == []


def test_it_is_told_with_its_line() -> None:
    text = '[[route.rules]]\npackage_name = "x"\noutbound = "direct"\n'
    assert advice_text(load_sources([Source("c.toml", text, "toml")])) == (
        "c.toml:2:1: route.rules[0].package_name: warning: never matches on Linux\n"
        '    2 | package_name = "x"\n'
        "      | ^^^^^^^^^^^^"
    )
    assert advice_text(load_sources([Source("c.toml", "", "toml")])) == ""


def test_what_nobody_has_sniffed() -> None:
    message = "nothing is known of it: no rule before this one does `sniff`"
    asking = {"protocol": "tls", "outbound": "x"}
    nested = {"type": "logical", "mode": "or", "rules": [{"client": "safari"}, {"port": 1}], "outbound": "x"}
    sniff = {"action": "sniff", "network": "tcp"}
    assert told(rules(asking, nested)) == [
        ("route.rules[0].protocol", message),
        ("route.rules[1].rules[0].client", message),
    ]
    assert told(rules(sniff, asking, nested)) == []
    assert told(rules({"port": 1, "outbound": "x"}, sniff, asking)) == []
    assert told(rules(asking, sniff)) == [("route.rules[0].protocol", message)]
