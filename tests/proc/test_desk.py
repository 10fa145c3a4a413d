from __future__ import annotations

import gc
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproxy.app.messages import AskDebug, Snapshot
from gproxy.cli.admin import describe
from gproxy.limit.memory import Memory
from gproxy.observe import debug
from gproxy.proc.admin import ask
from gproxy.proc.desk import SoloBans, SoloDesk
from gproxy.rt.offload import offload
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


def look(question: AskDebug) -> dict[str, Any]:
    """As a data plane does, but for where connections would go."""
    if question.connection is not None:
        return {"explained": question.connection}
    return debug.answer(question.what, question.seconds)


class World:
    """A desk, and what it was told to do."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "control.sock")
        self.stopped: list[int] = []
        counted = Snapshot(7, 2, 100, 200, {"ok": 5}, {"proxy": ["open", 3]})
        self.desk = SoloDesk(lambda: counted, lambda: ["127.0.0.1:1/tcp"], lambda: self.stopped.append(1), look)
        self.desk.listen(self.path)

    def ask(self, **values: Any) -> dict[str, Any]:
        return offload(lambda: ask(self.path, 10.0, **values))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.desk.close()
    assert not Path(world.path).exists()


def test_the_status_is_that_of_any_gproxy(world: World) -> None:
    facts = world.ask(ask="status")
    assert facts["generations"][0]["workers"] == {"0": os.getpid()}
    assert describe(facts)[1:] == [
        "listening on 127.0.0.1:1/tcp",
        f"generation 1 serving for 0 s, 2 clients, workers {os.getpid()}",
        "  breaker of proxy: open in 1 of its workers, opened 3 times",
        "clients: 2 now, 7 in all; 100 B from them, 200 B to them",
        "sessions ended: 5 ok",
    ]


def test_stop(world: World) -> None:
    assert world.ask(ask="stop") == {"ok": True}
    wait_until(lambda: world.stopped, "not stopped")


@pytest.mark.parametrize("what", ["stacks", "lag", "memory", "profile"])
def test_a_look_into_it(what: str, world: World) -> None:
    (only,) = world.ask(ask="debug", what=what, seconds=0.05)["processes"]
    assert (only["generation"], only["worker"], only["pid"]) == (1, 0, os.getpid())
    assert "error" not in only


def test_where_a_connection_would_go(world: World) -> None:
    (only,) = world.ask(ask="explain", worker=0, connection={"target": "a.test:1"})["processes"]
    assert only == {"generation": 1, "worker": 0, "pid": os.getpid(), "explained": {"target": "a.test:1"}}
    assert world.ask(ask="explain", connection={})["ok"] is False


def test_another_worker_is_none(world: World) -> None:
    assert world.ask(ask="debug", what="lag", worker=1) == {"ok": True, "processes": []}


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"ask": "reload"}, "reload needs worker processes (runtime.workers)"),
        ({"ask": "upgrade"}, "upgrade needs worker processes (runtime.workers)"),
        ({"ask": "debug", "what": "x"}, "what is one of stacks, lag, memory, profile"),
        ({"ask": "me"}, "ask one of status, stop, ban, debug, explain"),
        ({}, "ask one of status, stop, ban, debug, explain"),
    ],
)
def test_what_it_does_not_do(values: dict[str, Any], error: str, world: World) -> None:
    assert world.ask(**values) == {"ok": False, "error": error}


def test_garbage(world: World) -> None:
    assert world.ask(ask="x" * 5000)["ok"] is False
    assert json.dumps(world.ask(ask="status"))


def test_the_socket_is_for_its_owner(world: World) -> None:
    assert Path(world.path).stat().st_mode & 0o777 == 0o600


def test_bans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gproxy.control")
    path = str(tmp_path / "x.sock")
    bans: SoloBans | None = SoloBans(Memory(), ["192.0.2.1/32"])
    desk: SoloDesk | None = SoloDesk(lambda: Snapshot(0, 0, 0, 0, {}), list, lambda: None, look, bans)
    assert desk is not None
    desk.listen(path)

    def asked(**values: Any) -> dict[str, Any]:
        return offload(lambda: ask(path, 10.0, **values))

    assert asked(ask="ban", do="add", network="192.0.2.7", seconds=60)["ok"]
    assert not asked(ask="ban", do="add", network="192.0.2.1", seconds=60)["ok"]
    assert [each["network"] for each in asked(ask="ban", do="list")["bans"]] == ["192.0.2.7"]
    status = asked(ask="status")
    assert status["bans"] == {"banned": 1, "total": 1}
    assert "bans: 1 now, 1 in all" in describe(status)
    assert asked(ask="ban", do="remove", network="192.0.2.7")["removed"] == ["192.0.2.7"]
    assert asked(ask="status")["bans"] == {"banned": 0, "total": 1}
    assert [each.getMessage().partition(" ")[0] for each in caplog.records] == ["192.0.2.7"] * 2
    desk.close()
    desk = bans = None
    gc.collect()  # their memory


def test_without_a_table_nobody_is_banned(tmp_path: Path) -> None:
    path = str(tmp_path / "x.sock")
    desk = SoloDesk(lambda: Snapshot(0, 0, 0, 0, {}), list, lambda: None, look)
    desk.listen(path)
    assert offload(lambda: ask(path, 10.0, ask="ban", do="list"))["error"].startswith("nobody is banned")
    assert "bans" not in offload(lambda: ask(path, 10.0, ask="status"))
    desk.close()
