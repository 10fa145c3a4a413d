"""Users who come and go while gproxy runs: in all workers, over crashes, reloads, upgrades and restarts."""

from __future__ import annotations

import base64
import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import everything, exactly, tunnel
from tests.e2e.supervised import Supervised, children, kill
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes
from tests.support.wait import wait_until

METHOD = "2022-blake3-aes-128-gcm"
SERVER_KEY = base64.b64encode(bytes(range(16))).decode()
KEYS = {name: base64.b64encode(name.encode().ljust(16)).decode() for name in ("ada", "bob", "eve")}


class World:
    """A server with an API, and clients that are solo gproxies with one user's key each."""

    def __init__(self, processes: Processes, site: Server) -> None:
        self.processes = processes
        self.site = site
        self.port, self.api = free_port(), free_port()
        self.cache = processes.folder / "kept" / "users.json"
        self._clients: dict[str, int] = {}

    def tables(self, *, cache: bool) -> dict[str, Any]:
        inbound = {
            "type": "shadowsocks", "tag": "ss-in", "listen": LOOPBACK, "listen_port": self.port, "method": METHOD,
            "password": SERVER_KEY, "managed": True,
        }  # fmt: skip
        service = {
            "type": "ssm-api", "listen": LOOPBACK, "listen_port": self.api, "servers": {"/": "ss-in"},
            "cache_path": str(self.cache) if cache else "",
        }  # fmt: skip
        return {"inbounds": [inbound], "services": [service]}

    def start(self, *, workers: int = 2, cache: bool = False) -> Supervised:
        tables = self.tables(cache=cache)
        return Supervised.start(self.processes, *tables["inbounds"], workers=workers, services=tables["services"])

    def start_solo(self) -> Process:
        process = self.processes.gproxy(self.tables(cache=True))
        process.wait_log("is ready")
        return process

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The API's answer to curl."""
        more = [] if body is None else ["-d", json.dumps(body)]
        url = f"http://{LOOPBACK}:{self.api}/server/v1/{path}"
        done = subprocess.run(
            ["curl", "-sS", "-m", "20", "-X", method, "-w", "\n%{http_code}", *more, url],
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        text, _, status = done.stdout.decode().rpartition("\n")
        return int(status), json.loads(text) if text.startswith("{") else text.strip()

    def add(self, name: str, key: str = "") -> None:
        assert self.ask("POST", "users", {"username": name, "uPSK": key or KEYS[name]}) == (201, "")

    def stats(self) -> dict[str, Any]:
        status, value = self.ask("GET", "stats")
        assert status == 200
        return dict(value)

    def user(self, name: str) -> dict[str, Any]:
        status, value = self.ask("GET", f"users/{name}")
        assert status == 200, value
        return dict(value)

    def client(self, name: str) -> int:
        """The port of a client that has this user's key."""
        if name not in self._clients:
            port = self._clients[name] = free_port()
            outbound = {
                "type": "shadowsocks", "server": LOOPBACK, "server_port": self.port, "method": METHOD,
                "password": f"{SERVER_KEY}:{KEYS[name]}",
            }  # fmt: skip
            inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": port}
            self.processes.gproxy({"inbounds": [inbound], "outbounds": [outbound]}).wait_log("is ready")
        return self._clients[name]

    def fetched(self, name: str, seconds: int = 5) -> bool:
        """Whether this user gets through. Who does not is never answered, so a test that expects that waits less."""
        proxy = f"socks5h://{LOOPBACK}:{self.client(name)}"
        done = subprocess.run(
            ["curl", "-s", "-m", f"{seconds}", "-x", proxy, f"http://{self.site.authority}/"],
            capture_output=True,
            check=False,
        )
        return done.stdout == HELLO

    def wait_traffic(self, name: str, sessions: int, down: int | None = None) -> dict[str, Any]:
        """What a user has moved, when all of so many sessions is told: each has fetched the page, unless `down` is."""
        done = subprocess.run(["curl", "-si", f"http://{self.site.authority}/"], capture_output=True, check=True)
        told = (sessions, sessions * len(done.stdout) if down is None else down)

        def moved() -> tuple[int, int]:
            user = self.user(name)
            return user["tcpSessions"], user["downlinkBytes"]

        wait_until(lambda: moved() == told, lambda: f"not {told}: {self.user(name)}", 15)
        return self.user(name)


@pytest.fixture
def world(processes: Processes, site: Server) -> World:
    return World(processes, site)


def control_of(gproxy: Supervised) -> int:
    """The pid of the control process of its newest generation."""
    [template] = children(gproxy.process.pid)
    workers = {int(pid) for pid in gproxy.workers().values()}
    [control] = set(children(template)) - workers
    return control


def test_users_come_and_go(world: World, echo: Server) -> None:
    gproxy = world.start()
    assert world.ask("GET", "")[1]["apiVersion"] == "v1"
    assert not world.fetched("ada", 2)
    world.add("ada")
    wait_until(lambda: world.fetched("ada"), "not let in", 10)
    assert all(world.fetched("ada") for _ in range(8)), "by every worker"
    assert not world.fetched("bob", 2)
    world.add("bob")
    assert world.ask("POST", "users", {"username": "eve", "uPSK": "short"})[0] == 400
    assert [each["username"] for each in world.ask("GET", "users")[1]["users"]] == ["ada", "bob"]
    with (
        tunnel(world.client("ada"), (echo.host, echo.port)) as adas,
        tunnel(world.client("bob"), (echo.host, echo.port)) as bobs,
    ):
        for each in (adas, bobs):
            each.sendall(b"ping")
            assert exactly(each, 4) == b"ping"
        assert world.ask("DELETE", "users/ada") == (204, "")
        assert everything(adas) == b"", "who is no user any more has no open sessions either"
        bobs.sendall(b"ping")
        assert exactly(bobs, 4) == b"ping"
        assert world.ask("PUT", "users/bob", {"uPSK": KEYS["eve"]}) == (204, "")
        assert everything(bobs) == b"", "nor has who has another key"
    assert not world.fetched("ada", 2)
    assert not world.fetched("bob", 2)
    assert world.fetched("eve"), "bob's new key"
    gproxy.stop()


def test_traffic(world: World) -> None:
    gproxy = world.start()
    world.add("ada")
    wait_until(lambda: world.fetched("ada"), "not let in", 10)
    first = world.wait_traffic("ada", 1)
    assert first["downlinkBytes"] > len(HELLO)
    assert first["uplinkBytes"] > 50
    for _ in range(3):
        assert world.fetched("ada")
    four = world.wait_traffic("ada", 4)
    assert four["downlinkBytes"] == 4 * first["downlinkBytes"]
    total = world.stats()
    assert total["downlinkBytes"] == four["downlinkBytes"]
    assert total["users"] == [{key: value for key, value in four.items() if key != "uPSK"}]
    assert world.ask("GET", "stats?clear=true")[1] == total
    assert world.stats()["downlinkBytes"] == world.user("ada")["tcpSessions"] == 0
    assert world.fetched("ada")
    assert world.wait_traffic("ada", 1)["downlinkBytes"] == first["downlinkBytes"]
    gproxy.stop()


def test_what_dies_comes_back_with_its_users(world: World) -> None:
    gproxy = world.start()
    world.add("ada")
    wait_until(lambda: world.fetched("ada"), "not let in", 10)
    before = world.wait_traffic("ada", 1)
    control = control_of(gproxy)
    kill(control)
    wait_until(lambda: control_of(gproxy) != control, "control is not replaced", 10)
    assert world.user("ada") == before
    for pid in gproxy.workers().values():
        kill(pid)
        wait_until(lambda pid=pid: pid not in gproxy.workers().values(), "not replaced", 10)
    assert all(world.fetched("ada") for _ in range(8))
    assert world.wait_traffic("ada", 9)["downlinkBytes"] == 9 * before["downlinkBytes"]
    world.add("bob")
    wait_until(lambda: world.fetched("bob"), "not let in", 10)
    gproxy.stop()


def test_a_new_generation_goes_on(world: World, echo: Server) -> None:
    """With users and traffic, without a file; also with what the last sessions of the old one move."""
    gproxy = world.start()
    world.add("ada")
    world.add("bob")
    wait_until(lambda: world.fetched("ada"), "not let in", 10)
    before = world.wait_traffic("ada", 1)
    with tunnel(world.client("bob"), (echo.host, echo.port)) as old:
        old.sendall(b"ping")
        assert exactly(old, 4) == b"ping"
        world.wait_traffic("bob", 1, 4)
        for count, number in enumerate((signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP), 2):
            gproxy.next_generation(number)
            assert world.wait_traffic("ada", count - 1)["uplinkBytes"] == (count - 1) * before["uplinkBytes"]
            assert world.fetched("ada")
            world.wait_traffic("ada", count)
            world.ask("DELETE", "users/eve")
            world.add("eve")
            wait_until(lambda: world.fetched("eve"), "not let in", 10)
        old.sendall(b"x" * 1000)
        assert exactly(old, 1000) == b"x" * 1000
        wait_until(lambda: world.user("bob")["uplinkBytes"] == 1004, lambda: str(world.user("bob")), 10)
        assert world.ask("DELETE", "users/bob") == (204, "")
        assert everything(old) == b"", "his session in the oldest generation ends too"
    gproxy.wait_alone()
    assert world.stats()["downlinkBytes"] >= 4 * before["downlinkBytes"] + 1004
    gproxy.stop()


def test_nobody_is_turned_away_while_generations_change(world: World) -> None:
    gproxy = world.start()
    url = f"http://{LOOPBACK}:{world.api}/server/v1/users"
    once = f"curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' {url}"
    asking = subprocess.Popen(
        ["sh", "-c", f"while :; do {once} || echo failed; done"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP):
            gproxy.next_generation(number)
            gproxy.wait_alone()
    finally:
        os.killpg(asking.pid, signal.SIGTERM)
    said = asking.communicate()[0].decode().split("\n")[:-1]
    assert said.count("200") > 10
    assert set(said[:-1]) == {"200"}
    gproxy.stop()


def test_users_outlive_a_restart(world: World) -> None:
    gproxy = world.start(cache=True)
    world.add("ada")
    wait_until(lambda: world.fetched("ada"), "not let in", 10)
    before = world.wait_traffic("ada", 1)
    gproxy.stop()
    assert stat.S_IMODE(world.cache.stat().st_mode) == 0o600
    again = world.start(cache=True)
    assert world.user("ada") == before
    assert world.fetched("ada"), "from the first moment on"
    again.next_generation()
    again.wait_alone()
    assert world.wait_traffic("ada", 2)["downlinkBytes"] == 2 * before["downlinkBytes"], "not taken up twice"
    assert json.loads(Path(world.cache).read_text())["endpoints"]["/"]["users"] == {"ada": KEYS["ada"]}
    again.stop()


def test_in_one_process(world: World) -> None:
    gproxy = world.start_solo()
    world.add("ada")
    assert world.fetched("ada")
    before = world.wait_traffic("ada", 1)
    gproxy.signal(signal.SIGTERM)
    assert gproxy.wait() == 0
    assert "Traceback" not in gproxy.log
    again = world.start_solo()
    assert world.user("ada") == before
    assert world.fetched("ada")
    assert world.ask("DELETE", "users/ada") == (204, "")
    assert not world.fetched("ada", 2)
    again.signal(signal.SIGTERM)
    assert again.wait() == 0
    assert "Traceback" not in again.log
