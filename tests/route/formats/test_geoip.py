from __future__ import annotations

from ipaddress import ip_address

import pytest

from gproxy.route.formats import geoip
from gproxy.route.formats.geoip import GeoipDb
from gproxy.route.headless import BadRuleSet
from tests.support.mmdb import mmdb

SING = mmdb(
    "sing-geoip",
    {"10.0.0.0/8": "de", "11.0.0.0/9": "fr", "11.128.0.0/9": "de", "2001:db8::/32": "de"},
    languages=["fr", "DE"],
)
MAXMIND = mmdb(
    "GeoLite2-Country",
    {
        "10.0.0.0/8": {"country": {"iso_code": "DE"}},
        "11.0.0.0/8": {"registered_country": {"iso_code": "FR"}},
        "12.0.0.0/8": {"continent": {"code": "EU"}},
        "2001:db8::/33": {"country": {"iso_code": "DE"}},
    },
)


def test_codes():
    assert GeoipDb(SING).codes() == ["de", "fr"]
    assert GeoipDb(MAXMIND).codes() == ["de", "fr"]


def test_the_country_of_an_address():
    asked = [
        ip_address(text) for text in ("10.1.2.3", "11.127.0.0", "11.128.0.0", "12.1.1.1", "2001:db8::1", "::1:0:0")
    ]
    assert [GeoipDb(SING).lookup(ip) for ip in asked] == ["de", "fr", "de", "", "de", ""]
    assert [GeoipDb(MAXMIND).lookup(ip) for ip in asked] == ["de", "fr", "fr", "", "de", ""]


def test_the_prefixes_of_a_country():
    assert list(GeoipDb(SING).rule("DE").ip_cidr.prefixes()) == ["10.0.0.0/8", "11.128.0.0/9", "2001:db8::/32"]
    assert list(GeoipDb(MAXMIND).rule("de").ip_cidr.prefixes()) == ["10.0.0.0/8", "2001:db8::/33"]
    with pytest.raises(KeyError):
        GeoipDb(SING).rule("eu")


@pytest.mark.parametrize(
    "data", [b"", b"x" * 1000, b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe1", SING[:-20]]
)
def test_what_is_no_database_is_refused(data):
    with pytest.raises(BadRuleSet, match="MaxMind"):
        GeoipDb(data)


def test_a_tree_that_leads_nowhere_is_refused():
    nowhere = b"\x7f" + SING[1:]
    with pytest.raises(BadRuleSet, match="damaged"):
        GeoipDb(nowhere).lookup(ip_address("10.0.0.1"))
    with pytest.raises(BadRuleSet, match="damaged"):
        GeoipDb(nowhere).rule("de")


def test_a_tree_that_leads_back_is_refused():
    """The root's left child is the root."""
    again = bytes(3) + SING[3:]
    with pytest.raises(BadRuleSet, match="damaged"):
        GeoipDb(again).rule("de")


def test_networks_are_bounded(monkeypatch):
    monkeypatch.setattr(geoip, "MAX_NETWORKS", 2)
    with pytest.raises(BadRuleSet, match="more than 2 networks"):
        GeoipDb(SING).rule("de")
