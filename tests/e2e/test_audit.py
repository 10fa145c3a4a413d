"""The audit log of real processes: what administrators do, who does not get in, and who is banned."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gproxy.proc.admin import ask
from tests.e2e.clients import connect, everything, exactly, say
from tests.e2e.lines import files, lines
from tests.e2e.proxy import LOG
from tests.e2e.supervised import Supervised
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes
from tests.support.wait import wait_until

METHOD = "2022-blake3-aes-128-gcm"
KEY = base64.b64encode(bytes(range(16))).decode()
SECRETS = ("right", "a wrong one", "a-token-of-16-letters", KEY, base64.b64encode(b"a key of a user.").decode())
TRIES = 3


class House:
    """A gproxy with all that is audited, in one process or with workers."""

    def __init__(self, processes: Processes, workers: int, **audit: Any) -> None:
        self.processes = processes
        self.workers = workers
        self.path = processes.folder / "audit.jsonl"
        self.socks, self.shadowsocks, self.api, self.metrics = (free_port() for _ in range(4))
        self.control = str(processes.folder / "control.sock")
        self.log = {**LOG, "audit": {"output": str(self.path), "successes": True, **audit}}
        self.bans = {"tries": TRIES, "duration": "1s", "allow": [], "path": str(processes.folder / "bans.json")}
        self.supervised: Supervised | None = None
        if workers:
            inbounds, more = self._tables()
            runtime = {"control": self.control}
            self.supervised = Supervised.start(processes, *inbounds, workers=workers, runtime=runtime, **more)
            self.process = self.supervised.process
        else:
            self.process = self._solo()

    def _tables(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        user = {"username": "ada", "password": SECRETS[0]}
        inbounds: list[dict[str, Any]] = [
            {"type": "socks", "tag": "socks", "listen": LOOPBACK, "listen_port": self.socks, "users": [user]},
            {
                "type": "shadowsocks", "tag": "managed", "listen": LOOPBACK, "listen_port": self.shadowsocks,
                "method": METHOD, "password": KEY, "managed": True,
            },
        ]  # fmt: skip
        services = [
            {"type": "ssm-api", "tag": "api", "listen": LOOPBACK, "listen_port": self.api, "servers": {"/": "managed"}},
            {"type": "metrics", "tag": "m", "listen": LOOPBACK, "listen_port": self.metrics, "token": SECRETS[2]},
        ]
        return inbounds, {"log": self.log, "bans": self.bans, "services": services}

    def _solo(self) -> Process:
        inbounds, more = self._tables()
        process = self.processes.gproxy({"inbounds": inbounds, "runtime": {"control": self.control}, **more})
        process.wait_log("is ready")
        return process

    def told(self, event: str, **values: Any) -> list[dict[str, Any]]:
        """The events of this kind with these values."""
        found = lines(self.path)
        return [each for each in found if each["event"] == event and all(each.get(k) == v for k, v in values.items())]

    def wait(self, event: str, count: int = 1, **values: Any) -> list[dict[str, Any]]:
        """Until so many have come."""
        wait_until(
            lambda: len(self.told(event, **values)) >= count,
            lambda: f"no {count} {event} {values}: {lines(self.path)}\n{self.process.log[-3000:]}",
        )
        return self.told(event, **values)

    def ask(self, **values: Any) -> dict[str, Any]:
        return ask(self.control, 30, **values)

    def curl(self, port: int, path: str, *more: str) -> int:
        done = subprocess.run(
            ["curl", "-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", *more, f"http://{LOOPBACK}:{port}{path}"],
            capture_output=True,
            check=True,
        )  # fmt: skip
        return int(done.stdout)


@pytest.fixture
def start(processes: Processes) -> Callable[..., House]:
    return lambda workers, **audit: House(processes, workers, **audit)


def come(house: House, site: Server, password: str) -> bytes:
    """What a client gets who shows this password; nothing if he is shut out."""
    with connect(house.socks) as sock:
        secret = password.encode()
        try:
            sock.sendall(b"\x05\x01\x02\x01\x03ada" + bytes([len(secret)]) + secret)
            if exactly(sock, 4) != b"\x05\x02\x01\x00":
                return everything(sock)
        except (ConnectionResetError, BrokenPipeError):
            return b""
        host, port = site.host.encode(), site.port.to_bytes(2, "big")
        sock.sendall(b"\x05\x01\x00\x03" + bytes([len(host)]) + host + port)
        exactly(sock, 10)
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return everything(sock)


@pytest.mark.parametrize("workers", [0, 2], ids=["solo", "workers"])
def test_who_comes_and_who_does_not(workers: int, start: Callable[..., House], site: Server) -> None:
    house = start(workers)
    assert come(house, site, SECRETS[0]).endswith(HELLO)
    (met,) = house.wait("auth-success")
    assert (met["user"], met["inbound"], met["result"]) == ("ada", "socks", "ok")
    assert met["source"].startswith("127.0.0.1:")
    for _ in range(TRIES):
        come(house, site, SECRETS[1])
    failures = house.wait("auth-failure", TRIES)
    assert len({(each["pid"], each["session"]) for each in failures}) == TRIES
    numbers = {each["session"] for each in failures}
    wait_until(lambda: numbers_of_failures(house) == numbers, "the log has other ones")
    (ban,) = house.wait("ban")
    assert (ban["prefix"], ban["reason"], ban["seconds"], ban["times"]) == ("127.0.0.1", "auth", 1, 1)
    (end,) = house.wait("ban-end")
    assert (end["prefix"], end["reason"]) == ("127.0.0.1", "auth")
    assert house.ask(ask="ban", do="add", network="127.0.0.1", seconds=60)["ok"]
    assert house.ask(ask="status")["bans"] == {"banned": 1, "total": 2}
    assert come(house, site, SECRETS[0]) == b""
    assert house.ask(ask="ban", do="remove", network="127.0.0.1")["removed"] == ["127.0.0.1"]
    assert [each["by"] for each in house.wait("ban-remove")] == ["control"]
    assert come(house, site, SECRETS[0]).endswith(HELLO)
    assert house.curl(house.metrics, "/metrics", "-H", "Authorization: Bearer x") == 401
    assert house.curl(house.metrics, "/metrics", "-H", f"Authorization: Bearer {SECRETS[2]}") == 200
    (token,) = house.wait("token-refused")
    assert (token["service"], token["detail"]) == ("m", "a wrong token")
    finish(house)


def numbers_of_failures(house: House) -> set[int]:
    """Those that the log has."""
    records = [json.loads(line) for line in house.process.log.split("\n")[:-1] if line.startswith("{")]
    return {each["session"] for each in records if each.get("status") == "auth"}


def finish(house: House) -> None:
    """End it; no secret stands anywhere."""
    house.process.signal(signal.SIGTERM)
    assert house.process.wait() == 0
    told = house.told("stop")
    assert [each["by"] for each in told] == ["signal"]
    text = str(lines(house.path))
    assert not [each for each in SECRETS if each in text]
    assert "Traceback" not in house.process.log


@pytest.mark.parametrize("workers", [0, 2], ids=["solo", "workers"])
def test_users_that_come_and_go(workers: int, start: Callable[..., House]) -> None:
    house = start(workers)
    users = "/server/v1/users"
    key = SECRETS[4]
    bob = json.dumps({"username": "bob", "uPSK": key})
    assert house.curl(house.api, users, "-d", bob) == 201
    assert house.curl(house.api, users, "-d", json.dumps({"username": "eve", "uPSK": "no key"})) == 400
    other = base64.b64encode(b"another key....!").decode()
    assert house.curl(house.api, f"{users}/bob", "-X", "PUT", "-d", json.dumps({"uPSK": other})) == 204
    assert house.curl(house.api, f"{users}/bob", "-X", "DELETE") == 204
    assert house.curl(house.api, "/server/v1/stats?clear=true") == 200
    house.wait("stats-clear")
    found = [each for each in lines(house.path) if each.get("service") == "api"]
    assert [(each["event"], each["result"], each.get("user")) for each in found] == [
        ("user-add", "ok", "bob"), ("user-add", "refused", "eve"), ("user-change", "ok", "bob"),
        ("user-remove", "ok", "bob"), ("stats-clear", "ok", None),
    ]  # fmt: skip
    assert {each["inbound"] for each in found} == {"managed"}
    assert all(each["source"].startswith("127.0.0.1:") for each in found)
    assert other not in str(found)
    finish(house)


def test_acts_of_administrators_over_rotations(start: Callable[..., House]) -> None:
    """The master's lines, the workers' and control's: none is lost, whoever rotates when."""
    house = start(2, rotate_size="1 KB", keep=0)
    supervised = house.supervised
    assert supervised is not None
    (began,) = house.wait("start")
    assert (began["by"], began["generation"]) == ("start", 1)
    assert house.ask(ask="reload")["generation"] == 2
    assert supervised.next_generation() == 3
    good = supervised.path.read_text()
    supervised.path.write_text("{")
    refused = house.ask(ask="reload")
    assert not refused["ok"]
    supervised.path.write_text(good)
    assert house.ask(ask="ban", do="add", network="192.0.2.0/24", seconds=60)["ok"]
    assert not house.ask(ask="ban", do="add", network="nonsense", seconds=60)["ok"]
    assert house.ask(ask="ban", do="remove", network="192.0.2.0/24")["ok"]
    assert house.ask(ask="ban", do="list")["ok"]
    for _ in range(10):
        assert house.ask(ask="debug", what="memory")["ok"]
    supervised.next_generation(signal.SIGUSR2)
    house.process.signal(signal.SIGUSR1)
    house.wait("reopen")
    wait_until(lambda: len(files(house.path)) >= 2, "never rotated")
    facts = [
        (each["event"], each["result"], each["by"], each.get("generation"))
        for each in sorted(lines(house.path), key=lambda each: str(each["time"]))
        if each["event"] in {"start", "reload", "upgrade", "reopen"}
    ]
    assert facts == [
        ("start", "ok", "start", 1), ("reload", "ok", "control", 2), ("reload", "ok", "signal", 3),
        ("reload", "refused", "control", 4), ("upgrade", "ok", "signal", None), ("reload", "ok", "upgrade", 5),
        ("reopen", "ok", "signal", None),
    ]  # fmt: skip
    for each in house.told("reload", by="control") + house.told("debug") + house.told("ban-add"):
        assert (each["uid"], each["caller"]) == (os.getuid(), os.getpid())
    assert [(each["prefix"], each["result"], each.get("seconds")) for each in house.told("ban-add")] == [
        ("192.0.2.0/24", "ok", 60), ("nonsense", "refused", None),
    ]  # fmt: skip
    assert [(each["prefix"], each["count"]) for each in house.told("ban-remove")] == [("192.0.2.0/24", 1)]
    assert [each["detail"] for each in house.told("debug")] == ["memory"] * 10
    finish(house)


