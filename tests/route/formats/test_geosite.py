from __future__ import annotations

import pytest

from gproxy.route.formats.binary import prefixed, uvarint
from gproxy.route.formats.geosite import GeositeDb, domain_rule, write_geosite
from gproxy.route.headless import BadRuleSet, HeadlessRule

LISTS = {
    "b": HeadlessRule(domain=("x.y",), domain_suffix=(".x.y", "z"), domain_keyword=("k",), domain_regex=("^r",)),
    "a": HeadlessRule(domain=("日本",)),
}


def test_lists_survive():
    found = GeositeDb(write_geosite(LISTS))
    assert found.codes() == {"a": 1, "b": 5}
    assert {code: found.rule(code) for code in LISTS} == LISTS
    with pytest.raises(KeyError):
        found.rule("c")


def test_a_file_byte_by_byte():
    table = b"\0\2" + prefixed(b"a") + b"\0\1" + prefixed(b"b") + b"\x08\1"
    items = b"\0" + prefixed("日本".encode()) + b"\1" + prefixed(b".x")
    assert write_geosite({"b": HeadlessRule(domain_suffix=(".x",)), "a": LISTS["a"]}) == table + items


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cut off"),
        (b"\1", "unknown version"),
        (b"\0" + uvarint(2**40), "cut off"),
        (b"\0\1\0\0\0", "without a code"),
        (b"\0\2" + 2 * (prefixed(b"a") + b"\0\0"), "one that another has"),
        (b"\0\1" + prefixed(b"a") + b"\0\2" + b"\0\1a", "more items than there is room for"),
        (b"\0\1" + prefixed(b"a") + b"\0" + uvarint(2**63), "more items than there is room for"),
        (b"\0\2" + prefixed(b"a") + b"\0\1" + prefixed(b"b") + b"\0\1" + b"\0\1a", "more items than there is room for"),
    ],
)
def test_what_is_no_database_is_refused(data, said):
    with pytest.raises(BadRuleSet, match=said):
        GeositeDb(data)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (b"\0\0a", "an empty one"),
        (b"\4\1a", "unknown kind"),
        (b"\0\x09a", "cut off"),
    ],
)
def test_items_that_are_none_are_refused(items, said):
    found = GeositeDb(b"\0\1" + prefixed(b"a") + b"\0\1" + items)
    with pytest.raises(BadRuleSet, match=said):
        found.rule("a")


def test_a_list_may_not_begin_after_the_file():
    found = GeositeDb(b"\0\1" + prefixed(b"a") + uvarint(2**50) + b"\1" + b"\0\1a")
    with pytest.raises(BadRuleSet, match="cut off"):
        found.rule("a")


def test_a_list_of_nothing_would_match_anything():
    with pytest.raises(BadRuleSet, match="an empty list"):
        GeositeDb(b"\0\1" + prefixed(b"a") + b"\0\0").rule("a")
    with pytest.raises(BadRuleSet, match="an empty list"):
        domain_rule({"domain": []})
