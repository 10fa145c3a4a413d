"""A real Prometheus scrapes a loaded gproxy: every panel of the dashboards and every alert has something to look at."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gproxy.wire.dns import types
from gproxy.wire.dns.message import make_query
from tests.e2e.clients import Refused, everything, tunnel
from tests.interop.lab import program
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes, run
from tests.support.tls import Certificate
from tests.support.wait import wait_until

ETC = Path(__file__).parents[2] / "etc"
DASHBOARDS = sorted((ETC / "grafana").glob("*.json"))
RULES = ETC / "prometheus/gproxy.rules.yml"
TOKEN = "of-sixteen-letters-and-more"
USER = ("ada", "pw")

# What an alert waits for that a gproxy in order never shows: the panels and the unit tests have it.
NEVER = frozenset({"GproxyFaults"})

_COMPARED = re.compile(r"(==|>|<)\s*[0-9.]+( \* [0-9]+)?")


class World:
    """gproxy with two workers, some of everything it counts, and a Prometheus beside it."""

    def __init__(self, processes: Processes, site: Server, certificate: Certificate) -> None:
        self.processes = processes
        self.site = site
        self.port, self.limited, self.secure, self.names, self.metrics, self.web = free_ports(6)
        rules = processes.folder / "rules.json"
        rules.write_text('{"version": 3, "rules": [{"domain": ["ruled.test"]}]}')
        upstream = free_port()
        hosts = {"type": "hosts", "predefined": {"known.test": "192.0.2.1"}}
        processes.gproxy(
            {
                "inbounds": [{"type": "dns", "listen": LOOPBACK, "listen_port": upstream}],
                "dns": {"servers": [hosts]},
            }
        )
        users = [{"username": USER[0], "password": USER[1]}]
        tls = {"enabled": True, "certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
        self.config = {
            "log": {"level": "info"},
            "runtime": {"workers": 2, "control": str(processes.folder / "control.sock")},
            "inbounds": [
                {"type": "mixed", "tag": "in", "listen": LOOPBACK, "listen_port": self.port, "users": users},
                {"type": "mixed", "tag": "limited", "listen": LOOPBACK, "listen_port": self.limited, "limits": ["few"]},
                {"type": "http", "tag": "secure", "listen": LOOPBACK, "listen_port": self.secure, "tls": tls},
                {"type": "dns", "tag": "names", "listen": LOOPBACK, "listen_port": self.names},
            ],
            "outbounds": [
                {"type": "direct", "tag": "direct"},
                {
                    "type": "socks", "tag": "dead", "server": LOOPBACK, "server_port": free_port(),
                    "breaker": {"failures": 2, "pause": "5m"},
                },
            ],
            "limits": [{"tag": "few", "connections_per_second": 1}],
            "bans": {"tries": 100_000},
            "route": {
                "default_domain_resolver": "good",
                "rules": [{"domain": ["dead.test"], "outbound": "dead"}],
                "rule_set": [{"type": "local", "tag": "ruled", "format": "source", "path": str(rules)}],
            },
            "dns": {
                "servers": [
                    {"type": "udp", "tag": "good", "server": LOOPBACK, "server_port": upstream},
                    {"type": "tcp", "tag": "silent", "server": LOOPBACK, "server_port": free_port()},
                ],
                "rules": [{"domain": ["silent.test"], "server": "silent"}],
            },
            "services": [{"type": "metrics", "listen": LOOPBACK, "listen_port": self.metrics, "token": TOKEN}],
        }  # fmt: skip

    def start(self) -> None:
        self.processes.gproxy(self.config, tcp=[self.port, self.metrics])
        home = self.processes.folder / "prometheus"
        home.mkdir()
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "gproxy",
                    "authorization": {"credentials": TOKEN},
                    "static_configs": [{"targets": [f"{LOOPBACK}:{self.metrics}"]}],
                }
            ],
        }
        path = home / "prometheus.json"  # JSON is YAML
        path.write_text(json.dumps(config))
        self.processes.start(
            program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={home}/data",
            f"--web.listen-address={LOOPBACK}:{self.web}", "--log.level=warn", tcp=[self.web],
        )  # fmt: skip

        wait_until(self._is_ready, "prometheus is not ready")

    def _is_ready(self) -> bool:
        with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://{LOOPBACK}:{self.web}/-/ready"):
            return True
        return False

    def api(self, path: str, **query: str) -> Any:
        url = f"http://{LOOPBACK}:{self.web}/api/v1/{path}?{urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def found(self, expression: str) -> list[Any]:
        found: list[Any] = self.api("query", query=expression)["result"]
        return [each for each in found if each["value"][1] != "NaN"]

    @contextmanager
    def load(self) -> Iterator[None]:
        """Clients of all sorts, as long as the block lasts."""
        over = threading.Event()

        def run_clients() -> None:
            number = 0
            while not over.wait(0.02):
                number += 1
                self._once(number)

        thread = threading.Thread(target=run_clients)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _once(self, number: int) -> None:
        site = (LOOPBACK, self.site.port)
        with tunnel(self.port, site, USER) as client:
            client.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
            everything(client)
        for port, target, user in (
            (self.port, site, ("ada", "wrong")), (self.limited, site, None), (self.port, ("dead.test", 80), USER),
        ):  # fmt: skip
            with suppress(Refused, OSError):
                tunnel(port, target, user).close()
        for name in (f"n{number}.known.test", "known.test", f"n{number}.silent.test", "silent.test"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.sendto(make_query(name, types.A), (LOOPBACK, self.names))


@pytest.fixture
def world(processes: Processes, site: Server, certificate: Certificate) -> World:
    return World(processes, site, certificate)


def expressions(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Each with its panel's title, and with what Grafana puts in the place of its variables."""
    for panel in json.loads(dashboard.read_text("utf-8"))["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "10s").replace("$job", "gproxy")
            yield f"{dashboard.stem}: {panel['title']}", expression.replace("$instance", ".*")


def test_prometheus_finds_what_dashboards_and_alerts_look_at(world: World) -> None:
    world.start()
    with world.load():
        wanted = [each for dashboard in DASHBOARDS for each in expressions(dashboard)]
        groups = world.api("rules", type="alert")["groups"]
        alerts = [rule for group in groups for rule in group["rules"]]
        assert len(alerts) == len(re.findall(r"^ +- alert: ", RULES.read_text("utf-8"), re.MULTILINE))
        # That a comparison does not hold is what is hoped for: what is compared has to be there.
        wanted += [
            (rule["name"], _COMPARED.sub("> -1e18", rule["query"])) for rule in alerts if rule["name"] not in NEVER
        ]
        empty = wanted

        def all_found() -> bool:
            nonlocal empty
            empty = [(title, expression) for title, expression in empty if not world.found(expression)]
            return not empty

        wait_until(all_found, lambda: f"nothing is found: {empty}", 20.0)
        (target,) = world.api("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        # Prometheus asks for OpenMetrics; and the other format is one that promtool finds good.
        request = urllib.request.Request(f"http://{LOOPBACK}:{world.metrics}/metrics")
        request.add_header("Authorization", f"Bearer {TOKEN}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
    done = run(program("promtool"), "check", "metrics", data=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_alerts_fire_when_they_should_and_not_before() -> None:
    done = run(program("promtool"), "test", "rules", str(Path(__file__).with_name("alerts.test.yml")))
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_every_alert_has_a_runbook_and_a_test() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text("utf-8"))
    runbook = (ETC.parent / "docs/alerts.md").read_text("utf-8")
    tests = Path(__file__).with_name("alerts.test.yml").read_text("utf-8")
    assert re.findall(r"^## (\w+)$", runbook, re.MULTILINE) == names
    for name in names:
        assert f"runbook: docs/alerts.md#{name.lower()}\n" in RULES.read_text("utf-8")
        assert f"alertname: {name}\n" in tests
