"""What one worker has seen, no other takes again: not of its generation, not of the next, not after an upgrade.

A small room in a copy of the package stands for the protocols that have salts: it says whether it knew the bytes that
it got, and which process it is.
"""

from __future__ import annotations

import shutil
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.supervised import Supervised, kill
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent

ROOM = '''
"""Remembers."""
import os
from gproxy.base.iface import StreamEntrance
from gproxy.schema.groups import Listen
from gproxy.schema.registry import Row

class SaltyOptions(Listen):
    """No more."""

class Salty:
    """Says `first` or `known`, for both filters, and its process."""
    def __init__(self, options, wiring):
        self._replays = wiring.replays
    def entrances(self):
        return [StreamEntrance(self.accept)]
    def accept(self, stream, session):
        salt = stream.recv()
        known = ["known", "first"]
        said = [known[each.first(salt)] for each in (self._replays.recent, self._replays.lasting)]
        stream.sendall(f"{said[0]} {said[1]} {os.getpid()}".encode())

INBOUND = Row(SaltyOptions, Salty)
'''


@pytest.fixture
def installed(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package with one room more."""
    folder = processes.folder / "installed"
    shutil.copytree(ROOT / "gproxy", folder / "gproxy", ignore=shutil.ignore_patterns("__pycache__"))
    room = folder / "gproxy/protocol/salty"
    room.mkdir()
    (room / "__init__.py").write_text(ROOM)
    catalogue = folder / "gproxy/protocol/__init__.py"
    text = catalogue.read_text()
    catalogue.write_text(text.replace('    "direct": _BOTH,\n', '    "direct": _BOTH,\n    "salty": _IN,\n'))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(folder)
    return folder / "gproxy"


def show(port: int, salt: bytes) -> tuple[str, str]:
    """What it says of the salt, and which process said so."""
    with socket.create_connection((LOOPBACK, port), 10) as sock:
        sock.sendall(salt)
        said = b""
        while data := sock.recv(100):
            said += data
    recent, lasting, pid = said.decode().split()
    assert recent == lasting
    return recent, pid


def test_nobody_takes_it_twice(processes: Processes, installed: Path) -> None:
    port = free_port()
    gproxy = Supervised.start(processes, {"type": "salty", "listen": LOOPBACK, "listen_port": port})
    assert show(port, b"the salt")[0] == "first"
    asked: set[str] = set()
    while len(asked) < 2:  # until the kernel has chosen each of the workers
        said, pid = show(port, b"the salt")
        assert said == "known"
        asked.add(pid)
    for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP):
        gproxy.next_generation(number)
        said, pid = show(port, b"the salt")
        assert said == "known", number
        assert pid not in asked, "the new generation was asked"
        asked.add(pid)
        assert show(port, b"another one %d" % len(asked))[0] == "first"
        gproxy.wait_alone()
    kill(int(pid))
    wait_until(lambda: pid not in {str(each) for each in gproxy.workers().values()}, "not replaced", 10)
    assert {show(port, b"the salt")[0] for _ in range(10)} == {"known"}
    gproxy.stop()
