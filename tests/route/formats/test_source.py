from __future__ import annotations

import json

import pytest

from gproxy.route.formats import source
from gproxy.route.formats.source import format_source, merge_sources, read_source, write_source
from gproxy.route.headless import BadRuleSet, HeadlessRule, read_rules
from tests.route.formats.test_srs import ALL


def test_every_item_survives():
    rules = read_rules([ALL, {"type": "logical", "mode": "and", "rules": [ALL, {"port": 1}], "invert": True}])
    text = write_source(rules, 5)
    read = read_source(text.encode())
    assert (read.version, read.rules) == (5, rules)
    assert json.loads(text)["rules"][0] == ALL | {"ip_cidr": ["1.2.3.4/32", "2001:db8::/33"]}


def test_interfaces_keep_their_bits():
    rules = read_rules([{"default_interface_address": ["10.0.0.1/8", "1.2.3.4", "::ffff:1.2.3.4/120", "::1"]}])
    written = json.loads(write_source(rules, 4))["rules"][0]
    assert written == {"default_interface_address": ["10.0.0.1/8", "1.2.3.4", "::ffff:1.2.3.4/120", "::1"]}


def test_comments_and_trailing_commas_are_taken():
    read = read_source(b'{"version": 1, // x\n"rules": [{"domain": ["a", /* y */],},],}')
    assert read.rules == [HeadlessRule(domain=("a",))]


def test_a_file_may_have_no_rules():
    assert read_source(b'{"version":2}').rules == []
    assert json.loads(format_source(read_source(b'{"version":2}'))) == {"version": 2, "rules": []}


def test_formatting_keeps_what_was_written():
    text = """{"rules": [{"port": [80], "source_port": 0,
        "domain": ["b", "a"], "ip_cidr": "10.0.0.1/8", "invert": false, "wifi_ssid": [],
        "query_type": [28, "TYPE65"], "network_interface_address": {"wifi": ["1.2.3.4"]}, "port_range": null},
        {"invert": true, "rules": [{"type": "default", "domain": ["c"]}], "mode": "or", "type": "logical"}],
        "version": 3}"""
    assert format_source(read_source(text.encode())) == (
        """\
{
  "version": 3,
  "rules": [
    {
      "query_type": [
        "AAAA",
        "HTTPS"
      ],
      "domain": [
        "b",
        "a"
      ],
      "ip_cidr": "10.0.0.1/8",
      "source_port": 0,
      "port": 80,
      "network_interface_address": {
        "wifi": "1.2.3.4"
      }
    },
    {
      "type": "logical",
      "mode": "or",
      "rules": [
        {
          "domain": "c"
        }
      ],
      "invert": true
    }
  ]
}
"""
    )


def test_another_version_may_be_written():
    assert json.loads(format_source(read_source(b'{"version":1}'), 5))["version"] == 5


def test_merging_takes_the_highest_version_and_all_rules_in_order():
    sources = [read_source(f'{{"version":{version},"rules":[{{"port":{version}}}]}}'.encode()) for version in (2, 3, 1)]
    merged = json.loads(merge_sources(sources))
    assert merged == {"version": 3, "rules": [{"port": 2}, {"port": 3}, {"port": 1}]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "not JSON: it is not UTF-8"),
        (b"", "not JSON: expecting value in line 1, column 1"),
        (b'{"version":\n}', "not JSON: expecting value in line 2, column 1"),
        (b"[" * 100_000, "not JSON"),
        (b'{"version":' + b"1" * 5000 + b"}", "not JSON"),
        (b"[]", "begins with `{`"),
        (b"{}", "version: missing"),
        (b'{"version":0}', "version: expected 1 to 5"),
        (b'{"version":6}', "version: expected 1 to 5"),
        (b'{"version":true}', "version: expected 1 to 5"),
        (b'{"version":"1"}', "version: expected 1 to 5"),
        (b'{"version":1,"rule":[]}', "rule: unknown key"),
        (b'{"version":1,"version":1}', "a key is given twice"),
        (b'{"version":1,"rules":{}}', "rules: expected a list of rules"),
        (b'{"version":1,"rules":[{"port":1},{"port":-1}]}', "rules[1].port[0]: expected a port"),
    ],
)
def test_mistakes_are_told(data, said):
    with pytest.raises(BadRuleSet) as caught:
        read_source(data)
    assert said in str(caught.value)


def test_files_are_bounded(monkeypatch):
    monkeypatch.setattr(source, "MAX_SOURCE", 12)
    with pytest.raises(BadRuleSet, match="more than"):
        read_source(b'{"version":2}')


def test_patterns_have_no_place():
    with pytest.raises(BadRuleSet, match="AdGuard"):
        write_source([HeadlessRule(adguard_domain=("||a^",))], 2)
