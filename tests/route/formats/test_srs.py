from __future__ import annotations

import zlib

import pytest

from gproxy.route.formats import srs
from gproxy.route.formats.binary import prefixed, uvarint
from gproxy.route.formats.srs import MAX_INFLATED, fitting_version, inflate, is_binary, read_srs, write_srs
from gproxy.route.formats.trie import write_keys
from gproxy.route.headless import MAX_NESTING, VERSION, BadRuleSet, HeadlessLogical, HeadlessRule, read_rules

ALL = {
    "query_type": ["A", 65280],
    "network": "udp",
    "domain": ["a.example", "b.example", "日本"],
    "domain_suffix": [".c.example", "d.example"],
    "domain_keyword": "k",
    "domain_regex": "^x",
    "source_ip_cidr": "10.0.0.0/8",
    "ip_cidr": ["1.2.3.4", "2001:db8::/33"],
    "source_port": 0,
    "source_port_range": ":5",
    "port": [80, 80],
    "port_range": "1:",
    "process_name": "curl",
    "process_path": "/usr/bin/curl",
    "process_path_regex": "^/",
    "package_name": "org.example",
    "package_name_regex": "^org",
    "network_type": ["wifi", "other"],
    "network_is_expensive": True,
    "network_is_constrained": True,
    "wifi_ssid": "home",
    "wifi_bssid": "00:11:22:33:44:55",
    "network_interface_address": {"cellular": ["10.0.0.1/8", "fe80::/10"]},
    "default_interface_address": "1.2.3.4",
    "invert": True,
}


def file(body: bytes, version: int = VERSION) -> bytes:
    return b"SRS" + bytes([version]) + zlib.compress(body)


def rule(*items: bytes) -> bytes:
    return b"\0" + b"".join(items) + b"\xff\0"


PORT = b"\x09\1\0\x50"


def test_every_item_survives():
    rules = read_rules([ALL, {"type": "logical", "mode": "and", "rules": [ALL, {"port": 1}], "invert": True}])
    written = write_srs(rules)
    assert is_binary(written)
    assert read_srs(written) == (VERSION, rules)


def test_a_file_byte_by_byte():
    rules = read_rules([{"port": 80}, {"type": "logical", "mode": "or", "rules": [{"domain_suffix": "a"}]}])
    body = b"\2" + rule(PORT) + b"\1\1\1" + rule(b"\2" + write_keys(["\na"])) + b"\0"
    assert inflate(write_srs(rules, 2)[4:]) == body
    assert read_srs(file(body, 2)) == (2, rules)


def test_version_1_has_suffixes_in_two_parts():
    rules = read_rules([{"domain": ["x", ".a", "a"], "domain_suffix": ["a", ".b"]}])
    body = inflate(write_srs(rules, 1)[4:])
    assert body == b"\1" + rule(b"\2" + write_keys(["a", "\r.a", "\r.b", "x"]))
    assert read_srs(file(body, 1)).rules == read_rules([{"domain": "x", "domain_suffix": [".b", "a"]}])


def test_a_domain_beside_what_is_below_it_is_a_suffix():
    rules = read_rules([{"domain": "a", "domain_suffix": ".a"}])
    assert read_srs(write_srs(rules)).rules == read_rules([{"domain_suffix": "a"}])


def test_a_domain_that_is_a_suffix_too_is_told_once():
    body = b"\1" + rule(b"\2" + write_keys(["\na", "a", "b"]))
    assert read_srs(file(body)).rules == read_rules([{"domain": "b", "domain_suffix": "a"}])


PATTERNS = ("||a.example^", "|exact.example^", "track", "ads.*.example^", "||open.example", "||日本^")


def test_patterns_survive():
    found = read_srs(write_srs([HeadlessRule(adguard_domain=PATTERNS)], 2)).rules[0]
    assert isinstance(found, HeadlessRule)
    assert sorted(found.adguard_domain) == sorted(PATTERNS)


