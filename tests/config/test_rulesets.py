import pytest

from gproxy.config.rulesets import rule_set_problems

OUTBOUNDS = {"direct": ("outbounds", 0)}


def told(route, dns=None):
    tree = {"route": route, **({"dns": dns} if dns is not None else {})}
    return [(".".join(map(str, each.path)), each.message, each.hint) for each in rule_set_problems(tree, OUTBOUNDS)]


def test_what_is_right():
    sets = [{"tag": "ads"}, {"tag": ["x", "y"], "download_detour": "direct"}]
    rules = [{"rule_set": "ads"}, {"type": "logical", "rules": [{"rule_set": ["x", "y"]}]}]
    assert not told({"rule_set": sets, "rules": rules}, {"rules": rules})
    assert not told({"rule_set": {"tag": "ads"}, "rules": {"rule_set": "ads"}})
    assert not told({})


@pytest.mark.parametrize("section", ["route", "dns"])
def test_a_tag_that_no_rule_set_has(section):
    rules = {"rules": [{"type": "logical", "rules": [{"rule_set": ["trackers", "trakers"]}]}]}
    route = {"rule_set": [{"tag": "trackers"}]}
    found = told({**route, **rules}) if section == "route" else told(route, rules)
    assert [(where, what) for where, what, _ in found] == [
        (f"{section}.rules.0.rules.0.rule_set.1", "no rule set has the tag `trakers`")
    ]
    assert "trackers" in found[0][2]


def test_a_tag_that_two_have():
    ((where, what, _),) = told({"rule_set": [{"tag": "ads"}, {"tag": ["x", "ads"]}]})
    assert where == "route.rule_set.1.tag.1"
    assert "taken by" in what


def test_an_outbound_that_is_not_there():
    ((where, what, hint),) = told({"rule_set": [{"tag": "ads", "download_detour": "dirct"}]})
    assert (where, what) == ("route.rule_set.0.download_detour", "no outbound has the tag `dirct`")
    assert "direct" in hint


def test_garbage_is_complained_of_elsewhere():
    assert not told({"rule_set": [1, {"tag": 3}], "rules": [2, {"rule_set": 5}]}, {"rules": 7})
    assert not list(rule_set_problems({"route": 5, "dns": []}, OUTBOUNDS))
