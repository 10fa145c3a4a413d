"""gproxy.route.compile against the documented formula, read word by word."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.cidrs import NOT_PUBLIC
from gproxy.route.compile import condition
from tests.route.kit import options, session

ITEMS = {
    "inbound": ["in", "other"],
    "network": ["tcp", "udp"],
    "auth_user": ["bob", "eve"],
    "domain": ["a.test", "b.a.test"],
    "domain_suffix": ["a.test", ".a.test", "org"],
    "domain_keyword": ["a.", "zz"],
    "domain_regex": ["^b", "t$"],
    "ip_cidr": ["10.0.0.0/8", "1.2.3.4", "2001:db8::/32"],
    "source_ip_cidr": ["192.0.2.0/24", "::1"],
    "source_port": [7, 50000],
    "source_port_range": [":9", "40000:60000"],
    "port": [80, 443],
    "port_range": ["81:443", "8000:"],
}
FLAGS = {"ip_is_private": True, "source_ip_is_private": True}

item_sets = st.fixed_dictionaries(
    {},
    optional={
        **{
            key: st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True) for key, values in ITEMS.items()
        },
        **{key: st.just(value) for key, value in FLAGS.items()},
        "ip_version": st.sampled_from([4, 6]),
    },
)
default_rules = st.tuples(item_sets.filter(bool), st.booleans()).map(lambda pair: {**pair[0], "invert": pair[1]})
rules = st.recursive(
    default_rules,
    lambda inner: st.fixed_dictionaries({
        "type": st.just("logical"), "mode": st.sampled_from(["and", "or"]), "invert": st.booleans(),
        "rules": st.lists(inner, min_size=1, max_size=3),
    }),
    max_leaves=5,
)  # fmt: skip
sessions = st.builds(
    session,
    st.sampled_from(["a.test", "b.a.test", "x.org", "10.1.1.1", "1.2.3.4", "2001:db8::1", "fe80::1"]),
    st.sampled_from([80, 443, 9000]),
    network=st.sampled_from(["tcp", "udp"]),
    inbound=st.sampled_from(["in", "else"]),
    source=st.sampled_from(["192.0.2.1", "127.0.0.1", "::1"]),
    source_port=st.sampled_from([7, 30000, 50000]),
    user=st.sampled_from([None, "bob"]),
    addresses=st.sampled_from([(), ("10.9.9.9",), ("8.8.8.8", "2001:db8::7")]),
)


def holds(rule, one):
    """The formula of docs/route.md."""
    if rule.get("type") == "logical":
        result = (all if rule["mode"] == "and" else any)(holds(each, one) for each in rule["rules"])
    else:
        looks = [[look(key, rule[key], one) for key in group if key in rule] for group in GROUPS]
        result = all(any(group) for group in looks if group) and all(
            look(key, value, one) for key, value in rule.items() if key not in GROUPED and key != "invert"
        )
    return result != rule.get("invert", False)


GROUPS = [
    ["domain", "domain_suffix", "domain_keyword", "domain_regex", "ip_cidr", "ip_is_private"],
    ["port", "port_range"],
    ["source_ip_cidr", "source_ip_is_private"],
    ["source_port", "source_port_range"],
]
GROUPED = {key for group in GROUPS for key in group}


def look(key, value, one):
    host = one.target.host
    name = host if isinstance(host, str) else ""
    targets = one.addresses if name else [host]
    port = one.source.port if key.startswith("source") else one.target.port
    return {
        "inbound": lambda: one.inbound in value,
        "network": lambda: one.network in value,
        "auth_user": lambda: one.user in value,
        "ip_version": lambda: not name and ip_address(str(host)).version == value,
        "domain": lambda: name in value,
        "domain_suffix": lambda: any(
            name.endswith(each) if each[0] == "." else ("." + name).endswith("." + each) for each in value
        ),
        "domain_keyword": lambda: any(each in name for each in value),
        "domain_regex": lambda: bool(name) and any(re.search(each, name) for each in value),
        "ip_cidr": lambda: any(target in ip_network(each) for each in value for target in targets),
        "ip_is_private": lambda: any(target in net for net in NOT_PUBLIC for target in targets),
        "source_ip_cidr": lambda: any(one.source.host in ip_network(each) for each in value),
        "source_ip_is_private": lambda: any(one.source.host in net for net in NOT_PUBLIC),
        "port": lambda: port in value,
        "source_port": lambda: port in value,
        "port_range": lambda: any(in_range(port, each) for each in value),
        "source_port_range": lambda: any(in_range(port, each) for each in value),
    }[key]()


def in_range(port, text):
    low, _, high = text.partition(":")
    return int(low or 0) <= port <= int(high or 65535)


@given(rules, sessions)
def test_rules_match_as_documented(rule, one):
    (read,) = options({**rule, "outbound": "x"})
    assert condition(read)(one) == holds(rule, one)


def test_a_rule_without_items_matches_everything():
    (rule,) = options({"outbound": "x"})
    assert condition(rule)(session())
    assert condition(rule)(session("::1", network="udp"))


@pytest.mark.parametrize(
    ("rule", "host", "port", "matches"),
    [
        ({"domain": "a.test", "ip_cidr": "10.0.0.0/8", "port": 80}, "a.test", 80, True),
        ({"domain": "a.test", "ip_cidr": "10.0.0.0/8", "port": 80}, "10.1.1.1", 80, True),
        ({"domain": "a.test", "ip_cidr": "10.0.0.0/8", "port": 80}, "a.test", 81, False),
        ({"domain": "a.test", "ip_is_private": True}, "10.1.1.1", 80, True),
        ({"ip_cidr": "1.2.3.4", "ip_is_private": True}, "1.2.3.4", 80, True),
        ({"ip_cidr": "1.2.3.4", "ip_is_private": True}, "10.1.1.1", 80, True),
        ({"ip_cidr": "1.2.3.4", "ip_is_private": True}, "1.2.3.5", 80, False),
        ({"port": 80, "port_range": "8000:"}, "a.test", 9000, True),
        ({"domain": "a.test", "ip_version": 4}, "a.test", 80, False),
        ({"domain": "a.test", "ip_version": 4, "invert": True}, "a.test", 80, True),
    ],
)
def test_the_groups(rule, host, port, matches):
    (read,) = options({**rule, "outbound": "x"})
    assert condition(read)(session(host, port)) == matches
