"""The bundle that every package holds: what it takes of the lock and the wheels, and that nothing needed is missing."""

from __future__ import annotations

import ast
import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.box import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import bundle
import locked
import sbom


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    subprocess.run([sys.executable, "-B", str(ROOT / "scripts/bundle.py"), str(folder)], check=True, timeout=120)
    return folder


def site(root: Path) -> Path:
    return root / "usr/lib/gproxy/lib/python3.11/site-packages"


def run_in(root: Path, code: str, *arguments: str) -> str:
    """Run a program by the bundle's own interpreter, which sees the bundle and the standard library only."""
    command = [str(root / "usr/lib/gproxy/bin/python3"), "-IB", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- The lock ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marker", "python", "holds"),
    [
        ("", "3.11", True),
        ("sys_platform == 'linux'", "3.11", True),
        ("sys_platform != 'linux'", "3.11", False),
        ("platform_python_implementation != 'PyPy' and sys_platform == 'linux'", "3.12", True),
        ("python_full_version < '3.12' and sys_platform == 'linux'", "3.11", True),
        ("python_full_version < '3.12' and sys_platform == 'linux'", "3.12", False),
        ("python_version >= '3.9'", "3.12", True),
        ("python_full_version >= '3.13'", "3.12", False),
    ],
)
def test_a_marker_is_asked_of_the_target(marker: str, python: str, holds: bool) -> None:
    assert locked.holds(marker, python) is holds


@pytest.mark.parametrize(
    "marker",
    [
        "sys_platform == 'linux' or python_version < '3.12'",
        "(sys_platform == 'linux')",
        "platform_machine == 'x86_64'",
        "python_full_version < '3.11.4'",
        "python_version == '3.11'",
        "sys_platform < 'linux'",
    ],
)
def test_a_marker_that_nobody_has_thought_of_is_refused(marker: str) -> None:
    with pytest.raises(SystemExit, match="can't read"):
        locked.holds(marker, "3.11")


def test_each_python_gets_what_its_lines_say(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    one, two = "--hash=sha256:" + "1" * 64, "--hash=sha256:" + "2" * 64
    path.write_text(
        f"# Made by `make lock`.\na==1 ; sys_platform == 'linux' \\\n    {two} \\\n    {one}\n"
        f"b-c==2.0 ; python_full_version < '3.12' \\\n    {one}\nd==3 \\\n    {one}\n"
    )
    assert [each.requirement for each in locked.read_lock(path, "3.11")] == [
        f"a==1 {one} {two}",
        f"b-c==2.0 {one}",
        f"d==3 {one}",
    ]
    assert [each.name for each in locked.read_lock(path, "3.12")] == ["a", "d"]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_our_lock_can_be_read(python: str) -> None:
    lines = list(locked.read_lock(ROOT / "requirements.lock", python))
    assert {"gevent", "cryptography", "setuptools"} <= {each.name for each in lines}
    assert all(each.hashes for each in lines)


# -- The wheels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("Crypto/Cipher/Salsa20.py", True),
        ("Crypto/Cipher/_Salsa20.abi3.so", True),
        ("Crypto/__init__.py", True),
        ("Crypto/SelfTest/__main__.py", False),
        ("Crypto/PublicKey/_ec_nat.abi3.so", False),
        ("pycryptodome-4.4.0.dist-info/licenses/LICENSE.rst", True),
        ("cryptography-50.0.2.dist-info/sboms/sbom.json", True),
        ("cryptography/hazmat/bindings/_rust/openssl/aead.pyi", False),
        ("gevent/tests/test_x.py", False),
        ("cffi/_cffi_include.h", False),
        ("x-1.data/scripts/x", False),
    ],
)
def test_what_is_taken_of_a_wheel(name: str, wanted: bool) -> None:
    assert bundle.wanted(name) is wanted


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/../../x.py"])
def test_a_wheel_that_would_leave_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="wants to write"):
        bundle.wanted(name)


