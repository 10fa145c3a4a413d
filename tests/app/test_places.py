from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gproxy.app import places
from gproxy.base.errors import ConfigError
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.headless import HeadlessRule
from gproxy.route.options import RouteOptions
from gproxy.schema.model import read
from tests.support.mmdb import mmdb

IP = ip_address("192.0.2.1")


def route(**tables: str) -> RouteOptions:
    tree: dict[str, Any] = {name: {"path": path} for name, path in tables.items()}
    found = read(RouteOptions, tree, (), [])
    assert found is not None
    return found


def test_a_database_is_opened_when_a_rule_asks_and_once(tmp_path: Path) -> None:
    path = tmp_path / "x.mmdb"
    countries = places.countries(route(geoip=str(path)))
    asns = places.asns(route(asn=str(path)))
    path.write_bytes(mmdb("any", {"192.0.2.0/24": {"country": {"iso_code": "DE"}, "autonomous_system_number": 64500}}))
    assert countries(["de"])(IP)
    assert asns()(IP) == 64500
    path.unlink()
    assert not countries(["fr"])(IP)
    assert asns()(IP) == 64500


def test_lists_of_sites_are_opened_once(tmp_path: Path) -> None:
    path = tmp_path / "geosite.db"
    sites = places.sites(route(geosite=str(path)))
    path.write_bytes(write_geosite({"a": HeadlessRule(domain=("a.test",)), "b": HeadlessRule(domain=("b.test",))}))
    assert len(list(sites(["a"]))) == 1
    path.unlink()
    assert len(list(sites(["a", "b"]))) == 1


def test_without_a_path_nothing_is_opened() -> None:
    for ask in (places.countries(route()), places.sites(route())):
        with pytest.raises(ConfigError, match=r"route\.geo[a-z]+\.path"):
            list(ask(["x"]))  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match=r"route\.asn\.path"):
        places.asns(route())()
