from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.route.formats import v2dat
from gproxy.route.formats.v2dat import GeoipDat, GeositeDat, is_dat
from gproxy.route.headless import BadRuleSet, HeadlessRule
from gproxy.route.prefixes import read_prefixes
from tests.route.formats.made import field, geoip_dat, geosite_dat

SITES = geosite_dat(
    {
        "GOOGLE": [
            (0, "goog", []), (1, r"^g\d+", ["cn"]), (2, "google.example", ["cn", "ads"]), (3, "www.g.example", []),
            (2, "google.example", []),
        ],
        "CN": [(2, "cn", [])],
        "EMPTY": [],
    }
)  # fmt: skip
COUNTRIES = geoip_dat({"DE": ["10.0.0.0/8", "2001:db8::/32"], "ALL-BUT": ["11.0.0.0/8"], "NONE": []}, ["ALL-BUT"])


def test_lists_of_domains():
    found = GeositeDat(SITES)
    assert found.codes() == {"google": 5, "cn": 1, "empty": 0}
    assert found.rule("Google") == HeadlessRule(
        domain=("www.g.example",), domain_suffix=("google.example",), domain_keyword=("goog",), domain_regex=(r"^g\d+",)
    )
    assert is_dat(SITES)


def test_attributes_choose():
    found = GeositeDat(SITES)
    assert found.rule("google@cn") == HeadlessRule(domain_suffix=("google.example",), domain_regex=(r"^g\d+",))
    assert found.rule("google@ads@cn") == HeadlessRule(domain_suffix=("google.example",))


@pytest.mark.parametrize("code", ["empty", "google@nobody"])
def test_a_list_of_nothing_is_refused(code):
    with pytest.raises(BadRuleSet, match="an empty list"):
        GeositeDat(SITES).rule(code)


def test_lists_of_prefixes():
    found = GeoipDat(COUNTRIES)
    assert found.codes() == ["all-but", "de", "none"]
    assert found.rule("DE") == HeadlessRule(ip_cidr=read_prefixes(["10.0.0.0/8", "2001:db8::/32"]))
    assert found.rule("all-but") == HeadlessRule(ip_cidr=read_prefixes(["11.0.0.0/8"]), invert=True)
    with pytest.raises(BadRuleSet, match="an empty list"):
        found.rule("none")


def test_the_country_of_an_address():
    found = GeoipDat(geoip_dat({"DE": ["10.0.0.0/8", "2001:db8::/32"], "FR": ["11.0.0.0/8"]}))
    asked = ["10.1.2.3", "11.255.255.255", "12.0.0.0", "2001:db8::1", "::1"]
    assert [found.lookup(ip_address(text)) for text in asked] == ["de", "fr", "", "de", ""]


def test_codes_that_are_not_there():
    for database in (GeositeDat(SITES), GeoipDat(COUNTRIES)):
        with pytest.raises(KeyError):
            database.rule("nowhere")


def test_fields_that_are_not_known_are_left_out():
    unknown = field(9, 5) + field(10, b"x") + b"\x59" + bytes(8) + b"\x65" + bytes(4)
    domain = field(2, unknown + field(1, 3) + field(2, b"a"))
    assert GeositeDat(field(1, unknown + field(1, b"X") + domain)).rule("x") == HeadlessRule(domain=("a",))


def entry(*fields: bytes) -> bytes:
    return field(1, field(1, b"X") + b"".join(fields))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "there is no list"),
        (field(2, b"x"), "there is no list"),
        (field(1, 1), "a number where a text should be"),
        (field(1, b""), "a list without a code"),
        (entry() + entry(), "one that another has"),
        (b"\x0a\x7f", "cut off"),
        (b"\x0b", "no protocol buffer"),
        (b"\x80" * 11, "64 bits"),
        (field(1, field(1, b"\xff")), "UTF-8"),
    ],
)
def test_what_is_no_database_is_refused(data, said):
    for kind in (GeositeDat, GeoipDat):
        with pytest.raises(BadRuleSet, match=said):
            kind(data)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (field(2, field(1, 4) + field(2, b"a")), "unknown type"),
        (field(2, field(1, b"x") + field(2, b"a")), "unknown type"),
        (field(2, field(1, 3)), "an empty domain"),
        (field(2, field(2, 1)), "a number where"),
        (field(2, field(2, b"\xff")), "UTF-8"),
        (field(2, 7), "a number where"),
        (b"\x12\x09\x08", "cut off"),
    ],
)
def test_domains_that_are_none_are_refused(item, said):
    found = GeositeDat(entry(item))
    with pytest.raises(BadRuleSet, match=said):
        found.rule("x")


@pytest.mark.parametrize(
    "item",
    [field(2, field(1, bytes(5))), field(2, field(1, bytes(4)) + field(2, 33)), field(2, b""), field(2, field(2, 1))],
)
def test_prefixes_that_are_none_are_refused(item):
    found = GeoipDat(entry(item))
    with pytest.raises(BadRuleSet, match="neither 4 nor 16"):
        found.rule("x")


def test_lists_are_bounded(monkeypatch):
    monkeypatch.setattr(v2dat, "MAX_VALUES", 1)
    monkeypatch.setattr(v2dat, "MAX_CODES", 2)
    for refused in (
        lambda: GeositeDat(SITES),
        lambda: GeositeDat(geosite_dat({"X": [(3, "a", []), (3, "b", [])]})).rule("x"),
        lambda: GeoipDat(geoip_dat({"X": ["10.0.0.0/8", "12.0.0.0/8"]})).rule("x"),
    ):
        with pytest.raises(BadRuleSet, match="more than"):
            refused()
