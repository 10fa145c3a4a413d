"""Programs that look from outside."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support.procs import run
from tests.support.wait import wait_until

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


def timer(which: str) -> str:
    """The timer of an open connection, by a filter of `ss`: `keepalive,4min59sec,0`, or nothing."""
    seen = ""

    def settled() -> bool:  # one that still waits for an acknowledgement shows that timer first
        nonlocal seen
        seen = shown("ss", "-tnoH", "state", "established", which)
        return "timer:(on" not in seen

    wait_until(settled, lambda: seen)
    return seen.partition("timer:(")[2]


def side_link() -> None:
    """A second interface in this namespace, `side0`, with 192.0.2.1/24."""
    shown("ip", "link", "add", "side0", "type", "veth", "peer", "name", "side1")
    shown("ip", "addr", "add", "192.0.2.1/24", "dev", "side0")
    for name in ("side0", "side1"):
        shown("ip", "link", "set", name, "up")
