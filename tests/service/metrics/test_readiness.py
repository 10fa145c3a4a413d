from __future__ import annotations

from pathlib import Path

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound
from gproxy.base.session import Session
from gproxy.limit.memory import Memory
from gproxy.service.metrics import readiness as module
from gproxy.service.metrics.board import Board, Shown
from gproxy.service.metrics.readiness import Readiness, writable
from gproxy.service.metrics.totals import Totals
from gproxy.service.metrics.view import View
from tests.support.clock import HeldClock
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


class Way:
    """An outbound that reaches one address."""

    def __init__(self) -> None:
        self.asked: list[Address] = []

    def dial(self, target: Address, session: Session):  # type: ignore[no-untyped-def]
        self.asked.append(target)
        if target.port != 443:
            raise DialError("nobody is there", reason="refused")
        ours, theirs = pipe()
        theirs.close()
        return ours


class Case:
    def __init__(self, workers: int = 1, **upstreams: str) -> None:
        memory = Memory()
        self.way = Way()
        self.view = View(Totals(memory, 10), Board(memory), workers, 1, outbound=self._outbound)
        self.view.board.join()
        self.readiness = Readiness(self.view, upstreams)
        self.readiness.serving = True
        self.show()

    def _outbound(self, tag: str) -> Outbound:
        return self.way  # type: ignore[return-value]

    def show(self, worker: int = 0, state: str = "serving", *, generation: int = 1, paused: int = 0) -> None:
        self.view.board.show(Shown(worker, generation, state, gauges=[("paused", [], paused)]))

    def problems(self) -> dict[str, str]:
        return {check.name: check.problem for check in self.readiness.checks() if check.problem}


def test_all_is_well() -> None:
    assert Case().problems() == {}


def test_workers_that_do_not_serve() -> None:
    case = Case()
    case.show(state="draining")
    assert case.problems() == {"workers": "0 of 1 serve"}
    case.show(generation=2)
    assert case.problems() == {"workers": "0 of 1 serve"}
    assert Case(workers=2).problems() == {"workers": "1 of 2 serve"}


def test_a_worker_that_hangs(held_clock: HeldClock) -> None:
    case = Case()
    held_clock.advance(4.0)
    assert case.problems() == {}
    held_clock.advance(2.0)
    assert case.problems() == {"workers": "0 of 1 serve"}


def test_memory_that_is_short() -> None:
    case = Case()
    case.show(paused=1)
    assert case.problems() == {"memory": "it is short: worker0"}


def test_another_generation_serves() -> None:
    case = Case()
    case.readiness.serving = False
    assert list(case.problems()) == ["generation"]


def test_upstreams() -> None:
    case = Case(good="192.0.2.1:443", bad="192.0.2.1:80")
    assert case.problems() == {"upstream bad": "nobody is there"}
    case.problems()
    assert len(case.way.asked) == 2, "they are not tried each time"


def test_a_log_that_can_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case()
    case.view.files.append(str(tmp_path / "none" / "log"))
    assert case.problems() == {f"file {tmp_path}/none/log": "No such file or directory"}
    path = str(tmp_path / "log")
    assert writable(path) == ""
    monkeypatch.setattr(module, "_LEAST_FREE", 1 << 62)
    assert writable(path) == "the disk is full"
