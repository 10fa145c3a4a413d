"""A real template with real workers; the test is its master."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.messages import (
    AskDebug,
    Debugged,
    Prepared,
    Reopen,
    Serve,
    Serving,
    Stop,
    StopNow,
    Traffic,
    Users,
    Yield,
    Yielded,
)
from gproxy.base.clock import now
from gproxy.limit.memory import Memory
from gproxy.proc import orders
from gproxy.proc.arguments import Sources
from gproxy.proc.generation import Generation
from gproxy.proc.post import PostClosed
from gproxy.proc.slots import Slots
from gproxy.schema.acme import AcmeProvider
from gproxy.service.acme.store import Store
from tests.service.acme.test_certificates import issued
from tests.support.ports import LOOPBACK, free_port
from tests.support.wait import wait_until

PATIENCE = 30.0


class Played:
    """The master's part."""

    def __init__(self, folder: Path, workers: int = 2, **tables: Any) -> None:
        self.port = free_port()
        inbound = {"type": "mixed", "listen": LOOPBACK, "listen_port": self.port}
        path = folder / "c.json"
        runtime = {"workers": workers, "stop_grace": "1s"}
        path.write_text(json.dumps({"inbounds": [inbound], "runtime": runtime, **tables}))
        self.slots = Slots()
        self.heard: list[Any] = []
        self.memory = Memory()
        self.generation = Generation.start(1, Sources([str(path)]), now(), self.memory.fd)
        self.post = self.generation.post

    def wait(self, kind: type) -> Any:
        """The next message of this kind. All others are in `heard`."""
        while True:
            assert select.select([self.post], [], [], PATIENCE)[0], (kind, self.heard)
            message, descriptors = self.post.receive()
            assert descriptors == []
            self.heard.append(message)
            if isinstance(message, kind):
                return message

    def begin(self, plan: orders.Plan | None = None, load: list[str] | None = None) -> dict[int, int]:
        """Bring it so far that it serves; its processes."""
        plan = plan or self.wait(orders.Plan)
        self.generation.accept_plan(plan)
        self.slots.open(self.generation.endpoints, plan.workers, shared=True)
        for index, endpoint in enumerate(self.generation.endpoints):
            fds = [sock.fileno() for sock in self.slots.of(endpoint)]
            self.post.send(orders.Sockets([[index, slot] for slot in range(len(fds))]), fds)
        self.post.send(orders.Fork(load))
        self.wait(Prepared)
        self.post.send(Serve())
        self.wait(Serving)
        return {each.worker: each.pid for each in self.heard if isinstance(each, orders.Forked)}

    def greet(self) -> bytes:
        """What a SOCKS client hears."""
        with socket.create_connection((LOOPBACK, self.port), 10) as sock:
            sock.sendall(b"\x05\x01\x00")
            return sock.recv(2)

    def end(self) -> int:
        """Its exit code, when it has ended."""
        with pytest.raises(PostClosed):
            while True:
                self.wait(object)
        _, status = os.waitpid(self.generation.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """Leave nothing."""
        self.post.close()
        self.slots.close()
        try:
            os.kill(self.generation.pid, signal.SIGKILL)
            os.waitpid(self.generation.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    played = Played(tmp_path)
    yield played
    played.close()


def test_a_life(played: Played) -> None:
    processes = played.begin()
    assert sorted(processes) == [orders.CONTROL, 0, 1]
    assert played.greet() == b"\x05\x00"
    played.post.send(orders.AskStatus(7))
    assert played.wait(orders.Status).request == 7
    played.post.send(Yield())
    played.wait(Yielded)
    played.post.send(Stop(0.5))
    assert played.end() == 0
    assert isinstance(played.heard[-1], orders.Status), "the last word are the final counters"
    assert played.heard[-1].counters["opened"] == 1


def test_a_look_into_its_processes(played: Played) -> None:
    processes = played.begin()
    played.post.send(AskDebug(3, "memory", 1.0))
    seen = [played.wait(Debugged) for _ in range(3)]
    assert {each.worker: each.pid for each in seen} == processes
    assert all(each.request == 3 and each.facts["resident"] > 0 for each in seen)
    played.post.send(AskDebug(4, "lag", 0.05, 1))
    only = played.wait(Debugged)
    assert (only.request, only.worker, only.pid) == (4, 1, processes[1])
    played.post.send(StopNow())
    assert played.end() == 0


def test_its_control_rotates_and_says_so(tmp_path: Path) -> None:
    """And the one that has yielded does not: another one is there for that."""
    log = tmp_path / "access.log"
    log.write_text("x" * 2000 + "\n")
    played = Played(tmp_path, log={"access": {"output": str(log), "rotate_size": "1 KB", "compress": False}})
    try:
        played.begin()
        if not any(isinstance(each, orders.Rotated) for each in played.heard):
            played.wait(orders.Rotated)
        assert [each.stat().st_size for each in tmp_path.glob("access.log.*Z")] == [2001]
        played.post.send(Reopen())
        wait_until(log.exists, "not opened anew")
        played.post.send(Yield())
        played.wait(Yielded)
        log.write_text("x" * 2000 + "\n")
        played.post.send(Stop(1.2))
        assert played.end() == 0
        assert sum(isinstance(each, orders.Rotated) for each in played.heard) == 1
    finally:
        played.close()


def test_an_access_log_that_can_t_be_opened_is_refused(tmp_path: Path) -> None:
    played = Played(tmp_path, log={"access": {"output": str(tmp_path / "no" / "access.log")}})
    try:
        assert "can't open the access log" in played.wait(orders.Refused).report
    finally:
        played.close()


def test_a_dead_worker_is_told_and_forked_again_on_order(played: Played) -> None:
    pid = played.begin()[1]
    os.kill(pid, signal.SIGKILL)
    assert played.wait(orders.Died) == orders.Died(1, pid, "was killed by SIGKILL")
    played.post.send(orders.ForkAgain(1))
    assert played.wait(orders.Forked).worker == 1
    assert all(played.greet() == b"\x05\x00" for _ in range(10))
    played.post.send(StopNow())
    assert played.end() == 0
    assert [each for each in played.heard if isinstance(each, Prepared | Serving)] == [Prepared(), Serving()]


def test_after_yield_it_can_go_on(played: Played) -> None:
    """What it made room for did not come."""
    played.begin()
    played.post.send(Yield())
    played.wait(Yielded)
    played.post.send(Serve())
    assert all(played.greet() == b"\x05\x00" for _ in range(10))
    played.post.send(StopNow())
    assert played.end() == 0


def test_it_yields_as_often_as_it_is_told_to(played: Played) -> None:
    played.begin()
    for _ in range(2):
        played.post.send(Yield())
        played.wait(Yielded)
        played.post.send(Serve())
    played.post.send(StopNow())
    assert played.end() == 0


def test_users_and_traffic_go_through_it(tmp_path: Path) -> None:
    """What the master says of users reaches the service; what that says reaches the master; books are handed on."""
    port, api = free_port(), free_port()
    inbound = {
        "type": "shadowsocks", "tag": "in", "listen": LOOPBACK, "listen_port": port, "method": "aes-128-gcm",
        "managed": True,
    }  # fmt: skip
    service = {"type": "ssm-api", "listen": LOOPBACK, "listen_port": api, "servers": {"/": "in"}}
    played = Played(tmp_path, inbounds=[inbound], services=[service])
    try:
        plan = played.wait(orders.Plan)
        assert plan.managed == ["in"]
        played.post.send(Users("in", [["ada", "x"]]))
        played.begin(plan, load=[])
        played.post.send(Traffic([["in", "ada", 5, 0, 0, 0, 1, 0]]))

        def ask(method: str, path: str, body: str = "") -> bytes:
            with socket.create_connection((LOOPBACK, api), 10) as sock:
                head = f"{method} /server/v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                sock.sendall((head + body).encode())
                answer = b""
                while data := sock.recv(4096):
                    answer += data
                return answer

        wait_until(lambda: b'"uplinkBytes":5,' in ask("GET", "users/ada"), "the traffic does not arrive")
        assert ask("POST", "users", '{"username": "bob", "uPSK": "y"}').startswith(b"HTTP/1.1 201 ")
        assert played.wait(Users) == Users("in", [["ada", "x"], ["bob", "y"]])
        assert ask("DELETE", "users/ada").startswith(b"HTTP/1.1 204 ")
        played.wait(Users)
        played.post.send(Yield())
        played.wait(Yielded)
        played.post.send(Stop(0.1))
        assert played.wait(Traffic).rows == [["in", "", 5, 0, 0, 0, 1, 0]], "of a user that is none any more"
        assert played.end() == 0
    finally:
        played.close()


def test_certificates_that_came_are_shown_by_all_workers(tmp_path: Path) -> None:
    """This one comes after everything was loaded, and before control looks for it: as if it had been issued then."""
    port, http = free_port(), free_port()
    acme = {
        "type": "acme", "tag": "c", "domain": "site.test", "data_directory": str(tmp_path),
        "provider": f"https://{LOOPBACK}:{free_port()}/dir", "alternative_http_port": http,
    }  # fmt: skip
    tls = {"enabled": True, "certificate_provider": "c"}
    inbound = {"type": "http", "listen": LOOPBACK, "listen_port": port, "tls": tls}
    played = Played(tmp_path, inbounds=[inbound], certificate_providers=[acme])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def shown() -> bytes | None:
        with socket.create_connection((LOOPBACK, port), 10) as sock:
            try:
                with context.wrap_socket(sock, server_hostname="site.test") as wrapped:
                    return wrapped.getpeercert(binary_form=True)
            except (ssl.SSLError, ConnectionError):
                return None

    try:
        plan = played.wait(orders.Plan)
        made = issued("site.test")
        Store(AcmeProvider(**{**acme, "domain": ("site.test",)})).keep(made)
        processes = played.begin(plan)
        wait_until(lambda: all(shown() for _ in range(8)), "a worker does not show it")
        assert ssl.DER_cert_to_PEM_cert(shown() or b"") == made.chain.decode()
        os.kill(processes[1], signal.SIGKILL)
        played.wait(orders.Died)
        played.post.send(orders.ForkAgain(1))
        assert played.wait(orders.Forked).worker == 1
        assert all(shown() for _ in range(16))
        played.post.send(Yield())
        played.wait(Yielded)
        played.post.send(StopNow())
        assert played.end() == 0
    finally:
        played.close()


def test_without_a_master_it_finishes(played: Played) -> None:
    processes = played.begin()
    played.post.close()
    _, status = os.waitpid(played.generation.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes.values())


def test_a_refusal(tmp_path: Path) -> None:
    played = Played(tmp_path, workers=-1)
    assert "runtime.workers" in played.wait(orders.Refused).report
    assert played.end() == 1
    played.close()


NO_HUB = """
from gproxy.rt.patch import hub_exists, patch
patch()
import sys
from gproxy.proc import template
from gproxy.proc.arguments import Arguments, Sources
root = template._load(Arguments(Sources([sys.argv[1]]), 0))
template._open_log(root)
assert template.build(root).doors
assert not hub_exists()
"""


def test_loading_makes_no_hub(tmp_path: Path) -> None:
    """Whatever kinds of inbounds, outbounds and rules there are: what is forked has nothing of gevent in it yet."""
    path = tmp_path / "c.json"
    inbounds = [
        {"type": kind, "tag": kind, "listen": LOOPBACK, "listen_port": port}
        for port, kind in enumerate(("mixed", "socks", "http", "direct"), 20_000)
    ]
    outbounds = [{"type": kind, "server": LOOPBACK, "server_port": 9, "tag": kind} for kind in ("socks", "http")]
    rules = [{"domain_suffix": "test", "ip_cidr": "10.0.0.0/8", "outbound": "http"}, {"port": 25, "action": "reject"}]
    acme = {"type": "acme", "tag": "c", "domain": "site.test", "data_directory": str(tmp_path)}
    inbounds[2]["tls"] = {"enabled": True, "certificate_provider": "c"}
    config = {
        "inbounds": inbounds, "outbounds": outbounds, "route": {"rules": rules}, "certificate_providers": [acme],
    }  # fmt: skip
    path.write_text(json.dumps(config))
    done = subprocess.run([sys.executable, "-c", NO_HUB, str(path)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
