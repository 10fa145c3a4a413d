from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.errors import ConfigError
from gproxy.route import geo
from gproxy.route.geo import asn_of, codes_of, open_asns, open_countries
from tests.support.mmdb import mmdb

FOUR, SIX, ELSEWHERE = ip_address("192.0.2.9"), ip_address("2001:db8::9"), ip_address("203.0.113.1")


def database(path: Path, kind: str, record: Any, other: Any = "zz") -> str:
    path.write_bytes(mmdb(kind, {"192.0.2.0/24": record, "2001:db8::/32": record, "198.51.100.0/24": other}))
    return str(path)


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("sing-geoip", "de"),
        ("GeoLite2-Country", {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "continent": {"code": "EU"}}),
        ("GeoLite2-Country", {"registered_country": {"iso_code": "DE"}}),
        ("Meta-geoip0", ["DE", "some-service"]),
        ("ipinfo lite", {"country": "Germany", "country_code": "DE"}),
        ("ipinfo country", {"country": "DE"}),
    ],
)  # fmt: skip
def test_countries_of_all_kinds_of_databases(tmp_path: Path, kind: str, record: Any) -> None:
    countries = open_countries(database(tmp_path / "x.db", kind, record))
    german = countries(["fr", "de"])
    assert (german(FOUR), german(SIX), german(ELSEWHERE)) == (True, True, False)
    assert not countries(["fr"])(FOUR)


def test_a_country_with_its_full_name_has_a_code_beside_it() -> None:
    assert codes_of({"country": "Germany", "country_code": "DE"}) == {"de"}


@pytest.mark.parametrize(
    "record", [None, 7, {}, {"country": 7}, {"country": {"iso_code": ["x"]}}, {"country": []}, [1, 2], ""]
)
def test_records_without_a_country(record: Any) -> None:
    assert not codes_of(record) - {""}


@pytest.mark.parametrize(
    ("record", "number"),
    [
        ({"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}, 64500),
        ({"asn": "AS64500"}, 64500),
        ({"asn": "64500"}, 64500),
        ({"asn": "none"}, 0),
        ({"asn": "9" * 11}, 0),
        ({}, 0),
        ("AS1", 0),
    ],
)
def test_the_number_of_an_autonomous_system(record: Any, number: int) -> None:
    assert asn_of(record) == number


def test_autonomous_systems(tmp_path: Path) -> None:
    asn = open_asns(database(tmp_path / "x.db", "GeoLite2-ASN", {"autonomous_system_number": 64500}))
    assert (asn(FOUR), asn(SIX), asn(ELSEWHERE)) == (64500, 64500, 0)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense" * 100, b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xff\xff"]
)
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.db").write_bytes(content)
    with pytest.raises(ConfigError, match=r"x\.db: no database in MaxMind's format"):
        open_countries(str(tmp_path / "x.db"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        open_countries(str(tmp_path / "x.db"))
    with pytest.raises(ConfigError, match="no such file"):
        open_asns(str(tmp_path / "x.db"))


def test_one_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geo, "LARGEST", 100)
    (tmp_path / "x.db").write_bytes(bytes(200))
    with pytest.raises(ConfigError, match="larger than"):
        open_asns(str(tmp_path / "x.db"))


def test_a_damaged_database_tells_nothing(tmp_path: Path) -> None:
    """Every octet of its tree and its data, one after the other."""
    whole = mmdb("sing-geoip", {"192.0.2.0/24": "de"})
    for place in range(0, whole.rindex(b"\xab\xcd\xef"), 7):
        (tmp_path / "x.db").write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
        open_countries(str(tmp_path / "x.db"))(["de"])(FOUR)


def test_whoever_overwrites_the_file_takes_nothing_away(tmp_path: Path) -> None:
    path = database(tmp_path / "x.db", "sing-geoip", "de")
    german = open_countries(path)(["de"])
    os.truncate(path, 0)
    assert german(FOUR)


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def test_v2rays_lists_of_prefixes(tmp_path: Path) -> None:
    prefix = field(1, FOUR.packed) + b"\x10" + varint(24)
    (tmp_path / "geoip.dat").write_bytes(field(1, field(1, b"DE") + field(2, prefix)))
    countries = open_countries(str(tmp_path / "geoip.dat"))
    assert countries(["de"])(FOUR)
    assert not countries(["de"])(ELSEWHERE)
    with pytest.raises(ConfigError, match="there is no country `fr`"):
        countries(["fr"])
    (tmp_path / "geoip.dat").write_bytes(b"\n\xff")
    with pytest.raises(ConfigError):
        countries(["de"])