@pytest.mark.parametrize("pattern", ["", "|", "||^", "a|b", "a^b", "ads..", "a\rb", "^"])
def test_patterns_that_say_nothing_are_not_written(pattern):
    with pytest.raises(BadRuleSet, match="adguard_domain"):
        write_srs([HeadlessRule(adguard_domain=("||a^", pattern))], 2)


@pytest.mark.parametrize("domain", ["", "a\rb", "\na", "\ud800"])
@pytest.mark.parametrize("item", ["domain", "domain_suffix"])
def test_names_that_the_form_can_not_tell_are_not_written(domain, item):
    with pytest.raises(BadRuleSet, match=r"rules\[1\]\.domain"):
        write_srs([HeadlessRule(port=(1,)), HeadlessRule(**{item: ("a", domain)})])


def test_items_of_later_versions_are_refused_by_name():
    rules = read_rules([{"type": "logical", "mode": "or", "rules": [{"network_type": "wifi", "wifi_ssid": "x"}]}])
    with pytest.raises(BadRuleSet, match="`network_type` is known from version 3 on, not in 2"):
        write_srs(rules, 2)
    assert read_srs(write_srs(rules, 3)) == (3, rules)
    for version in (0, 6):
        with pytest.raises(BadRuleSet, match="is not known"):
            write_srs(rules, version)


