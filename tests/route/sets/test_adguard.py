"""gproxy.route.sets.adguard against sing-box's reading of such rules."""

import pytest

from gproxy.route.context import NO_CONTEXT
from gproxy.route.headless import HeadlessRule
from gproxy.route.sets.adguard import translate
from gproxy.route.sets.contents import Contents
from gproxy.route.sets.packed import pack
from tests.route.kit import session
from tests.route.sets.kit import contents, mapped


def matches(rule, name):
    made = Contents(mapped(pack([HeadlessRule(adguard_domain=(rule,))])), NO_CONTEXT)
    return made.match(by_source=False)(session(name))


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        ("||example.org^", ["example.org", "a.example.org"], ["xexample.org", "example.org.uk"]),
        ("||Example.ORG^", ["example.org"], ["example.com"]),
        ("|example.org^", ["example.org"], ["a.example.org", "xexample.org"]),
        ("|example", ["example.org", "examples.net"], ["a.example.org"]),
        ("example.org^", ["example.org", "a.example.org", "xexample.org"], ["example.org.uk"]),
        ("track", ["tracker.test", "x.untracked.test"], ["trac.test"]),
        ("||ads", ["ads.test", "x.adserver.test"], ["xads.test"]),
        ("ads*.test^", ["ads.test", "ads7.x.test", "xads.test"], ["ads.test.org"]),
        ("||a.*.d.test^", ["a.b.c.d.test", "x.a.b.d.test"], ["a.d.test", "xa.b.d.test"]),
        ("ads.", ["ads.test", "adsl.test", "xads"], ["ad.s"]),
    ],
)
def test_what_rules_mean(rule, inside, outside):
    assert [name for name in inside if not matches(rule, name)] == []
    assert [name for name in outside if matches(rule, name)] == []


def test_nearly_all_are_domains_and_suffixes():
    found = translate(["||a.test^", "|b.test^", "||c*.test^"])
    assert (found.suffix, found.domain, len(found.regex)) == (["a.test"], ["b.test"], 1)


def test_a_set_without_such_rules():
    assert not contents({"port": 80}).match(by_source=False)(session(port=81))
