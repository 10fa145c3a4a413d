from __future__ import annotations

import pytest

from gproxy.route.formats.databases import read_countries, read_sites
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.headless import BadRuleSet, HeadlessRule
from tests.route.formats.made import geoip_dat, geosite_dat
from tests.support.mmdb import mmdb


@pytest.mark.parametrize("data", [geoip_dat({"DE": ["10.0.0.0/8"]}), mmdb("sing-geoip", {"10.0.0.0/8": "de"}, ["de"])])
def test_countries_in_either_format(data):
    found = read_countries(data)
    assert found.codes() == ["de"]
    assert list(found.rule("de").ip_cidr.prefixes()) == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    "data", [geosite_dat({"X": [(3, "a", [])]}), write_geosite({"x": HeadlessRule(domain=("a",))})]
)
def test_sites_in_either_format(data):
    found = read_sites(data)
    assert found.codes() == {"x": 1}
    assert found.rule("x") == HeadlessRule(domain=("a",))


@pytest.mark.parametrize("read", [read_countries, read_sites])
@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"SRS\2"])
def test_what_is_neither_is_refused(read, data):
    with pytest.raises(BadRuleSet):
        read(data)
