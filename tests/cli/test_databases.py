from __future__ import annotations

import json

import pytest

from gproxy.cli.main import main
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.formats.srs import read_srs
from gproxy.route.headless import HeadlessRule
from tests.route.formats.made import geoip_dat, geosite_dat
from tests.support.mmdb import mmdb


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    networks = {"9.0.0.0/8": "de", "8.0.0.0/8": "fr", "2001:db8::/32": "de"}
    (tmp_path / "geoip.db").write_bytes(mmdb("sing-geoip", networks, ["de", "fr"]))
    (tmp_path / "geoip.dat").write_bytes(geoip_dat({"DE": ["9.0.0.0/8", "2001:db8::/32"], "FR": ["8.0.0.0/8"]}))
    lists = {
        "b": HeadlessRule(domain=("x.y",), domain_suffix=(".x.y",)),
        "a": HeadlessRule(domain_keyword=("x",)),
    }
    (tmp_path / "geosite.db").write_bytes(write_geosite(lists))
    (tmp_path / "geosite.dat").write_bytes(
        geosite_dat({"B": [(3, "x.y", []), (2, "z", ["cn"])], "A": [(0, "x", ["cn"])]})
    )
    return tmp_path


@pytest.mark.parametrize("file", [(), ("-f", "geoip.dat")])
def test_countries(capsys, file):
    assert main(["geoip", "list", *file]) == 0
    for address in ("9.1.2.3", "2001:db8::1", "8.8.8.8", "7.7.7.7", "10.1.2.3", "::1"):
        assert main(["geoip", "lookup", address, *file]) == 0
    assert capsys.readouterr().out.split() == ["de", "fr", "de", "de", "fr", "unknown", "private", "private"]
    assert main(["geoip", "lookup", "nowhere", *file]) == 2


@pytest.mark.parametrize("file", [(), ("-f", "geoip.dat")])
def test_a_country_as_a_rule_set(here, capsys, file):
    assert main(["geoip", "export", "de", *file]) == 0
    expected = {"version": 2, "rules": [{"ip_cidr": ["9.0.0.0/8", "2001:db8::/32"]}]}
    assert json.loads((here / "geoip-de.json").read_bytes()) == expected
    assert main(["geoip", "export", "DE", "-o", "stdout", *file]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert main(["geoip", "export", "de", "-o", "de.srs", *file]) == 0
    assert read_srs((here / "de.srs").read_bytes()).version == 2
    assert main(["geoip", "export", "nowhere", *file]) == 1
    assert "there is no 'nowhere' in the database" in capsys.readouterr().err


def test_sites(capsys):
    assert main(["geosite", "list"]) == 0
    assert main(["geosite", "lookup", "w.x.y"]) == 0
    assert main(["geosite", "lookup", "b", "x.y"]) == 0
    assert main(["geosite", "lookup", "b", "y"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a (1)", "b (2)", "Match code (a) domain_keyword=x", "Match code (b) domain_suffix=.x.y",
        "Match code (b) domain=x.y",
    ]  # fmt: skip
    assert main(["geosite", "lookup", "nowhere", "x.y"]) == 1
    assert main(["geosite", "lookup"]) == 2
    assert main(["geosite", "lookup", "a", "b", "c"]) == 2


def test_a_category_as_a_rule_set(here, capsys):
    assert main(["geosite", "export", "b"]) == 0
    expected = {"version": 2, "rules": [{"domain": "x.y", "domain_suffix": ".x.y"}]}
    assert json.loads((here / "geosite-b.json").read_bytes()) == expected
    assert main(["geosite", "export", "b@cn", "-f", "geosite.dat", "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"] == [{"domain_suffix": "z"}]


@pytest.mark.parametrize(
    "arguments", [("geoip", "list"), ("geoip", "lookup", "9.9.9.9"), ("geosite", "list"), ("geosite", "export", "a")]
)
def test_a_database_that_is_none_is_told(here, capsys, arguments):
    (here / "bad").write_bytes(b"\x07bad")
    assert main([*arguments, "-f", "bad"]) == 1
    assert capsys.readouterr().err.startswith("gproxy: bad: ")
    assert main([*arguments, "-f", "none"]) == 1
    assert "none: no such file" in capsys.readouterr().err
