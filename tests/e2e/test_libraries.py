"""Which native libraries the processes of a gproxy have mapped: those of the rooms that are configured, no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.proxy import inbound
from tests.e2e.supervised import Supervised, family
from tests.support.procs import Processes

RETIRED = "Crypto"
SEALED = {"method": "aes-128-gcm", "password": "a password"}


def mapped(pid: int) -> set[str]:
    """The packages of site-packages whose native code a process has."""
    lines = Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines()
    return {line.partition("/site-packages/")[2].partition("/")[0] for line in lines if "/site-packages/" in line}


@pytest.mark.parametrize(("kind", "more", "ciphers"), [("mixed", {}, set()), ("shadowsocks", SEALED, {"cryptography"})])
def test_ciphers_are_where_they_are_needed(
    processes: Processes, kind: str, more: dict[str, Any], ciphers: set[str]
) -> None:
    gproxy = Supervised.start(processes, inbound(kind, **more))
    found = {pid: mapped(pid) for pid in family(gproxy.process.pid)}
    assert found.pop(gproxy.process.pid) == set(), "the master has the standard library only"
    assert len(found) == 4, "template, control and two workers"
    for libraries in found.values():
        assert "gevent" in libraries
        assert libraries & {"cryptography", RETIRED} == ciphers
