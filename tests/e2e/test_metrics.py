"""Metrics of real processes: totals that never fall, and who is told them."""

from __future__ import annotations

import re
import signal
import socket
from typing import Any

import pytest

from tests.e2e.clients import tunnel
from tests.e2e.supervised import Supervised, children, kill
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, curl
from tests.support.tls import Certificate
from tests.support.wait import wait_until

TOKEN = "of-sixteen-letters-and-more"
USER = ("ada", "pw")


class World:
    """A proxy with metrics, and a site."""

    def __init__(self, processes: Processes, site: Server, **service: Any) -> None:
        self.processes = processes
        self.site = site
        self.port, self.metrics = free_port(), free_port()
        where = {} if "listen" in service else {"listen": LOOPBACK, "listen_port": self.metrics}
        self.service: dict[str, Any] = {"type": "metrics", **where, **service}
        self.inbound = {
            "type": "socks", "tag": "in", "listen": LOOPBACK, "listen_port": self.port,
            "users": [{"username": USER[0], "password": USER[1]}],
        }  # fmt: skip

    def start(self, workers: int = 2, **tables: Any) -> Supervised:
        return Supervised.start(self.processes, self.inbound, workers=workers, services=[self.service], **tables)

    def ask(self, path: str, *arguments: str, url: str = "") -> tuple[int, str]:
        url = url or f"http://{LOOPBACK}:{self.metrics}"
        text = curl("-w", "\n%{http_code}", *arguments, url + path).decode()
        body, _, status = text.rpartition("\n")
        return int(status), body

    def values(self) -> dict[str, float]:
        status, body = self.ask("/metrics")
        assert status == 200, body
        found = re.findall(r"^([^# ][^ ]*) (\S+)$", body, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def totals(self) -> dict[str, float]:
        return {name: value for name, value in self.values().items() if "_total" in name or "_count" in name}

    def fetch(self, times: int = 1) -> None:
        for _ in range(times):
            with tunnel(self.port, (LOOPBACK, self.site.port), USER) as client:
                client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                heard = b""
                while piece := client.recv(65536):
                    heard += piece
                assert HELLO in heard

    def wait_value(self, name: str, value: float) -> None:
        wait_until(lambda: self.values().get(name) == value, lambda: f"{name} is not {value}: {self.values()}")


SESSIONS = 'gproxy_sessions_total{inbound="in",outbound="direct",status="ok"}'


def test_totals_never_fall(processes: Processes, site: Server) -> None:
    """Over a killed worker, a killed control, a reload and an upgrade."""
    world = World(processes, site)
    proxy = world.start()
    world.fetch(10)
    world.wait_value(SESSIONS, 10)
    before = world.totals()
    assert before['gproxy_user_sessions_total{user="ada",network="tcp"}'] == 10
    assert before['gproxy_down_bytes_total{inbound="in",outbound="direct"}'] > 10 * len(HELLO)
    assert before['gproxy_dial_seconds_count{outbound="direct"}'] == 10
    for event in ("worker", "control", "reload", "upgrade"):
        if event == "worker":
            pid = proxy.workers()["0"]
            kill(pid)
            wait_until(lambda pid=pid: proxy.workers()["0"] != pid, "it is not replaced")  # type: ignore[misc]
            world.wait_value('gproxy_process_starts_total{process="worker0"}', 2)
        elif event == "control":
            (template,) = children(proxy.process.pid)
            control = next(pid for pid in children(template) if pid not in proxy.workers().values())
            kill(control)
            world.wait_value('gproxy_process_starts_total{process="control"}', 2)
        else:
            number = proxy.next_generation(signal.SIGHUP if event == "reload" else signal.SIGUSR2)
            world.wait_value("gproxy_generation", number)
        after = world.totals()
        assert {name for name in before if after.get(name, -1) < before[name]} == set(), event
        before = after
    world.fetch(5)
    world.wait_value(SESSIONS, 15)
    proxy.stop()


def test_readiness_of_processes(processes: Processes, site: Server) -> None:
    world = World(processes, site, upstreams={"direct": f"{LOOPBACK}:{site.port}"})
    proxy = world.start()
    wait_until(lambda: world.ask("/ready")[0] == 200, lambda: world.ask("/ready")[1])
    assert world.values()['gproxy_workers{state="serving"}'] == 2
    pid = proxy.workers()["1"]
    kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: world.ask("/ready")[0] == 503, "a worker that hangs is not seen")
        assert "workers: 1 of 2 serve" in world.ask("/ready")[1]
        assert world.ask("/health")[0] == 200
    finally:
        kill(pid, signal.SIGCONT)
    wait_until(lambda: world.ask("/ready")[0] == 200, lambda: world.ask("/ready")[1])
    proxy.stop()


def test_a_token_and_tls(processes: Processes, site: Server, certificate: Certificate) -> None:
    tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    world = World(processes, site, token=TOKEN, tls=tls)
    process = processes.gproxy({"inbounds": [world.inbound], "services": [world.service]})
    process.wait_log("is ready")
    url = f"https://{LOOPBACK}:{world.metrics}"
    assert world.ask("/metrics", "-k", url=url)[0] == 401
    status, body = world.ask("/metrics", "-k", "-H", f"Authorization: Bearer {TOKEN}", url=url)
    assert status == 200
    assert "gproxy_certificate_expiry_timestamp_seconds{" in body
    assert world.ask("/ready", "-k", url=url) == (200, "ready\n")
    assert TOKEN not in process.log


def test_a_unix_socket(processes: Processes, site: Server) -> None:
    path = processes.folder / "metrics.sock"
    world = World(processes, site, listen=f"unix:{path}")
    process = processes.gproxy({"inbounds": [world.inbound], "services": [world.service]})
    process.wait_log("is ready")
    status, body = world.ask("/metrics", "--unix-socket", str(path), url="http://x")
    assert status == 200
    assert 'gproxy_workers{state="serving"} 1\n' in body


@pytest.mark.parametrize("tree", [{"upstreams": {"none": "192.0.2.1:1"}}])
def test_an_upstream_that_is_none(processes: Processes, site: Server, tree: dict[str, Any]) -> None:
    world = World(processes, site, **tree)
    process = processes.gproxy({"inbounds": [world.inbound], "services": [world.service]}, tcp=())
    assert process.wait() != 0
    assert "no outbound has the tag `none`" in process.log
