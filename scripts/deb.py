"""Builds the Debian package into dist/, from the commit that is checked out, in a folder that is removed again.

Nothing of the desk gets in: no uncommitted change, no variable of the environment. Needs the wheelhouse
(`make wheelhouse`), and from Debian debhelper and dpkg-dev; no network.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEPT = ("PATH", "HOME", "TZ", "LC_ALL")


def main() -> None:
    """Build; prints the package's path."""
    parser = argparse.ArgumentParser(description="Build the Debian package.")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the package (dist)")
    parser.add_argument("--version", help="build under another version than the tree's, to try upgrades")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "gproxy"
        copy_tree(tree)
        if options.version:
            restate(tree, options.version)
        build(tree)
        for package in sorted(Path(folder).glob("*.deb")):
            print(shutil.copy(package, options.to))


def copy_tree(tree: Path) -> None:
    """Copy the commit that is checked out, and lend the wheelhouse."""
    (tree / "build").mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    (tree / "build/wheelhouse").symlink_to(ROOT / "build/wheelhouse")


def restate(tree: Path, version: str) -> None:
    """Give the tree another version, in both places that state one."""
    for name, pattern in (("gproxy/__init__.py", r'(?<=__version__ = ")[^"]+'), ("debian/changelog", r"(?<=\()[^)]+")):
        path = tree / name
        path.write_text(re.sub(pattern, version, path.read_text("utf-8"), count=1), "utf-8")


def build(tree: Path) -> None:
    """Run Debian's builder; what it says is shown only when it fails."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    command = ["dpkg-buildpackage", "--build=binary", "--unsigned-source", "--unsigned-changes"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=tree, env=environment, check=False, **pipes)
    if done.returncode:
        raise SystemExit(done.stdout.decode(errors="replace"))


if __name__ == "__main__":
    main()
