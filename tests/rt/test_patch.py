"""Importing patches nothing; only the entry file does. Each test is a process of its own: a patch can't be undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

IMPORT_ALL = """
import pkgutil, gproxy, sys
for module in pkgutil.walk_packages(gproxy.__path__, "gproxy."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
from gevent import monkey
print([name for name in ("socket", "threading", "os", "select") if monkey.is_module_patched(name)])
"""

PATCH = """
from gproxy.rt.patch import patch
patch()
patch()
from gevent import monkey
print(monkey.is_module_patched("socket"), monkey.is_module_patched("threading"))
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_everything_patches_nothing() -> None:
    assert run(IMPORT_ALL) == "[]"


def test_patching_patches_and_may_be_repeated() -> None:
    assert run(PATCH) == "True True"
