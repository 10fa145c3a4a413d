"""Programs that look from outside."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support.procs import run

_SYSTEM = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def needs(*names: str) -> None:
    """Skip the test without these programs, and without the rights of root; fail it where CI is set."""
    missing = [name for name in names if shutil.which(name, path=_SYSTEM) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not here: {', '.join(missing)}")


def shown(*argv: str) -> str:
    """What a program prints. Raises AssertionError when it fails."""
    done = run(*argv, env={"PATH": _SYSTEM})
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()
