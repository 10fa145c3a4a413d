"""The Debian package as a file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from gproxy import __version__
from tests.packaging.box import ROOT
from tests.packaging.conftest import Packages

HIGHEST_EXPOSURE = 2.0


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(each) for each in command],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def unpacked(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "--extract", packages.current, folder)
    return folder


def test_the_same_commit_gives_the_same_bytes(packages: Packages) -> None:
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (packages.current, packages.again))
    assert first == second


def test_lintian(packages: Packages) -> None:
    run("lintian", "--allow-root", "--fail-on", "error,warning", packages.current)


def test_fields(packages: Packages) -> None:
    fields = run("dpkg-deb", "--field", packages.current, "Version", "Depends")
    assert f"Version: {__version__}\n" in fields
    assert "python3.11," in fields


def test_nothing_that_should_not_be_shipped(unpacked: Path) -> None:
    names = [path.name for path in unpacked.rglob("*")]
    assert not [name for name in names if name.endswith((".pyc", ".c", ".h")) or name in {"direct_url.json", "tests"}]
    links = {path.name: os.readlink(path) for path in unpacked.rglob("*") if path.is_symlink()}
    assert links == {"gproxy": "../lib/gproxy/bin/gproxy", "python3": "../../../bin/python3.11"}


def test_no_file_is_writable_or_executable_for_no_reason(unpacked: Path) -> None:
    odd = {
        path.relative_to(unpacked).as_posix(): oct(path.lstat().st_mode & 0o7777)
        for path in unpacked.rglob("*")
        if path.is_file() and not path.is_symlink() and path.lstat().st_mode & 0o7777 != 0o644
    }
    assert odd == {
        "etc/gproxy/config.toml": "0o640",
        "etc/init.d/gproxy": "0o755",
        "usr/lib/gproxy/bin/gproxy": "0o755",
    }


def test_the_bill_of_materials_names_every_library(unpacked: Path) -> None:
    document = json.loads((unpacked / "usr/share/doc/gproxy/sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    shipped = {path.name.partition("-")[0] for path in unpacked.rglob("*.dist-info")} - {"gproxy"}
    assert {part["name"].replace("-", "_") for part in document["components"]} == shipped
    for part in document["components"]:
        assert part["licenses"]
        assert len(part["hashes"][0]["content"]) == 64


@pytest.mark.parametrize("unit", ["gproxy.service", "gproxy@.service"])
def test_what_the_service_is_exposed_to(unpacked: Path, unit: str) -> None:
    path = unpacked / "lib/systemd/system" / unit
    threshold = f"--threshold={HIGHEST_EXPOSURE * 10:.0f}"
    run("systemd-analyze", "security", "--offline=true", threshold, path)


def test_the_instances_have_the_same_rights() -> None:
    single, template = ((ROOT / "packaging" / name).read_text() for name in ("gproxy.service", "gproxy@.service"))
    for place, instance in (
        ("universal proxy server", "universal proxy server (%i)"),
        ("/etc/gproxy/config.toml", "/etc/gproxy/%i.toml"),
        ("RuntimeDirectory=gproxy", "RuntimeDirectory=gproxy-%i"),
        ("StateDirectory=gproxy", "StateDirectory=gproxy/%i"),
        ("LogsDirectory=gproxy", "LogsDirectory=gproxy/%i"),
    ):
        single = single.replace(place, instance)
    assert single == template


@pytest.mark.parametrize("page", ["man1/gproxy.1.gz", "man5/gproxy.toml.5.gz"])
def test_manual_pages(unpacked: Path, page: str) -> None:
    path = unpacked / "usr/share/man" / page
    assert "gproxy" in run("lexgrog", path)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""}
    command = ["man", "--warnings", "--encoding=UTF-8", "--local-file", str(path)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert done.stderr == b""
    assert b"universal proxy server" in done.stdout or b"listen_port" in done.stdout