def test_the_version_that_is_written():
    plain, newer = read_rules([{"port": 1}]), read_rules([{"network_type": "wifi"}])
    assert [fitting_version(plain, version) for version in range(1, 6)] == [1, 2, 2, 2, 2]
    assert [fitting_version(newer, version) for version in range(1, 6)] == [1, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin with `SRS`"),
        (b"{}", "does not begin with `SRS`"),
        (b"SRS", "cut off"),
        (b"SRS\0", "version 0 is not known"),
        (b"SRS\6", "version 6 is not known"),
        (b"SRS\5", "cut off"),
        (b"SRS\5garbage", "damaged"),
        (file(b"\0")[:-1], "cut off"),
        (file(b"\0") + b"x", "bytes after the end"),
        (file(b""), "cut off"),
        (file(b"\0x"), "bytes after the last rule"),
        (file(b"\2" + rule(PORT)), "cut off"),
        (file(uvarint(2**60)), "cut off"),
        (file(b"\1" + b"\2" + rule(PORT)[1:]), "rules[0]: a rule of the unknown kind 2"),
        (file(b"\1" + rule(b"\x18\0\0")), "rules[0]: the unknown item 24"),
        (file(b"\1" + rule(b"\x10\0")), "rules[0].adguard_domain: cut off"),
        (file(b"\1" + rule()), "rules[0]: a rule without a condition"),
        (file(b"\1" + rule(PORT, PORT)), "rules[0].port: given twice"),
        (file(b"\1" + rule(PORT)[:-1]), "cut off"),
        (file(b"\1" + rule(b"\x09" + uvarint(2**50))), "rules[0].port: cut off"),
        (file(b"\1" + rule(b"\3\2\1a\0")), "rules[0].domain_keyword[1]: empty text"),
        (file(b"\1" + rule(b"\3\1\1\xff")), "rules[0].domain_keyword: text that is not UTF-8"),
        (file(b"\1" + rule(b"\1\1\1x")), "rules[0].network[0]: an unknown network"),
        (file(b"\1" + rule(b"\x0a\1\1x")), "rules[0].port_range[0]: expected a range of ports"),
        (file(b"\1" + rule(b"\2" + write_keys(["a\rb"]))), "rules[0].domain: a name that is empty or has a control"),
        (file(b"\1" + rule(b"\2" + write_keys([""]))), "rules[0].domain: a name that is empty"),
        (file(b"\1" + rule(b"\x10" + write_keys(["\ra|b"]))), "rules[0].adguard_domain: a pattern with a sign"),
        (file(b"\1" + rule(b"\x10" + write_keys(["\r\b"]))), "rules[0].adguard_domain: a name that is empty"),
        (file(b"\1" + rule(b"\6\2" + bytes(8))), "rules[0].ip_cidr: addresses in an unknown form"),
        (file(b"\1" + rule(b"\6\1" + b"\xff" * 8)), "rules[0].ip_cidr: cut off"),
        (file(b"\1" + rule(b"\6\1" + bytes(7) + b"\1\5" + bytes(11))), "ip_cidr[0]: an address of neither 4 nor 16"),
        (file(b"\1" + rule(b"\6\1" + bytes(7) + b"\1\4" + bytes(4) + b"\x10" + bytes(16))), "ip_cidr[0]: an address"),
        (file(b"\1" + rule(b"\6\1" + bytes(7) + b"\1\4\0\0\0\2\4\0\0\0\1")), "ip_cidr[0]: a range that ends before"),
        (file(b"\1" + rule(b"\x12\1\4")), "rules[0].network_type: the unknown kind of network 4"),
        (file(b"\1" + rule(b"\x16\1\4" + bytes(4) + b"\x21")), "a prefix longer than its address"),
        (file(b"\1" + rule(b"\x16\1\5" + bytes(6))), "an address of neither 4 nor 16"),
        (file(b"\1" + rule(b"\x15\2" + 2 * (b"\0\1\4" + bytes(5)))), "network_interface_address.wifi: given twice"),
        (file(b"\1\1\2\1" + rule(PORT) + b"\0"), "rules[0]: the unknown mode 2"),
        (file(b"\1\1\1\0\0"), "rules[0]: a logical rule without rules"),
        (file(b"\1" + b"\1\0\1" * MAX_NESTING + rule(PORT) + b"\0" * MAX_NESTING), "levels of rules"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused(data, said):
    with pytest.raises(BadRuleSet) as caught:
        read_srs(data)
    assert said in str(caught.value)


def test_as_many_levels_as_allowed():
    levels = MAX_NESTING - 1
    read = read_srs(file(b"\1" + b"\1\0\1" * levels + rule(PORT) + b"\0" * levels)).rules
    for _ in range(levels):
        assert isinstance(read[0], HeadlessLogical)
        read = list(read[0].rules)
    assert read == [HeadlessRule(port=(80,))]


def test_a_bomb_is_not_inflated():
    bomb = file(bytes(MAX_INFLATED + 1))
    assert len(bomb) < 100_000
    with pytest.raises(BadRuleSet, match="more than 64 MiB when inflated"):
        read_srs(bomb)


def test_rules_are_counted_through_all_levels(monkeypatch):
    monkeypatch.setattr(srs, "MAX_RULES", 3)
    assert len(read_srs(file(b"\3" + 3 * rule(PORT))).rules) == 3
    for body in (b"\4" + 4 * rule(PORT), b"\2\1\0\2" + 2 * rule(PORT) + b"\0" + rule(PORT)):
        with pytest.raises(BadRuleSet, match="more than 3"):
            read_srs(file(body))


def test_lists_are_bounded(monkeypatch):
    monkeypatch.setattr(srs, "MAX_VALUES", 2)
    ranges = [HeadlessRule(ip_cidr=read_rules([{"ip_cidr": [f"1.2.{n}.0/32" for n in range(5)]}])[0].ip_cidr)]
    for rules in (read_rules([{"port": [1, 2, 3]}]), read_rules([{"domain_keyword": list("abc")}]), ranges):
        with pytest.raises(BadRuleSet, match="more than"):
            read_srs(write_srs(rules))


def test_ranges_that_overlap_are_joined():
    ranges = b"\4\1\0\0\0\4\1\0\0\x09" + b"\4\1\0\0\5\4\1\0\0\xff"
    read = read_srs(file(b"\1" + rule(b"\6\1" + bytes(7) + b"\2" + ranges))).rules[0]
    assert isinstance(read, HeadlessRule)
    assert list(read.ip_cidr.prefixes()) == ["1.0.0.0/24"]


def test_text_lengths_are_held():
    with pytest.raises(BadRuleSet, match="cut off"):
        read_srs(file(b"\1" + rule(b"\3\1" + prefixed(b"a" * 9)[:5])))
