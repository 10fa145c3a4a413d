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
    """Whichever worker asks first builds them, for all."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "packages"
    folder.mkdir(exist_ok=True)
    repository = folder / "repository"
    with box.alone(folder):
        if not (repository / "Packages").exists():
            _build(repository, folder / "again")
    (current,) = repository.glob(f"*_{__version__}_*.deb")
    (previous,) = repository.glob(f"*_{PREVIOUS}_*.deb")
    (again,) = (folder / "again").glob("*.deb")
    return Packages(current, again, previous, repository)


def _build(repository: Path, again: Path) -> None:
    with ThreadPoolExecutor() as pool:
        builds = [pool.submit(_current, repository), pool.submit(_elsewhere, again), pool.submit(_previous, repository)]
    for each in builds:
        each.result()
    listing = subprocess.run(["apt-ftparchive", "packages", "."], cwd=repository, stdout=subprocess.PIPE, check=True)
    (repository / "Packages").write_bytes(listing.stdout)


def _current(to: Path) -> None:
    subprocess.run([sys.executable, str(box.ROOT / "scripts/deb.py"), "--to", str(to)], check=True, timeout=900)


def _elsewhere(to: Path) -> None:
    """The same package, with another file mode mask, time zone and language."""
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C"}
    command = [sys.executable, str(box.ROOT / "scripts/deb.py"), "--to", str(to)]
    subprocess.run(command, env=environment, umask=0o077, check=True, timeout=900)


def _previous(to: Path) -> None:
    """The package of an older version, whose configuration had one more line; packed in a hurry."""
    to.mkdir(parents=True, exist_ok=True)
    tree = to.parent / "previous/gproxy"
    deb.copy_tree(tree)
    deb.restate(tree, PREVIOUS)
    with (tree / "packaging/config.toml").open("a") as config:
        config.write("# A remark of the previous version.\n")
    rules = tree / "debian/rules"
    rules.write_text(replaced(rules.read_text(), "-Zxz --threads-max=1", "-Zgzip -z1"))
    deb.build(tree)
    (package,) = tree.parent.glob("*.deb")
    shutil.copy(package, to)


def replaced(text: str, old: str, new: str) -> str:
    """The text with that in it changed, which must be there."""
    assert old in text
    return text.replace(old, new)


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
