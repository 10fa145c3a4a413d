"""Bans in sets of the kernel's: whoever is banned gets no answer from it, and gproxy does not hear of him.

The kernel is the machine's own, with tables of the test's network namespace. On a desk whose kernel has none the
tests are skipped; where CI is set there is no excuse.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from typing import Any

import pytest

from gproxy.proc.admin import ask
from tests.e2e.supervised import Supervised
from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

TRIES = 3
FIREWALL = """
table inet guard {
    set banned4 { type ipv4_addr; flags interval, timeout; }
    set banned6 { type ipv6_addr; flags interval, timeout; }
    chain input {
        type filter hook input priority filter; policy accept;
        ip saddr @banned4 counter drop
        ip6 saddr @banned6 counter drop
    }
}
"""


def nft(*arguments: str, text: str = "") -> str:
    """What nft says."""
    done = subprocess.run(
        [program("nft"), *arguments], input=text, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def firewall(own_network: None) -> None:
    """The tables of docs/limits.md."""
    done = subprocess.run(
        [program("nft"), "-f", "-"], input=FIREWALL, capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no nftables in this kernel: {done.stderr.strip()}")


def elements(name: str = "banned4") -> dict[str, int]:
    """What a set has, each with the seconds that it is to stay."""
    [found] = [each["set"] for each in json.loads(nft("-j", "list", "set", "inet", "guard", name))["nftables"][1:]]
    return {_shown(each["elem"]["val"]): each["elem"]["expires"] for each in found.get("elem", ())}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value['prefix']['addr']}/{value['prefix']['len']}"


def dropped() -> int:
    """Packets that the kernel has dropped."""
    rules = [each["rule"] for each in json.loads(nft("-j", "list", "chain", "inet", "guard", "input"))["nftables"][2:]]
    return sum(part["counter"]["packets"] for rule in rules for part in rule["expr"] if "counter" in part)


class House:
    """A gproxy with a SOCKS inbound that asks for a password, and bans that the kernel knows too."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.port = free_port()
        self.bans = {
            "tries": TRIES, "duration": "1h", "allow": ["127.0.0.1"], "path": str(processes.folder / "bans.json"),
            "nftables": {"table": "guard", "set_ipv4": "banned4", "set_ipv6": "banned6"},
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        users = [{"username": "ada", "password": "right"}]
        inbound = {"type": "socks", "tag": "in", "listen": LOOPBACK, "listen_port": self.port, "users": users}
        self.gproxy = Supervised.start(self.processes, inbound, bans=self.bans)

    def order(self, do: str, network: str, **more: Any) -> None:
        assert ask(self.gproxy.control, 10, ask="ban", do=do, network=network, **more)["ok"]

    def guess(self, source: str) -> None:
        """Wrong passwords until the kernel knows of it."""
        for _ in range(TRIES):
            with come(source, self.port) as sock:
                sock.sendall(b"\x05\x01\x02\x01\x03ada\x05wrong")
                assert sock.recv(2, socket.MSG_WAITALL) == b"\x05\x02"
                assert sock.recv(2, socket.MSG_WAITALL) != b"\x01\x00"
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b""
        wait_until(lambda: source in elements(), "the kernel is not told")


def come(source: str, port: int, seconds: float = 10.0) -> socket.socket:
    """A connection from there. Raises TimeoutError."""
    sock = socket.socket()
    try:
        sock.settimeout(seconds)
        sock.bind((source, 0))
        sock.connect((LOOPBACK, port))
    except OSError:
        sock.close()
        raise
    return sock


def greeted(source: str, port: int) -> str:
    """How somebody with this address is met: `served`, `silence` of the kernel's, or `closed` by gproxy."""
    try:
        with come(source, port, 0.3) as sock:
            sock.settimeout(10)
            sock.sendall(b"\x05\x01\x02")
            return "served" if sock.recv(2, socket.MSG_WAITALL) == b"\x05\x02" else "closed"
    except TimeoutError:
        return "silence"
    except (ConnectionResetError, BrokenPipeError):
        return "closed"


@pytest.mark.usefixtures("firewall")
def test_the_kernel_drops_who_is_banned(processes: Processes) -> None:
    house = House(processes)
    house.guess("127.0.1.1")
    assert 3500 < elements()["127.0.1.1"] <= 3600
    heard = house.gproxy.process.log.count('"source":"127.0.1.1:')
    assert greeted("127.0.1.1", house.port) == "silence"
    assert dropped() > 0
    assert greeted("127.0.1.2", house.port) == "served"

    house.order("add", "127.0.2.0/24", seconds=600)
    house.order("add", "2001:db8::/32", seconds=600)
    wait_until(lambda: "127.0.2.0/24" in elements() and "2001:db8::/32" in elements("banned6"), "they are not added")
    assert greeted("127.0.2.9", house.port) == "silence"
    house.order("remove", "127.0.2.9")
    house.order("remove", "127.0.1.1")
    wait_until(lambda: not elements(), "they are not removed")
    assert greeted("127.0.1.1", house.port) == "served"
    assert greeted("127.0.2.9", house.port) == "served"
    assert house.gproxy.process.log.count('"source":"127.0.1.1:') <= heard + 1, "one that was dropped was heard"

    house.order("add", "127.0.3.1", seconds=2)
    wait_until(lambda: "127.0.3.1" in elements(), "it is not added")
    wait_until(lambda: not elements(), "it does not end")
    assert house.gproxy.errors() == []
    house.gproxy.stop()


@pytest.mark.usefixtures("firewall")
def test_sets_are_filled_anew_by_whoever_comes_next(processes: Processes) -> None:
    """A reload, an upgrade and a restart each put right what others have done to the sets meanwhile."""
    house = House(processes)
    house.guess("127.0.1.1")
    for number in (signal.SIGHUP, signal.SIGUSR2):
        nft("flush", "set", "inet", "guard", "banned4")
        nft("add", "element", "inet", "guard", "banned4", "{ 127.0.9.9 timeout 1h }")
        house.gproxy.next_generation(number)
        wait_until(lambda: set(elements()) == {"127.0.1.1"}, lambda: f"not filled anew: {elements()}")
    house.gproxy.stop()
    assert set(elements()) == {"127.0.1.1"}, "it ends by its time, without gproxy too"
    nft("add", "element", "inet", "guard", "banned4", "{ 127.0.9.9 timeout 1h }")
    house.start()
    wait_until(lambda: set(elements()) == {"127.0.1.1"}, lambda: f"not filled anew: {elements()}")
    assert greeted("127.0.1.1", house.port) == "silence"
    house.gproxy.stop()


@pytest.mark.usefixtures("firewall")
def test_without_the_sets_gproxy_goes_on(processes: Processes) -> None:
    """It is told once, and the kernel gets them all when it can."""
    house = House(processes)
    nft("delete", "table", "inet", "guard")
    for number in range(3):
        house.order("add", f"127.0.1.{number + 1}", seconds=600)
        assert greeted("127.0.1.9", house.port) == "served"
        assert greeted("127.0.1.1", house.port) == "closed", "gproxy itself lets nobody in who is banned"
    house.gproxy.wait_error("the kernel is not told about bans")
    nft("-f", "-", text=FIREWALL)
    wait_until(lambda: len(elements()) == 3, "the kernel is not told when it can be", seconds=30)
    assert len(house.gproxy.errors()) == 1
    house.gproxy.stop()
