"""gproxy.route.sets.joining: fewer rules that match the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gproxy.route.groups import any_of
from gproxy.route.headless import read_rules
from gproxy.route.sets.joining import joined
from tests.route.kit import session
from tests.route.sets.kit import contents, rules
from tests.route.sets.test_contents import by_source, headless
from tests.route.test_compile import holds, sessions


@given(st.lists(headless, min_size=2, max_size=5), sessions)
def test_they_match_the_same(trees, one):
    made = contents(*trees)
    assert made.match(by_source=False)(one) == any(holds(tree, one) for tree in trees)
    assert made.match(by_source=True)(one) == any(by_source(tree, one) for tree in trees)


def test_those_that_ask_the_same_kind_of_thing_are_one():
    trees = [{"domain": f"n{number}.test"} for number in range(50)]
    trees += [{"ip_cidr": f"10.{number}.0.0/16"} for number in range(50)]
    trees += [{"port": number} for number in range(50)] + [{"domain_keyword": "ads"}, {"port_range": "80:90"}]
    assert len(joined(rules(*trees))) == 3


def test_others_are_not():
    trees = [
        {"domain": "a.test", "port": 80}, {"domain": "b.test", "invert": True}, {"network": "udp"},
        {"domain": "a.test", "ip_cidr": "10.0.0.0/8"},
        {"type": "logical", "mode": "and", "rules": [{"domain": "a.test"}, {"port": 1}]},
    ]  # fmt: skip
    assert joined(read_rules(trees)) == read_rules(trees)


def test_what_has_become_one_rule_is_still_not_one_for_the_rule_that_names_it():
    assert contents({"port": 80}).groups(by_source=False) is not None
    made = contents({"port": 80}, {"port": 81})
    assert made.groups(by_source=False) is None
    assert made.match(by_source=False)(session(port=81))
    assert not any_of([made.match(by_source=False)])(session(port=82))
