"""Builds the rpm into dist/, from the commit that is checked out, in a folder that is removed again.

Nothing of the desk gets in: no uncommitted change, no variable of the environment, no macro of the user's. Needs the
wheelhouses of the builder's Python and of the target's (`make rpm` fetches both), and rpm; no network.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from deb import copy_tree

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.12"
KEPT = ("PATH", "TZ", "LC_ALL")


def main() -> None:
    """Build; prints the package's path."""
    parser = argparse.ArgumentParser(description="Build the rpm.")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="folder for the package (dist)")
    parser.add_argument("--python", default=PYTHON, help=f"version of the Python that will run it ({PYTHON})")
    parser.add_argument("--version", help="build under another version than the tree's, to try upgrades")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "gproxy"
        copy_tree(tree)
        if options.version:
            restate(tree, options.version)
        print(build(tree, options.to, options.python))


def restate(tree: Path, version: str) -> None:
    """Give the tree another version, wherever it states one."""
    places = {
        "gproxy/__init__.py": r'(?<=__version__ = ")[^"]+',
        "rpm/gproxy.spec": r"(?<=^Version:)\s+\S+$|(?<=> - )[0-9][^-]*(?=-)",
    }
    for name, pattern in places.items():
        path = tree / name
        text = path.read_text("utf-8")
        replaced = re.sub(pattern, lambda old: " " * old[0].startswith(" ") + version, text, flags=re.MULTILINE)
        path.write_text(replaced, "utf-8")


def build(tree: Path, to: Path, python: str = PYTHON) -> Path:
    """Run rpmbuild on a tree; what it says is shown only when it fails. Gives the package's path in the folder `to`."""
    with tempfile.TemporaryDirectory() as top:
        macros = {"_topdir": top, "_builddir": tree, "_rpmdir": f"{top}/rpms", "bundle_python": python}
        defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
        # HOME holds nobody's .rpmmacros.
        environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {"HOME": top}
        command = ["rpmbuild", "-bb", *defines, "rpm/gproxy.spec"]
        done = subprocess.run(
            command, cwd=tree, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said = done.stdout.decode(errors="replace")
        # rpmbuild goes on without a filter that it can't read.
        if done.returncode or "invalid regex" in said:
            raise SystemExit(said)
        to.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(next(Path(top, "rpms").rglob("*.rpm")), to))


if __name__ == "__main__":
    main()