def test_each_record_lists_the_files_that_are_there(laid_out: Path) -> None:
    listed: list[str] = []
    for record in site(laid_out).glob("*.dist-info/RECORD"):
        with record.open(newline="") as file:
            listed += [row[0] for row in csv.reader(file)]
    there = [path.relative_to(site(laid_out)).as_posix() for path in site(laid_out).rglob("*") if path.is_file()]
    assert sorted(listed) == sorted(there)


# -- What is in it -----------------------------------------------------------------------------------------------------

IMPORT_ALL = """
import importlib, json, sys
for module, name in json.loads(sys.argv[1]):
    if name and not hasattr(importlib.import_module(module), name):
        importlib.import_module(f"{module}.{name}")
    importlib.import_module(module)
"""


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """The modules that a file imports, anywhere in it, and the names that it takes from them."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((str(node.module), each.name) for each in node.names)


def test_whatever_gproxy_imports_is_there(laid_out: Path) -> None:
    """Also what it imports late: a cipher that only a rare configuration names must not be the one left out."""
    found = {each for path in (ROOT / "gproxy").rglob("*.py") for each in imports(path)}
    foreign = sorted(each for each in found if each[0].partition(".")[0] not in {"gproxy", *sys.stdlib_module_names})
    assert {"gevent", "cryptography"} <= {module.partition(".")[0] for module, _ in foreign}
    run_in(laid_out, IMPORT_ALL, json.dumps(foreign))


@pytest.mark.parametrize("name", ["Salsa20", "ARC4", "Blowfish", "CAST", "ChaCha20"])
def test_the_ciphers_of_pycryptodome_work_without_the_rest_of_it(laid_out: Path, name: str) -> None:
    """Its C code is reached by cffi, which reads the declarations when a cipher is imported."""
    key = {"ARC4": "bytes(16)", "Salsa20": "bytes(32), bytes(8)", "ChaCha20": "key=bytes(32), nonce=bytes(8)"}
    make = key.get(name, f"bytes(16), {name}.MODE_CFB, bytes(8)")
    code = f"from Crypto.Cipher import {name}; print({name}.new({make}).encrypt(bytes(64)).hex())"
    whole = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    assert run_in(laid_out, code) == whole.stdout


# -- The bill of materials ---------------------------------------------------------------------------------------------


def components(root: Path) -> dict[str, dict[str, Any]]:
    document = json.loads((root / "usr/share/doc/gproxy/sbom.cdx.json").read_text())
    return {part["name"]: part for part in document["components"]}


def test_it_names_the_openssl_that_cryptography_brings(laid_out: Path) -> None:
    code = "from cryptography.hazmat.backends.openssl import backend; print(backend.openssl_version_text())"
    said = run_in(laid_out, code)
    inner = {part["purl"].partition("@")[0]: part for part in components(laid_out)["cryptography"]["components"]}
    assert said.startswith(f"OpenSSL {inner['pkg:generic/openssl']['version']} ")
    assert inner["pkg:generic/openssl"]["licenses"] == [{"expression": "Apache-2.0"}]
    assert "pkg:cargo/asn1" in inner


def test_it_names_what_is_inside_only_once_and_not_what_built_it(laid_out: Path) -> None:
    for part in components(laid_out).values():
        inner = [each["purl"] for each in part.get("components", [])]
        assert len(inner) == len(set(inner))
        assert not [each for each in inner if "/cc@" in each or "/pyo3-build-config@" in each or "file:" in each]
        assert all(each["licenses"] for each in part.get("components", []))


def test_a_bill_that_can_not_be_read_is_no_empty_bill(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with sbom.zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", "Name: x\nVersion: 1\n")
        archive.writestr("x-1.dist-info/sboms/x.spdx.json", '{"spdxVersion": "SPDX-2.3"}')
    with sbom.zipfile.ZipFile(path) as archive, pytest.raises(SystemExit, match="not CycloneDX"):
        sbom.read_component(archive, "x", "1", "")
