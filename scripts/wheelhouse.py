"""Fetches the wheels that requirements.lock names, for the packages of one Python and machine: build/wheelhouse/TAG.

The only step of packaging that uses the network. Whatever the lock has no hash for is refused, and so is whatever would
have to be compiled. Give it another Python and machine than its own, and it fetches for those.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from locked import read_lock

ROOT = Path(__file__).resolve().parent.parent
OLDEST_GLIBC, NEWEST_GLIBC = 17, 28  # the minor numbers: what RHEL 7 had, and what RHEL 8 has


def main() -> None:
    """Fetch, or do nothing when all is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="3.11", help="version of the Python that will run the bundle (3.11)")
    parser.add_argument("--machine", default=platform.machine(), help="its machine, as `uname -m` says it")
    options = parser.parse_args()
    place = ROOT / "build/wheelhouse" / tag(options.python, options.machine)
    place.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    which = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", "/dev/stdin"]
    command = [*pip, *which, *target(options.python, options.machine), "--dest", str(place)]
    locked = read_lock(ROOT / "requirements.lock", options.python)
    subprocess.run(command, input="\n".join(each.requirement for each in locked), text=True, check=True)
    print(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else os.fspath(place))


def tag(python: str, machine: str) -> str:
    """The folder's name: `cp311-x86_64`."""
    return f"cp{python.replace('.', '')}-{machine}"


def target(python: str, machine: str) -> list[str]:
    """pip's options for another interpreter than its own: it knows no range of platforms, so each is named."""
    abi = tag(python, machine).partition("-")[0]
    options = ["--implementation", "cp", "--python-version", python, "--abi", abi, "--abi", "abi3", "--abi", "none"]
    for minor in range(OLDEST_GLIBC, NEWEST_GLIBC + 1):
        options += ["--platform", f"manylinux_2_{minor}_{machine}"]
    return [*options, "--platform", f"manylinux2014_{machine}"]


if __name__ == "__main__":
    main()
