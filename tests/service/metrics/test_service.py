from __future__ import annotations

import logging
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from gproxy.limit.memory import Memory
from gproxy.observe.timing import Timing
from gproxy.rt.group import Group
from gproxy.schema.model import read
from gproxy.service import http
from gproxy.service.management import Management, ServiceWiring
from gproxy.service.metrics import SERVICE
from gproxy.service.metrics.board import Board, Shown
from gproxy.service.metrics.options import MetricsOptions
from gproxy.service.metrics.service import Metrics
from gproxy.service.metrics.totals import Totals
from gproxy.service.metrics.view import View
from gproxy.wire.http1 import MAX_HEAD
from tests.support.audit import AuditFile
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")

TOKEN = "a token of some letters".replace(" ", "-")


class Case:
    """A service, before two workers of which one shows itself."""

    def __init__(self, **tree: Any) -> None:
        options = read(MetricsOptions, {"type": "metrics", "listen_port": 1, **tree}, (), [])
        assert options is not None
        memory = Memory()
        self.view = View(Totals(memory, 10), Board(memory), 1, generation=3)
        self.view.board.join()
        self.show("serving")
        wiring = ServiceWiring("0", Management({}), logging.getLogger("gproxy.test"), self.view)
        self.service: Metrics = SERVICE.build(options, wiring)
        self.service.load([])
        self.service.go_on()

    def show(self, state: str) -> None:
        self.view.board.show(Shown(0, 3, state, gauges=[("open", ["in"], 2), ("resident", [], 4096)]))

    def ask(self, path: str, *lines: str, method: str = "GET") -> tuple[int, str, str]:
        """The status, the head and the body."""
        heard = self.say("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())
        head, _, body = heard.partition("\r\n\r\n")
        return int(head.split()[1]), head, body

    def say(self, data: bytes) -> str:
        client, server = pipe()
        with Group("test") as group:
            group.spawn(self._serve, server)
            client.sendall(data)
            client.close_write()
            heard = b""
            while piece := client.recv():
                heard += piece
            assert group.join(30)
        client.close()
        return heard.decode()

    def _serve(self, server: Any) -> None:
        try:
            self.service.accept(server)
        finally:
            server.close()


def test_metrics() -> None:
    case = Case()
    case.view.totals.add([(("session", "in", "out", "ok"), (5,)), (("cpu", "worker0"), (1_500_000,))])
    status, head, body = case.ask("/metrics")
    assert status == 200
    assert "Content-Type: text/plain; version=0.0.4" in head
    assert 'gproxy_sessions_total{inbound="in",outbound="out",status="ok"} 5\n' in body
    assert 'gproxy_process_cpu_seconds_total{process="worker0"} 1.5\n' in body
    assert 'gproxy_connections_open{inbound="in"} 2\n' in body
    assert 'gproxy_process_resident_memory_bytes{process="worker0",generation="3"} 4096\n' in body
    assert "gproxy_generation 3\n" in body
    assert "gproxy_ready 1\n" in body


def test_openmetrics_for_who_asks_for_it() -> None:
    _, head, body = Case().ask("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in head
    assert body.endswith("# EOF\n")


def test_the_token() -> None:
    case = Case(token=TOKEN)
    for lines in (
        (),
        ("Authorization: Bearer wrong",),
        (f"Authorization: Basic {TOKEN}",),
        (f"Authorization: {TOKEN}",),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"),
        ("Authorization: Bearer ",),
    ):
        status, head, body = case.ask("/metrics", *lines)
        assert status == 401
        assert "WWW-Authenticate: Bearer" in head
        assert "gproxy_" not in body
    assert case.ask("/metrics", f"Authorization: bearer {TOKEN}")[0] == 200
    assert case.ask("/health")[0] == 200


def test_who_has_no_token_is_not_told_what_is_wrong() -> None:
    case = Case(token=TOKEN)
    case.show("draining")
    assert case.ask("/ready")[::2] == (503, "not ready\n")
    assert "workers: 0 of 1 serve" in case.ask("/ready", f"Authorization: Bearer {TOKEN}")[2]


def test_ready_is_the_generation_that_serves() -> None:
    case = Case()
    assert case.ask("/ready")[0] == 200
    case.service.hold()
    case.service.save()
    assert case.ask("/ready")[0] == 503
    assert "gproxy_ready 0\n" in case.ask("/metrics")[2]
    assert case.ask("/health")[0] == 200
    case.service.go_on()
    assert case.ask("/ready")[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /metrics/more HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\n\r\n", 403),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (MAX_HEAD + 1), 431),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (http.MOST + 1), 413),
        (b"what\r\n\r\n", 400),
    ],
)
def test_what_is_no_good_request(request_: bytes, status: int) -> None:
    assert Case().say(request_).split()[1] == str(status)


def test_a_scrape_of_two_thousand_series_is_quick() -> None:
    """It is counted in processor time of a busy machine: the least of some is what it takes."""
    case = Case()
    for index in range(100):
        case.view.totals.add([(("dial", f"out{index}"), Timing().values())])
    case.view.totals.add([(("session", "in", f"out{index}", "ok"), (index,)) for index in range(400)])
    times: list[float] = []
    body = ""
    for _ in range(10):
        began = process_time()
        _, _, body = case.ask("/metrics")
        times.append(process_time() - began)
    assert sum(not line.startswith("#") for line in body.splitlines()) >= 2000
    assert min(times) < 0.020, times


def test_newer_code_may_count_what_is_not_known() -> None:
    case = Case()
    case.view.totals.add([(("unheard of", "x"), (1,)), (("moved", "in", "out"), (1, 2))])
    case.view.board.show(Shown(0, 3, "serving", gauges=[("unheard of", ["x"], 1)]))
    status, _, body = case.ask("/metrics")
    assert (status, "unheard" in body) == (200, False)


def test_who_has_no_token_stands_in_the_audit_log(tmp_path: Path) -> None:
    log, case = AuditFile(tmp_path), Case(token=TOKEN)
    with log.open():
        assert case.ask("/metrics")[0] == 401
        assert case.ask("/metrics", "Authorization: Bearer another token")[0] == 401
        assert case.ask("/metrics", f"Authorization: Bearer {TOKEN}")[0] == 200
        assert case.ask("/health")[0] == 200
    told = {"event": "token-refused", "result": "refused", "by": "api", "service": "0"}
    assert log.events() == [{**told, "detail": "no token"}, {**told, "detail": "a wrong token"}]