def test_who_ends_it_stands_in_it(start: Callable[..., House]) -> None:
    house = start(1)
    supervised = house.supervised
    assert supervised is not None
    supervised.write(log=LOG)
    assert house.ask(ask="reload")["ok"]
    assert house.ask(ask="debug", what="memory")["ok"]
    assert [each["event"] for each in lines(house.path)] == ["start", "reload"]
    supervised.stop()


def test_a_flood_of_failures_is_bounded(start: Callable[..., House], site: Server) -> None:
    house = start(1, rate=2, successes=False)
    supervised = house.supervised
    assert supervised is not None
    supervised.write(bans={"enabled": False})
    assert house.ask(ask="reload")["ok"]
    for _ in range(60):
        come(house, site, SECRETS[1])
    wait_until(
        lambda: len(house.told("auth-failure")) + sum(each["count"] for each in house.told("left-out")) == 60,
        lambda: f"not all are told: {lines(house.path)}",
    )
    assert house.told("left-out", detail="auth-failure")
    assert len(lines(house.path)) < 40
    assert not house.told("auth-success")
    finish(house)


def test_a_full_disk_stops_nobody(processes: Processes, site: Server) -> None:
    """The master goes on, and so do the workers; both tell, and so does readiness."""
    folder = processes.folder / "small"
    folder.mkdir()
    port, metrics, control = free_port(), free_port(), str(processes.folder / "control.sock")
    around = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=16k small "{folder}" && exec "$0" "$@"')
    user = {"username": "ada", "password": "right"}
    log = {**LOG, "audit": {"output": str(folder / "audit.log"), "rate": 1000}}
    inbound = {"type": "socks", "tag": "socks", "listen": LOOPBACK, "listen_port": port, "users": [user]}
    service = {"type": "metrics", "listen": LOOPBACK, "listen_port": metrics}
    runtime = {"workers": 1, "control": control}
    process = processes.gproxy(
        {"log": log, "inbounds": [inbound], "services": [service], "runtime": runtime}, around=around
    )
    wait_until(Path(control).exists, lambda: process.log)
    ready = say(metrics, b"GET /ready HTTP/1.0\r\nHost: x\r\n\r\n")
    assert ready.startswith(b"HTTP/1.1 503 ")
    assert f"file {folder}/audit.log: the disk is full".encode() in ready

    def told(text: str) -> bool:
        say(port, b"\x05\x01\x02\x01\x03ada\x01x")
        ask(control, 20, ask="debug", what="memory")
        return text in process.log

    wait_until(lambda: told("lines of the audit log were lost: No space left on device"), lambda: process.log)
    wait_until(lambda: told("audit.log can't be written: No space left on device"), lambda: process.log)
    inside = Path(f"/proc/{process.pid}/root{folder}/audit.log")
    with inside.open("r+b") as file:
        file.truncate(inside.read_bytes().rindex(b"\n", 0, 1000) + 1)
    wait_until(lambda: told("audit.log can be written again"), lambda: process.log)
    assert json.loads(inside.read_bytes().splitlines()[-1])["event"] in {"debug", "auth-failure"}
    assert process.stop() == 0
