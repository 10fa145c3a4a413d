"""Guessing passwords: whoever does it is shut out by all inbounds and workers, over reloads and restarts."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gproxy.proc.admin import ask
from tests.e2e.clients import Refused, everything, exactly, packed
from tests.e2e.supervised import Supervised
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

USER = {"username": "ada", "password": "right"}
TRIES = 4


class House:
    """A gproxy with two workers, a SOCKS and an HTTP inbound, and bans also of loopback's addresses."""

    def __init__(self, processes: Processes, site: Server, **bans: Any) -> None:
        self.processes = processes
        self.site = site
        self.file = processes.folder / "bans.json"
        self.socks, self.http = free_port(), free_port()
        self.bans = {"tries": TRIES, "duration": "1h", "allow": ["127.0.0.1"], "path": str(self.file), **bans}
        self.start()

    def start(self) -> None:
        inbounds = [
            {"type": kind, "tag": kind, "listen": LOOPBACK, "listen_port": port, "users": [USER]}
            for kind, port in (("socks", self.socks), ("http", self.http))
        ]
        self.gproxy = Supervised.start(self.processes, *inbounds, bans=self.bans)

    def ask(self, **values: Any) -> dict[str, Any]:
        return ask(self.gproxy.control, 10, ask="ban", **values)

    def wait_ended(self, source: str, count: int) -> None:
        """Until so many sessions of this address are over: only then has it failed."""
        process = self.gproxy.process
        line = f'"source":"{source}:'
        wait_until(lambda: process.log.count(line) >= count, lambda: f"not {count}:\n{process.log[-3000:]}")

    def banned(self) -> dict[str, str]:
        """Who is, and why."""
        return {each["network"]: each["reason"] for each in self.ask(do="list")["bans"]}


def come(house: House, source: str, password: str = "right") -> str:
    """What becomes of a client with this address: `served`, `wrong` or `out`."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.bind((source, 0))
        sock.connect((LOOPBACK, house.socks))
        try:
            sock.sendall(b"\x05\x01\x02")
            if exactly(sock, 2) != b"\x05\x02":
                return "out"
            secret = password.encode()
            sock.sendall(b"\x01\x03ada" + bytes([len(secret)]) + secret)
            if exactly(sock, 2) != b"\x01\x00":
                sock.shutdown(socket.SHUT_WR)
                everything(sock)  # when it hangs up, it has counted that
                return "wrong"
            sock.sendall(b"\x05\x01\x00" + packed((house.site.host, house.site.port)))
            if exactly(sock, 10)[:2] != b"\x05\x00":
                raise Refused(-1)
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert everything(sock).endswith(HELLO)
        except (ConnectionResetError, BrokenPipeError):
            return "out"
    return "served"


def guess(house: House, source: str, most: int = 20) -> int:
    """How many wrong passwords were looked at before the door was shut."""
    for count in range(most):
        if come(house, source, f"guess {count}") == "out":
            return count
    return most


def test_guessing_from_many_addresses(processes: Processes, site: Server) -> None:
    """Each has its tries on whichever worker, and others are served meanwhile; a ban outlives reload and restart."""
    house = House(processes, site)
    sources = [f"127.0.1.{number}" for number in range(1, 101)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda source: guess(house, source), sources))
        assert come(house, "127.0.2.1") == "served"
    assert counts == [TRIES] * len(sources)
    assert house.banned() == dict.fromkeys(sources, "auth")
    wait_until(lambda: house.file.exists() and len(kept(house.file)) == len(sources), "they are not saved")

    house.gproxy.next_generation()
    assert {come(house, source) for source in sources[:10]} == {"out"}
    house.gproxy.next_generation(signal.SIGUSR2)
    assert come(house, sources[0]) == "out"
    assert house.ask(do="list")["total"] == len(sources)
    house.gproxy.stop()

    house.start()
    assert {come(house, source) for source in sources[:10]} == {"out"}
    assert set(house.banned()) == set(sources)
    assert house.ask(do="remove", network=sources[0])["removed"] == [sources[0]]
    assert come(house, sources[0]) == "served"
    assert house.ask(do="add", network="127.0.2.0/24", seconds=60)["ok"]
    assert come(house, "127.0.2.1") == "out"
    house.gproxy.stop()
    assert set(kept(house.file)) == {*sources[1:], "127.0.2.0/24"}


def kept(file: Path) -> list[str]:
    if not file.exists():  # one that was broken is being set aside
        return []
    return [each["network"].removesuffix("/32") for each in json.loads(file.read_text())["bans"]]


def test_all_inbounds_count_together_and_weights_differ(processes: Processes, site: Server) -> None:
    house = House(processes, site, weights={"malformed": 0.5})
    for source, says in (("127.0.1.1", b"GET http://x/ HTTP/1.1\r\nProxy-Authorization: Basic eDp5\r\nHost: x\r\n\r\n"),
                         ("127.0.1.2", b"neither this nor that\r\n\r\n")):  # fmt: skip
        for _ in range(2):
            say(house.http, source, says)
        house.wait_ended(source, 2)
        assert guess(house, source) == {"127.0.1.1": TRIES - 2, "127.0.1.2": TRIES - 1}[source]
    for _ in range(3 * TRIES):  # who says nothing at all, or shows no password yet, has done nothing wrong
        say(house.http, "127.0.1.3", b"")
        say(house.http, "127.0.1.3", b"GET http://x/ HTTP/1.0\r\nHost: x\r\n\r\n")
    assert come(house, "127.0.1.3") == "served"
    assert guess(house, "127.0.0.1") == 20  # it is allowed to
    house.gproxy.stop()


def say(port: int, source: str, data: bytes) -> None:
    """Say this from there, and hear all out."""
    with socket.socket() as sock:
        sock.settimeout(10)
        sock.bind((source, 0))
        sock.connect((LOOPBACK, port))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        everything(sock)


@pytest.mark.parametrize("what", ["garbage", "a folder that is none"])
def test_a_file_that_is_of_no_use(what: str, processes: Processes, site: Server) -> None:
    """It is told, and gproxy bans and serves all the same."""
    file = processes.folder / "bans.json"
    if what == "garbage":
        file.write_bytes(b"\0garbage")
        house = House(processes, site)
    else:
        file.write_bytes(b"")
        house = House(processes, site, path=str(file / "bans.json"))
    assert guess(house, "127.0.1.1") == TRIES
    assert come(house, "127.0.2.1") == "served"
    if what == "garbage":
        house.gproxy.wait_error("is not what gproxy has written")
        wait_until(lambda: Path(f"{file}.broken").exists() and kept(file) == ["127.0.1.1"], "it is not set aside")
    else:
        house.gproxy.wait_error("bans can't be saved")
    house.gproxy.stop()
