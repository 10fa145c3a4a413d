"""Renews requirements.lock and requirements-dev.lock from setup.py: every dependency with its version and hashes.

The result holds on any Linux machine: it names no index, no path, and every architecture's files.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD_TOOLS = "setuptools>=80\n"  # builds the project in place without a build environment of its own
HEADER = "# Made by `make lock` from setup.py: do not edit.\n"


def main() -> None:
    """Lock what running needs, then, in agreement with it, what checking needs."""
    lock("requirements.lock")
    lock("requirements-dev.lock", "--extra", "dev", "--constraint", "requirements.lock")


def lock(name: str, *options: str) -> None:
    """Resolve setup.py into the lock `name`."""
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [str(uv), "pip", "compile", "--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade", "--quiet",
         "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", *options, "setup.py", "-"],
        cwd=ROOT, input=BUILD_TOOLS, text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    (ROOT / name).write_text(HEADER + done.stdout, "utf-8")


if __name__ == "__main__":
    main()
