"""Renews the locks of the project (from setup.py) and of the interop tests' peers (from peers.in), with hashes.

The result holds on any Linux machine: it names no index, no path, and every architecture's files.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD_TOOLS = "setuptools>=80\n"  # builds the project in place without a build environment of its own
HEADER = "# Made by `make lock`: do not edit.\n"


def main() -> None:
    """Lock what running needs, then, in agreement with it, what checking needs; then the peers, which stand alone."""
    lock("requirements.lock", "setup.py", "-")
    lock("requirements-dev.lock", "setup.py", "-", "--extra", "dev", "--constraint", "requirements.lock")
    lock("tests/interop/peers.lock", "tests/interop/peers.in")


def lock(name: str, *sources: str) -> None:
    """Resolve `sources` into the lock `name`."""
    uv = str(Path(sys.executable).with_name("uv"))
    options = ("--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade", "--quiet")
    bare = ("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links")
    command = [uv, "pip", "compile", *options, *bare, *sources]
    done = subprocess.run(command, cwd=ROOT, input=BUILD_TOOLS, text=True, stdout=subprocess.PIPE, check=True)
    (ROOT / name).write_text(HEADER + done.stdout, "utf-8")


if __name__ == "__main__":
    main()
