from __future__ import annotations

import pytest

from gproxy.route.headless import BadRuleSet, HeadlessRule, read_rules
from gproxy.route.trial import Trial, found_by, told

RULES = read_rules(
    [
        {"domain": "a.example"},
        {"domain_suffix": ".example", "ip_cidr": "10.0.0.0/8"},
        {"domain": "a.example", "invert": True},
        {"domain": "a.example", "network": ["tcp", "udp"]},
        {"domain": "a.example", "port": 443},
        {"type": "logical", "mode": "and", "rules": [{"domain_keyword": "a."}, {"network": "tcp", "invert": True}]},
        {"source_ip_cidr": "0.0.0.0/0"},
    ]
)


@pytest.mark.parametrize(
    ("asked", "matching"),
    [
        ("a.example", [0, 1, 5]),
        ("A.Example.", [0, 1, 5]),
        ("example", [2]),
        ("10.1.2.3", [1, 2]),
        ("::ffff:10.1.2.3", [1, 2]),
        ("not a name", [2]),
        ("::1", [2]),
    ],
)
def test_the_rules_that_match(asked, matching):
    assert [index for index, _ in Trial(RULES).matching(asked)] == matching


def test_an_expression_that_is_none_is_refused():
    with pytest.raises(BadRuleSet, match="regular expression"):
        Trial([HeadlessRule(domain_regex=("(",))])


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({"domain": ["a", "b", "c", "d"], "invert": True}, "!(domain=[a b c…])"),
        ({"query_type": [1, 65280], "ip_cidr": "1.2.3.4"}, "query_type=[A 65280] ip_cidr=1.2.3.4/32"),
        ({"network_is_expensive": True}, "network_is_expensive=true"),
        ({"network_interface_address": {"wifi": ["1.2.3.4/8", "::1"]}}, None),
        (
            {"type": "logical", "mode": "or", "rules": [{"port": 1}, {"port": 2, "invert": True}], "invert": True},
            "!(port=1 || !(port=2))",
        ),
        ({"type": "logical", "mode": "and", "rules": [{"port": 1}, {"port": 2}]}, "(port=1 && port=2)"),
    ],
)
def test_what_a_rule_looks_for(rule, text):
    expected = text or "network_interface_address=[wifi:1.2.3.4/8 wifi:::1/128]"
    assert told(read_rules([rule])[0]) == expected


@pytest.mark.parametrize(
    ("domain", "item"),
    [
        ("x.y", "domain=x.y"),
        ("a.Z", "domain_suffix=z"),
        ("z", "domain_suffix=z"),
        ("a.w", "domain_suffix=.w"),
        ("w", ""),
        ("az", ""),
        ("likely", "domain_keyword=ike"),
        ("r1", r"domain_regex=^r\d$"),
    ],
)
def test_the_item_that_has_a_domain(domain, item):
    rule = HeadlessRule(
        domain=("x.y",), domain_suffix=("z", ".w"), domain_keyword=("ike",), domain_regex=("(", r"^r\d$")
    )
    assert found_by(rule, domain) == item
