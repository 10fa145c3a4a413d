"""gproxy.route.sets.contents against the documented formula, and the way in which rules and sets are joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.compile import condition
from gproxy.route.context import Context
from tests.route.kit import options, session
from tests.route.sets.kit import contents
from tests.route.test_compile import GROUPS, ITEMS, holds, look, sessions

KEYS = [key for key in ITEMS if key not in ("inbound", "auth_user")]
items = st.fixed_dictionaries(
    {}, optional={key: st.lists(st.sampled_from(ITEMS[key]), min_size=1, max_size=2, unique=True) for key in KEYS}
).filter(bool)
plain = st.tuples(items, st.booleans()).map(lambda pair: {**pair[0], "invert": pair[1]})
headless = st.recursive(
    plain,
    lambda inner: st.fixed_dictionaries({
        "type": st.just("logical"), "mode": st.sampled_from(["and", "or"]), "invert": st.booleans(),
        "rules": st.lists(inner, min_size=1, max_size=2),
    }),
    max_leaves=3,
)  # fmt: skip
BRACKETS = [set(group) for group in GROUPS]


class Fixed:
    """A rule set that stays what it is."""

    def __init__(self, tag, made):
        self.tag, self.contents, self.addresses = tag, made, made.addresses

    def match(self, one, /, *, by_source=False):
        return self.contents.match(by_source=by_source)(one)


def by_source(rule, one):
    """The formula, where `ip_cidr` is one of the items about the client."""
    if rule.get("type") == "logical":
        return holds(rule, one)
    moved = {key: value for key, value in rule.items() if key not in ("ip_cidr", "invert")}
    sources = [*rule.get("source_ip_cidr", []), *rule.get("ip_cidr", [])]
    if sources:
        moved["source_ip_cidr"] = sources
    return holds(moved, one) != rule.get("invert", False)


@given(st.lists(headless, max_size=3), sessions)
def test_any_rule_matches_as_documented(rules, one):
    made = contents(*rules)
    assert made.match(by_source=False)(one) == any(holds(rule, one) for rule in rules)
    assert made.match(by_source=True)(one) == any(by_source(rule, one) for rule in rules)


def joined(rule, own, one):
    """Both rules as one: of each bracket that either has, a part of either must match."""
    for bracket in BRACKETS:
        parts = [look(key, each[key], one) for each in (rule, own) for key in bracket & each.keys()]
        if parts and not any(parts):
            return False
    grouped = set().union(*BRACKETS)
    return all(look(key, value, one) for key, value in rule.items() if key not in grouped | {"invert"})


def naive(rules, own, one):
    """sing-box 1.14's way: a set that is one plain rule is joined with the rule that names it, others stand beside."""
    if len(rules) == 1 and rules[0].get("type") != "logical" and not rules[0]["invert"]:
        return joined(rules[0], own, one)
    return holds(own, one) and any(holds(rule, one) for rule in rules)


own_items = st.fixed_dictionaries(
    {},
    optional={
        key: st.lists(st.sampled_from(ITEMS[key]), min_size=1, max_size=1)
        for key in ("domain", "ip_cidr", "port", "source_ip_cidr", "source_port")
    },
)


@given(st.lists(st.lists(headless, max_size=2), min_size=1, max_size=2), own_items, st.booleans(), sessions)
def test_a_rule_and_the_sets_that_it_names(sets, own, invert, one):
    context = Context(rule_sets={f"s{n}": Fixed(f"s{n}", contents(*rules)) for n, rules in enumerate(sets)})
    (rule,) = options({**own, "rule_set": list(context.rule_sets), "invert": invert, "outbound": "x"})
    expected = any(naive(rules, own, one) for rules in sets)
    assert condition(rule, context)(one) == (expected != invert)


@pytest.mark.parametrize(
    ("rule", "asked"),
    [({"query_type": "AAAA"}, 28), ({"query_type": [1, "AAAA"]}, 28)],
)
def test_questions(rule, asked):
    match = contents(rule).match(by_source=False)
    one = session()
    assert not match(one)
    one.query_type = asked
    assert match(one)
    one.query_type = 15
    assert not match(one)


def test_what_the_machine_tells_is_asked_of_the_surroundings():
    context = Context()
    match = contents({"process_name": "curl"}, context=context).match(by_source=False)
    assert not match(session())
    assert contents({"package_name": "org.test", "invert": True}).match(by_source=False)(session())


def test_which_sets_look_at_addresses():
    assert contents({"ip_cidr": "10.0.0.0/8"}).addresses
    assert contents({"type": "logical", "mode": "or", "rules": [{"ip_cidr": "10.0.0.0/8"}]}).addresses
    assert not contents({"source_ip_cidr": "10.0.0.0/8", "domain": "a.test"}).addresses


def test_many_domains_and_keywords():
    made = contents({"domain_suffix": [f"n{n}.test" for n in range(2000)], "domain_keyword": ["ADS"]})
    match = made.match(by_source=False)
    assert match(session("x.n1999.test"))
    assert match(session("loads.org"))
    assert match(session("1.2.3.4", sniffed="n5.test"))
    assert not match(session("n2000.test"))
    assert not match(session("1.2.3.4"))


def test_nothing_matches_nothing():
    assert not contents().match(by_source=False)(session())
    assert contents().groups(by_source=False) is None


def test_which_sets_look_at_clients():
    assert contents({"source_ip_cidr": "10.0.0.0/8"}).clients
    assert contents({"type": "logical", "mode": "or", "rules": [{"network": "udp"}]}).clients
    assert not contents({"ip_cidr": "10.0.0.0/8", "domain": "a.test"}).clients
