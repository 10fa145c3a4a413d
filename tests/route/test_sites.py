from __future__ import annotations

from pathlib import Path

import pytest

from gproxy.base.errors import ConfigError
from gproxy.route.formats.geosite import write_geosite
from gproxy.route.headless import HeadlessRule
from gproxy.route.sites import open_sites, site_parts
from tests.route.kit import session

LISTS = {
    "example": HeadlessRule(
        domain=("Only.test",), domain_suffix=("example.org",), domain_keyword=("track",),
        domain_regex=("^ads[0-9]+", "(?=x)"),
    ),
    "other": HeadlessRule(domain_suffix=("other.test",)),
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "geosite.db").write_bytes(write_geosite(LISTS))
    return str(tmp_path / "geosite.db")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("only.test", True), ("a.only.test", False), ("www.example.org", True), ("x.tracking.test", True),
        ("ads7.test", True), ("ads.test", False), ("other.test", False),
    ],
)  # fmt: skip
def test_a_list_has_domains_of_all_kinds(path: str, host: str, found: bool) -> None:
    parts = list(site_parts(open_sites(path), ["example"]))
    assert {name for name, _ in parts} == {"geosite"}
    assert any(match(session(host)) for _, match in parts) is found


def test_lists_are_put_together(path: str) -> None:
    parts = list(site_parts(open_sites(path), ["other", "example"]))
    assert len(parts) == 3
    assert any(match(session("a.other.test")) for _, match in parts)


def test_a_list_that_is_not_there(path: str) -> None:
    with pytest.raises(ConfigError, match="there is no list `none`"):
        list(site_parts(open_sites(path), ["none"]))


def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x07nonsense")
    with pytest.raises(ConfigError, match="x: "):
        open_sites(str(tmp_path / "x"))
    with pytest.raises(ConfigError, match="no such file"):
        open_sites(str(tmp_path / "none"))
