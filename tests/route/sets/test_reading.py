import pytest

from gproxy.route.formats.srs import write_srs
from gproxy.route.headless import BadRuleSet, HeadlessRule
from gproxy.route.sets.reading import rules_in

RULE = HeadlessRule(domain=("a.test",))


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("source", b'{"version": 1, "rules": [{"domain": "a.test"}]}'),
        ("binary", write_srs([RULE])),
        ("mihomo", b"payload:\n  - 'a.test'\n"),
    ],
)
def test_every_format_is_read(form, data):
    assert list(rules_in(data, form).rules) == [RULE]
    with pytest.raises(BadRuleSet):
        rules_in(b"\xff\xfe", form)


def test_a_filter():
    assert rules_in(b"||a.test^\n! comment\n", "adguard").rules


def test_what_has_no_place_is_counted():
    assert rules_in(b"DOMAIN,a.test\nAND,((X,y),(Z,w))\n", "mihomo").dropped == 1


def test_databases_have_lists():
    from gproxy.route.formats.geosite import write_geosite

    data = write_geosite({"one": RULE, "two": HeadlessRule(domain_suffix=("b.test",))})
    assert list(rules_in(data, "geosite", ("TWO", "one")).rules) == [HeadlessRule(domain_suffix=("b.test",)), RULE]
    with pytest.raises(BadRuleSet, match="three"):
        rules_in(data, "geosite", ("three",))
    with pytest.raises(BadRuleSet):
        rules_in(b"garbage", "geoip", ("cn",))
