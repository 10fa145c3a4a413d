"""The packages, built once: this commit's, the same under other circumstances, and one of a previous version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gproxy import __version__
from tests.packaging import box

sys.path.insert(0, str(box.ROOT / "scripts"))
import deb

PREVIOUS = "0.0.9"


@dataclass(frozen=True)
class Packages:
    """Paths. `repository` holds `current` and `previous`."""

    current: Path
    again: Path
    previous: Path
    repository: Path


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "these tests boot systems: run them as root"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory, _root: None) -> Packages:
    folder = tmp_path_factory.mktemp("packages")
    repository = folder / "repository"
    with ThreadPoolExecutor() as pool:
        current = pool.submit(_current, repository)
        again = pool.submit(_elsewhere, folder / "again")
        previous = pool.submit(_previous, repository)
    listing = subprocess.run(["apt-ftparchive", "packages", "."], cwd=repository, stdout=subprocess.PIPE, check=True)
    (repository / "Packages").write_bytes(listing.stdout)
    return Packages(current.result(), again.result(), previous.result(), repository)


def _current(to: Path) -> Path:
    subprocess.run([sys.executable, str(box.ROOT / "scripts/deb.py"), "--to", str(to)], check=True, timeout=300)
    (package,) = to.glob(f"*_{__version__}_*.deb")
    return package


def _elsewhere(to: Path) -> Path:
    """The same package, with another file mode mask, time zone and language."""
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C"}
    command = [sys.executable, str(box.ROOT / "scripts/deb.py"), "--to", str(to)]
    subprocess.run(command, env=environment, umask=0o077, check=True, timeout=300)
    (package,) = to.glob("*.deb")
    return package


def _previous(to: Path) -> Path:
    """The package of an older version, whose configuration had one more line."""
    to.mkdir(parents=True, exist_ok=True)
    tree = to.parent / "previous/gproxy"
    deb.copy_tree(tree)
    deb.restate(tree, PREVIOUS)
    with (tree / "packaging/config.toml").open("a") as config:
        config.write("# A remark of the previous version.\n")
    deb.build(tree)
    (package,) = tree.parent.glob("*.deb")
    return Path(shutil.copy(package, to))


@pytest.fixture(scope="module")
def systemd(packages: Packages) -> Iterator[box.Box]:
    with box.booted("systemd", packages.repository) as booted:
        booted.apt("update")
        yield booted


@pytest.fixture(scope="module")
def sysvinit(packages: Packages) -> Iterator[box.Box]:
    with box.booted("sysvinit", packages.repository) as booted:
        booted.apt("update")
        yield booted
