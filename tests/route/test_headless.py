from __future__ import annotations

from ipaddress import IPv4Interface, IPv6Interface

import pytest

from gproxy.route.headless import (
    ITEMS,
    MAX_NESTING,
    BadRuleSet,
    HeadlessLogical,
    HeadlessRule,
    needed_version,
    query_type_number,
    query_type_text,
    read_rules,
)
from gproxy.route.prefixes import read_prefixes


def test_every_item_is_read():
    [rule] = read_rules(
        [
            {
                "query_type": ["A", 65, "NSAP-PTR"],
                "network": "tcp",
                "domain": ["A.example", "日本"],
                "domain_suffix": ".b.example",
                "domain_keyword": "k",
                "domain_regex": ["^x", "y$"],
                "source_ip_cidr": "10.0.0.1/8",
                "ip_cidr": ["1.2.3.4", "::1"],
                "source_port": 53,
                "source_port_range": ":5",
                "port": [80, 443],
                "port_range": ["1:2", "60000:"],
                "process_name": "curl",
                "process_path": "/usr/bin/curl",
                "process_path_regex": "^/usr",
                "package_name": "org.example",
                "package_name_regex": "^org",
                "network_type": ["wifi", "other"],
                "network_is_expensive": True,
                "network_is_constrained": True,
                "wifi_ssid": "home",
                "wifi_bssid": "00:11:22:33:44:55",
                "network_interface_address": {"wifi": ["10.0.0.1/8", "fe80::/10"], "ethernet": "1.2.3.4"},
                "default_interface_address": "10.0.0.7/24",
                "invert": True,
            }
        ]
    )
    assert rule == HeadlessRule(
        query_type=(1, 65, 23),
        network=("tcp",),
        domain=("A.example", "日本"),
        domain_suffix=(".b.example",),
        domain_keyword=("k",),
        domain_regex=("^x", "y$"),
        source_ip_cidr=read_prefixes(["10.0.0.0/8"]),
        ip_cidr=read_prefixes(["1.2.3.4/32", "::1/128"]),
        source_port=(53,),
        source_port_range=(":5",),
        port=(80, 443),
        port_range=("1:2", "60000:"),
        process_name=("curl",),
        process_path=("/usr/bin/curl",),
        process_path_regex=("^/usr",),
        package_name=("org.example",),
        package_name_regex=("^org",),
        network_type=("wifi", "other"),
        network_is_expensive=True,
        network_is_constrained=True,
        wifi_ssid=("home",),
        wifi_bssid=("00:11:22:33:44:55",),
        network_interface_address=(
            ("wifi", (IPv4Interface("10.0.0.1/8"), IPv6Interface("fe80::/10"))),
            ("ethernet", (IPv4Interface("1.2.3.4/32"),)),
        ),
        default_interface_address=(IPv4Interface("10.0.0.7/24"),),
        invert=True,
    )
    assert all(getattr(rule, item) for item in ITEMS)
    assert rule.ports() == ((80, 80), (443, 443), (1, 2), (60000, 65535))
    assert rule.source_ports() == ((53, 53), (0, 5))


def test_logical_rules_nest():
    [rule] = read_rules(
        [
            {
                "type": "logical",
                "mode": "or",
                "rules": [
                    {"type": "default", "domain": "a"},
                    {"type": "logical", "mode": "and", "rules": [{"port": 1}], "invert": True},
                ],
            }
        ]
    )
    assert rule == HeadlessLogical(
        "or", (HeadlessRule(domain=("a",)), HeadlessLogical("and", (HeadlessRule(port=(1,)),), invert=True))
    )


