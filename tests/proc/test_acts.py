from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from gproxy.observe.events import Event
from gproxy.proc.acts import Act, Record, acted


class Asked:
    """Stands for a request of the control socket."""

    uid, pid = 1000, 4711

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.answers: list[dict[str, Any]] = []

    def answer(self, **values: Any) -> None:
        self.answers.append(values)


def told(asked: dict[str, Any], **answer: Any) -> Event | None:
    """What is written when this is answered so; the answer goes on."""
    request, written = Asked(**asked), cast(list[Event], [])
    act = acted(cast(Any, request), written.append)
    assert act.values == asked
    act.answer(**answer)
    assert request.answers == [answer]
    return written[0] if written else None


BAN = {"network": "192.0.2.0/24", "left": 60.0, "length": 60.0, "times": 1, "reason": "manual"}


@pytest.mark.parametrize(
    ("asked", "answer", "event"),
    [
        ({"ask": "reload"}, {"ok": True, "generation": 3}, Event("reload", "ok", generation=3)),
        (
            {"ask": "reload"},
            {"ok": False, "error": "the report", "code": 3, "generation": 4},
            Event("reload", "refused", generation=4, detail="the report"),
        ),
        ({"ask": "stop"}, {"ok": True}, Event("stop", "ok")),
        ({"ask": "upgrade"}, {"ok": True, "message": "upgrading"}, Event("upgrade", "ok")),
        ({"ask": "debug", "what": "lag"}, {"ok": True, "processes": []}, Event("debug", "ok", detail="lag")),
        ({"ask": "debug", "what": 7}, {"ok": False, "error": "no"}, Event("debug", "refused", detail="no")),
        (
            {"ask": "ban", "do": "add", "network": "192.0.2.7/24", "seconds": 60},
            {"ok": True, "ban": BAN},
            Event("ban-add", "ok", prefix="192.0.2.0/24", seconds=60.0),
        ),
        (
            {"ask": "ban", "do": "add", "network": "x" * 1000},
            {"ok": False, "error": "expected an address"},
            Event("ban-add", "refused", prefix="x" * 64, detail="expected an address"),
        ),
        (
            {"ask": "ban", "do": "remove", "network": "192.0.2.7"},
            {"ok": True, "removed": ["192.0.2.0/24"]},
            Event("ban-remove", "ok", prefix="192.0.2.7", count=1),
        ),
    ],
)
def test_what_is_written_of_an_act(asked: dict[str, Any], answer: dict[str, Any], event: Event) -> None:
    written = told(asked, **answer)
    assert written is not None
    assert (written.by, written.uid, written.caller) == ("control", 1000, 4711)
    fields = ("event", "result", "prefix", "seconds", "count", "generation", "detail")
    assert [getattr(written, name) for name in fields] == [getattr(event, name) for name in fields]


@pytest.mark.parametrize(
    "asked",
    [{"ask": "status"}, {"ask": "ban", "do": "list"}, {"ask": "ban"}, {"ask": "ban", "do": []}, {"ask": []}, {}],
)
def test_to_look_is_no_act(asked: dict[str, Any]) -> None:
    assert told(asked, ok=True) is None


def test_a_signal() -> None:
    written: list[Event] = []
    Act(written.append, "reload").answer(ok=True, generation=2)
    Act(written.append, "start", by="start").answer(ok=True)
    assert written == [Event("reload", "ok", "signal", generation=2), Event("start", "ok", "start")]


# -- the master's lines ------------------------------------------------------------------------------------------------


class World:
    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, str]] = []
        self.record = Record(lambda level, text: self.said.append((level, text)))
        self.path = folder / "audit.log"

    def become(self, path: Path | None = None, form: str = "$event") -> None:
        self.record.become({"output": str(path or self.path), "format": form, "clients": "whole"})

    def write(self, *events: str) -> None:
        for event in events:
            self.record.write(Event(event))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_a_table_nothing_is_written(world: World) -> None:
    world.write("stop")
    world.record.become(None)
    world.write("stop")
    assert world.said == []


def test_lines_are_added_and_moved_files_left_alone(world: World) -> None:
    world.become()
    world.write("stop")
    moved = world.path.rename(world.path.with_suffix(".1"))
    world.write("debug", "debug")
    assert (moved.read_text(), world.path.read_text()) == ("stop\n", "debug\ndebug\n")
    world.become(form="json")
    world.write("stop")
    entry = json.loads(world.path.read_text().splitlines()[-1])
    assert (entry["event"], entry["pid"]) == ("stop", os.getpid())


def test_the_file_before_gets_what_ended_it(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    world.become()
    world.become(other)
    world.write("reload")
    world.record.settle()
    world.write("stop")
    assert (world.path.read_text(), other.read_text()) == ("reload\n", "reload\nstop\n")
    world.record.become(None)
    world.write("reload")
    world.record.settle()
    world.write("stop")
    assert other.read_text() == "reload\nstop\nreload\n"
    world.become()
    world.become()
    world.write("reload")
    assert world.path.read_text() == "reload\n" * 2, "once, though it was the file before as well"


def test_what_can_t_be_written_is_told_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.become(world.path.parent / "gone" / "audit.log")
    world.write("stop", "stop")
    assert world.said == [
        ("error", f"the audit log {world.path.parent}/gone/audit.log can't be written: No such file or directory")
    ]
    (world.path.parent / "gone").mkdir()
    world.write("stop", "stop")
    assert [text.rpartition("; ")[2] for _, text in world.said[1:]] == ["2 lines were lost"]


def test_a_line_that_was_cut_stays_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.become()
    write, room = os.write, 3

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken, room = room, 0
        return write(fd, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        world.write("stop", "stop")
    world.write("debug")
    assert world.path.read_text() == "sto\ndebug\n"
    assert [level for level, _ in world.said] == ["error", "warn"]


def test_a_pipe_that_nobody_reads_holds_up_nobody(world: World) -> None:
    os.mkfifo(world.path)
    world.become()
    world.write("stop")
    assert "No such device" in world.said[0][1]
