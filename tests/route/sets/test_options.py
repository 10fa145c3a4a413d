import pytest

from gproxy.route.headless import HeadlessRule
from gproxy.route.options import RouteOptions
from gproxy.route.sets.options import InlineRuleSet, LocalRuleSet, RemoteRuleSet, named
from gproxy.schema.model import read


def options(**entry):
    found = []
    route = read(RouteOptions, {"rule_set": [entry]}, (), found)
    assert route is not None, found
    return route.rule_set[0]


def said(**entry):
    found = []
    assert read(RouteOptions, {"rule_set": [entry]}, (), found) is None
    return [(".".join(map(str, problem.path[2:])), problem.message) for problem in found]


def test_rules_may_stand_in_the_configuration():
    for kind in ({}, {"type": "inline"}, {"type": ""}):
        made = options(tag="x", rules=[{"domain": "a.test"}], **kind)
        assert isinstance(made, InlineRuleSet)
        assert made.rules == (HeadlessRule(domain=("a.test",)),)


@pytest.mark.parametrize(
    ("path", "form", "expected"),
    [
        ("a.json", None, "source"), ("a.SRS", None, "binary"), ("a.yaml", None, "mihomo"), ("a.list", None, "mihomo"),
        ("a.json", "mihomo", "mihomo"), ("a.txt", "adguard", "adguard"),
    ],
)  # fmt: skip
def test_the_name_tells_the_format(path, form, expected):
    made = options(type="local", tag="x", path=path, format=form)
    assert isinstance(made, LocalRuleSet)
    assert made.told_by(path) == expected


def test_a_download():
    made = options(type="remote", tag=["x", "y"], url="https://a.test/{tag}.srs?raw", update_interval="1h")
    assert isinstance(made, RemoteRuleSet)
    assert made.update_interval == 3600
    assert made.told_by("/x.srs") == "binary"
    assert named(made.url, "y") == "https://a.test/y.srs?raw"
    assert options(type="remote", tag="x", url="https://a.test/x.srs").update_interval == 86400


@pytest.mark.parametrize(
    ("entry", "where", "what"),
    [
        ({"tag": "x"}, "", "`rules` is missing"),
        ({"tag": "x", "rules": []}, "rules", "expected at least one rule"),
        ({"tag": "x", "rules": [{"domian": "a"}]}, "rules", "unknown key"),
        ({"tag": "", "rules": [{"port": 1}]}, "tag", "expected what rules call it"),
        ({"tag": ["x", "y"], "rules": [{"port": 1}]}, "tag", "expected one"),
        ({"rules": [{"port": 1}]}, "", "`tag` is missing"),
        ({"type": "remot", "tag": "x"}, "type", "expected `inline`, `local` or `remote`"),
        ({"type": "local", "tag": "x", "path": ""}, "path", "expected the name of a file"),
        ({"type": "local", "tag": "x", "path": "a.txt"}, "format", "doesn't tell"),
        ({"type": "local", "tag": ["x", "y"], "path": "a.srs"}, "path", "expected `{tag}`"),
        ({"type": "local", "tag": "x", "path": "a.dat", "format": "geosite"}, "code", "expected the codes"),
        ({"type": "local", "tag": "x", "path": "a.srs", "code": "cn"}, "code", "expected the codes"),
        ({"type": "remote", "tag": "x", "url": "ftp://a.test/x.srs"}, "url", "expected a URL"),
        ({"type": "remote", "tag": "x", "url": "https://a.test/x"}, "format", "doesn't tell"),
        ({"type": "remote", "tag": "x", "url": "https://a.test/x.srs", "update_interval": "1s"}, "update_interval", ""),
        ({"type": "remote", "tag": "x", "url": "https://a.test/x.srs", "http_client": {}}, "http_client", "supported"),
    ],
)
def test_what_is_wrong_is_told(entry, where, what):
    assert any(key == where and what in message for key, message in said(**entry)), said(**entry)