def nested(levels):
    rule = {"port": 1}
    for _ in range(levels):
        rule = {"type": "logical", "mode": "and", "rules": [rule]}
    return [rule]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({}, "rules: expected a list of rules, got a table"),
        ([1], "rules[0]: expected a table, got an integer"),
        ([{}], "rules[0]: expected a condition"),
        ([{"invert": True}], "rules[0]: expected a condition"),
        ([{"domain": []}], "rules[0]: expected a condition"),
        ([{"domain": None}], "rules[0]: expected a condition"),
        ([{"type": "x"}], "rules[0].type: expected `default` or `logical`"),
        ([{"port": 1, "domian": "a"}], "rules[0].domian: unknown key, did you mean `domain`?"),
        ([{"adguard_domain": "a"}], "rules[0].adguard_domain: unknown key"),
        ([{"port": 1}, {"domain": ["a", 1]}], "rules[1].domain[1]: expected text, got an integer"),
        ([{"domain": ["a", ""]}], "rules[0].domain[1]: expected text that is not empty"),
        ([{"domain": ["a", "\ud800"]}], "rules[0].domain[1]: expected text that is not empty"),
        ([{"network": ["tcp", "sctp"]}], "rules[0].network[1]: expected one of `tcp`, `udp`, `icmp`"),
        ([{"query_type": ["A", "B"]}], "rules[0].query_type[1]: expected a DNS record type"),
        ([{"query_type": 65536}], "rules[0].query_type[0]: expected a DNS record type"),
        ([{"query_type": True}], "rules[0].query_type[0]: expected a DNS record type"),
        ([{"port": [1, 65536]}], "rules[0].port[1]: expected a port number, 0 to 65535"),
        ([{"port": "80"}], "rules[0].port[0]: expected a port number"),
        ([{"port_range": ["1:2", "2:1"]}], "rules[0].port_range[1]: expected a range of ports"),
        ([{"ip_cidr": ["1.2.3.4", "x"]}], "rules[0].ip_cidr[1]: expected an IP prefix"),
        ([{"default_interface_address": "x"}], "rules[0].default_interface_address[0]: expected an IP prefix"),
        ([{"network_interface_address": "x"}], "rules[0].network_interface_address: expected a table, got text"),
        ([{"network_interface_address": {"lan": "1.1.1.1"}}], "rules[0].network_interface_address.lan: unknown key"),
        ([{"network_is_expensive": 1}], "rules[0].network_is_expensive: expected true or false, got an integer"),
        ([{"type": "logical", "mode": "xor", "rules": [{"port": 1}]}], "rules[0].mode: expected `and` or `or`"),
        ([{"type": "logical", "mode": "or", "rules": []}], "rules[0].rules: expected at least one rule"),
        ([{"type": "logical", "mode": "or", "rules": [{}]}], "rules[0].rules[0]: expected a condition"),
        ([{"type": "logical", "mode": "or", "rules": [{"port": 1}], "port": 1}], "rules[0].port: unknown key"),
        (nested(MAX_NESTING), "levels of rules"),
    ],
)
def test_the_first_mistake_is_told_with_its_path(tree, said):
    with pytest.raises(BadRuleSet) as caught:
        read_rules(tree)
    assert said in str(caught.value)
    assert caught.value.status == "rule-set"


def test_as_many_levels_as_allowed():
    assert len(read_rules(nested(MAX_NESTING - 1))) == 1


def test_the_path_begins_where_it_is_told_to():
    with pytest.raises(BadRuleSet) as caught:
        read_rules([{"port": -1}], ("route", "rule_set", 3, "rules"))
    assert str(caught.value).startswith("route.rule_set[3].rules[0].port[0]: ")


@pytest.mark.parametrize(
    ("rule", "version"),
    [
        ({"domain": "a"}, 1),
        ({"network_type": "wifi"}, 3),
        ({"network_is_constrained": True}, 3),
        ({"default_interface_address": "1.2.3.4", "network_is_expensive": True}, 4),
        ({"package_name_regex": "x"}, 5),
        ({"type": "logical", "mode": "or", "rules": [{"port": 1}, {"package_name_regex": "x"}]}, 5),
    ],
)
def test_the_version_that_rules_need(rule, version):
    assert needed_version(read_rules([{"port": 1}, rule])) == version


def test_patterns_need_version_2():
    assert needed_version([HeadlessRule(adguard_domain=("||a^",))]) == 2
    assert needed_version([]) == 1


def test_types_are_called_as_sing_box_calls_them():
    assert query_type_text(28) == "AAAA"
    assert query_type_text(65535) == "Reserved"
    assert query_type_text(11) == 11  # WKS, which it does not know
    assert query_type_text(65280) == 65280
    assert all(query_type_number(query_type_text(number)) == number for number in range(0x10000))
