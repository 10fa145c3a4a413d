"""The master's decisions, without processes; with them, it is tried by tests/e2e."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from gproxy.app.messages import Debugged, Handover, Reopen, Serve, Stop, StopNow, Traffic, Users
from gproxy.net.bind import Endpoint
from gproxy.observe.events import Event
from gproxy.proc import master as module
from gproxy.proc import orders
from gproxy.proc.arguments import Sources
from gproxy.proc.generation import Generation
from gproxy.proc.master import Master


class Channel:
    """Stands for the channel to a template."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.closed = False

    def send(self, message: object, descriptors: object = ()) -> None:
        self.said.append(message)

    def fileno(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


class Asked:
    """Stands for a request of the control socket."""

    uid, pid = 1000, 4711

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.answers: list[dict[str, Any]] = []

    def answer(self, **values: Any) -> None:
        self.answers.append(values)


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> Iterator[Master]:
    """Its templates are played, its kills are noted, its timers are run by hand."""
    master = Master(Sources())
    monkeypatch.setattr(Generation, "start", lambda number, sources, since, memory: made(number, "loading"))
    monkeypatch.setattr(master, "_attend", lambda generation: None)
    monkeypatch.setattr(master._selector, "unregister", lambda post: None)
    monkeypatch.setattr(master.admin, "listen", lambda path: None)
    monkeypatch.setattr(master, "killed", killed := [], raising=False)
    monkeypatch.setattr(module.os, "kill", lambda pid, number: killed.append(pid))
    yield master
    master._selector.close()


def made(number: int, state: Any) -> Generation:
    generation = Generation(number, 100 + number, cast(Any, Channel()), 0.0, state)
    generation.plan = orders.Plan([], 2, 60.0, 5.0, "")
    return generation


def said(generation: Generation | None) -> list[Any]:
    assert generation is not None
    return cast(Any, generation.post).said


def serve(master: Master) -> Generation:
    """Bring the coming generation so far that it serves."""
    coming = master.coming
    assert coming is not None
    coming.state = "taking over"
    master._begin_serving()
    assert coming.state == "starting"
    master._installed(coming)
    assert coming.state == "serving"
    return coming


def test_a_reload_takes_the_place_of_the_old(master: Master, capfd: pytest.CaptureFixture[str]) -> None:
    master.reload()
    first = serve(master)
    asked = Asked()
    master.reload(cast(Any, asked))
    second = serve(master)
    assert (master.current, master.draining) == (second, [first])
    assert said(first) == [Serve(), Stop(60.0)]
    assert asked.answers == [{"ok": True, "generation": 2}]
    assert "generation 2 serves" in capfd.readouterr().err
    master._lost(first)
    assert master.draining == []


def test_all_who_ask_meanwhile_get_the_verdict_on_the_next(master: Master) -> None:
    master.reload()
    serve(master)
    early, late, later = Asked(), Asked(), Asked()
    for each in (early, late, later):
        master.reload(cast(Any, each))
    serve(master)
    assert (early.answers, late.answers) == ([{"ok": True, "generation": 2}], [])
    serve(master)
    assert late.answers == later.answers == [{"ok": True, "generation": 3}]
    assert master.coming is None


@pytest.mark.parametrize(("misconfigured", "code"), [(True, 3), (False, 1)])
def test_a_refusal_changes_nothing(misconfigured: bool, code: int, master: Master) -> None:
    master.reload()
    first = serve(master)
    asked = Asked()
    master.reload(cast(Any, asked))
    coming = cast(Generation, master.coming)
    coming.refused, coming.misconfigured = "the report", misconfigured
    master._lost(coming)
    assert (master.current, master.coming, master.draining) == (first, None, [])
    assert said(first) == [Serve()], "when it began"
    assert asked.answers == [{"ok": False, "error": "the report", "code": code, "generation": 2}]


def test_one_that_dies_after_the_old_has_yielded(master: Master) -> None:
    master.reload()
    first = serve(master)
    master.reload()
    coming = cast(Generation, master.coming)
    coming.state = "taking over"
    master._lost(coming)
    assert said(first) == [Serve(), Serve()], "once more"
    assert master.current is first


@pytest.mark.parametrize(("misconfigured", "code"), [(True, 3), (False, 1)])
def test_a_first_generation_that_is_refused_is_the_end(misconfigured: bool, code: int, master: Master) -> None:
    master.reload()
    coming = cast(Generation, master.coming)
    coming.refused, coming.misconfigured = "report", misconfigured
    master._lost(coming)
    assert (master.code, master.generations(), master.failures.retrying) == (code, [], False)


def test_when_nothing_serves_any_more_it_tries_again_and_again(master: Master, held_clock: Any) -> None:
    master.reload()
    waits = []
    master._lost(serve(master))
    for _ in range(4):
        waits.append(master.timers.next_in())
        held_clock.advance(waits[-1])
        master.timers.run_due()
        master._lost(cast(Generation, master.coming))
        assert master.failures.retrying
    assert waits == [0, 0.5, 1, 2]
    master.stop()
    assert not master.failures.retrying


def test_one_that_is_never_ready_is_given_up(master: Master, held_clock: Any) -> None:
    master.reload()
    held_clock.advance(61)
    master.timers.run_due()
    assert master.killed == [101]  # type: ignore[attr-defined]
    assert cast(Generation, master.coming).refused == "it was not ready in time"


@pytest.mark.parametrize("serves", [True, False])
def test_no_process_for_a_new_generation(serves: bool, master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(number: int, sources: Sources, since: float, memory: int) -> Generation:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    if serves:
        master.reload()
        serve(master)
    before = master.current
    monkeypatch.setattr(Generation, "start", no_process)
    asked = Asked()
    master.reload(cast(Any, asked))
    [answer] = asked.answers
    assert (answer["ok"], answer["code"]) == (False, 1)
    assert "no more processes" in answer["error"]
    assert (master.current, master.coming) == (before, None)
    assert master.code == (0 if serves else 1)


def test_patience_with_a_hand_over_is_for_one_generation(master: Master, held_clock: Any) -> None:
    """The time that the first one had must not cut short what the second one has."""
    master.reload()
    serve(master)
    for wait in (4.0, 4.0):
        master.reload()
        coming = master.coming
        assert coming is not None
        master._take_over(coming)
        held_clock.advance(wait)
        master.timers.run_due()
        assert coming.state == "taking over"
        serve(master)
    master.reload()
    assert master.coming is not None
    master._take_over(master.coming)
    held_clock.advance(5.0)
    master.timers.run_due()
    assert master.coming.state == "starting"


@pytest.mark.parametrize(("port", "taken"), [(53, True), (54, False)])
def test_flows_go_to_whoever_has_their_socket(master: Master, port: int, taken: bool) -> None:
    """It may have other options by now."""
    before = Endpoint("packet", IPv4Address("127.0.0.1"), 53)
    elsewhere = Endpoint("packet", IPv4Address("127.0.0.1"), 55)
    after = replace(before, port=port, reuse_addr=True)
    sock = cast(Any, object())
    master.slots.adopt(before, [sock])
    master.slots.adopt(elsewhere, [cast(Any, object())])
    master.slots.adopt(after, [sock if taken else cast(Any, object())])
    old, coming = made(1, "serving"), made(2, "taking over")
    old.endpoints, coming.endpoints = [elsewhere, before], [elsewhere, after]
    master.current, master.coming = old, coming
    fd = os.dup(0)
    master._hand_over(old, Handover(1, 0, ["client"]), [fd])
    assert said(coming) == ([Handover(1, 0, ["client"])] if taken else [])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_too_many_generations(master: Master) -> None:
    for _ in range(10):
        master.reload()
        serve(master)
    assert StopNow() in said(master.draining[0])
    assert StopNow() not in said(master.draining[-1])


def test_a_death_while_it_comes_up_refuses_it(master: Master) -> None:
    master.reload()
    coming = cast(Generation, master.coming)
    master.failures.died(coming, orders.Died(0, 5, "exited with status 1"))
    assert coming.refused == "worker 0 exited with status 1 while it started"
    assert master.killed == [101]  # type: ignore[attr-defined]


def test_deaths_are_replaced_ever_later(master: Master, held_clock: Any) -> None:
    master.reload()
    current = serve(master)
    for wait in (0.0, 0.5, 1.0):
        said(current).clear()
        master.failures.died(current, orders.Died(1, 5, "was killed by SIGKILL"))
        held_clock.advance(wait)
        master.timers.run_due()
        assert said(current) == [orders.ForkAgain(1)]
    old = current
    master.reload()
    serve(master)
    said(old).clear()
    master.failures.died(old, orders.Died(1, 5, "was killed by SIGKILL"))
    held_clock.advance(60)
    master.timers.run_due()
    assert said(old) == [], "an old generation's are not"


def test_the_end_is_for_all_generations(master: Master) -> None:
    master.reload()
    first = serve(master)
    master.reload()
    second = serve(master)
    master.reload()
    master.stop()
    assert master.killed == [103]  # type: ignore[attr-defined]
    assert said(first)[-1] == said(second)[-1] == Stop(5.0)
    master.stop()
    assert said(first)[-1] == said(second)[-1] == StopNow()
    asked = Asked()
    master.reload(cast(Any, asked))
    master.upgrade(cast(Any, asked))
    assert [each["ok"] for each in asked.answers] == [False, False]
    assert "stopping" in asked.answers[0]["error"]


def test_signals_in_one_go(master: Master) -> None:
    master.reload()
    current = serve(master)
    upgrades: list[int] = []
    master.upgrade = lambda request=None: upgrades.append(1)  # type: ignore[method-assign,assignment,misc]
    read, write = os.pipe2(os.O_NONBLOCK)
    master._signals = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD]
    master._signalled(read)
    assert upgrades == [1]
    assert master.coming is None, "an upgrade reloads anyway"
    assert said(current)[-1] == Reopen()
    master._signals = [signal.SIGHUP]
    master._signalled(read)
    assert master.coming is not None
    master._signals = [signal.SIGINT]
    master._signalled(read)
    assert Stop(5.0) in said(current)
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("ask", ["nonsense", None, {}, ["status"]])
def test_other_questions(ask: Any, master: Master) -> None:
    asked = Asked(ask=ask)
    master._answer(cast(Any, asked))
    assert asked.answers[0]["ok"] is False


# -- managed users -----------------------------------------------------------------------------------------------------


def manage(generation: Generation, *tags: str) -> Generation:
    assert generation.plan is not None
    generation.plan.managed.extend(tags)
    return generation


def test_users_reach_all_generations_and_those_that_come(master: Master) -> None:
    master.reload()
    first = manage(serve(master), "in")
    master.reload()
    second = manage(serve(master), "in")
    master.reload()
    third = serve(master)
    users = Users("in", [["ada", "x"]])
    master._spread(third, users)
    assert users in said(first)
    assert users in said(second)
    assert users not in said(third), "it has said so itself"
    other = Users("other", [])
    master._spread(third, other)
    assert other not in said(first), "it has no such inbound"
    assert master.users == {"in": [["ada", "x"]], "other": []}
    old = Users("in", [])
    master._spread(first, old)
    assert master.users["in"] == [["ada", "x"]], "who drains has no say any more"
    assert old not in said(second)


@pytest.mark.parametrize("known", [True, False])
def test_a_new_generation_is_told_the_users_before_it_forks(known: bool, master: Master) -> None:
    """What one before it knows is not taken up from a file."""
    master.reload()
    before = serve(master)
    if known:
        manage(before, "in")
    master.users = {"in": [["ada", "x"]], "gone": [["eve", "y"]]}
    master.reload()
    coming = cast(Generation, master.coming)
    master._provide(coming, orders.Plan([], 2, 60.0, 5.0, "", {}, ["in", "new"]))
    load = ["new"] if known else ["in", "new"]
    assert said(coming) == [Users("in", [["ada", "x"]]), orders.Fork(load, coming.number)]


def test_what_a_replaced_generation_has_counted_goes_to_the_one_that_serves(master: Master) -> None:
    master.reload()
    first = manage(serve(master), "in", "gone")
    rows = [["in", "ada", 1, 0, 0, 0, 0, 0], ["gone", "eve", 1, 0, 0, 0, 0, 0]]
    master._pass_on(first, Traffic(rows))
    master.reload()
    second = manage(serve(master), "in")
    master._pass_on(first, Traffic(rows[1:]))
    master._pass_on(first, Traffic(rows))
    assert [each for each in said(first) if isinstance(each, Traffic)] == []
    assert [each for each in said(second) if isinstance(each, Traffic)] == [Traffic(rows[:1])]


def test_a_file_that_was_moved_away_is_opened_anew_by_all(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    """By those that drain, too: they write to it still."""
    master.reload()
    old = serve(master)
    master.reload()
    current = serve(master)
    monkeypatch.setattr(current.post, "receive", lambda: (orders.Rotated(), []), raising=False)
    master._hear(current)
    assert said(old)[-1] == said(current)[-1] == Reopen()


def test_a_look_into_the_processes(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    master.reload()
    current = serve(master)
    plan = current.plan
    assert plan is not None
    current.plan = replace(plan, debug=True)
    current.processes = {0: 17}
    asked = Asked(ask="debug", what="memory")
    master._answer(cast(Any, asked))
    question = said(current)[-1]
    assert (question.what, question.worker) == ("memory", None)
    told = Debugged(question.request, 17, {"resident": 5}, 0)
    monkeypatch.setattr(current.post, "receive", lambda: (told, []), raising=False)
    master._hear(current)
    assert asked.answers == [{"ok": True, "processes": [{"generation": 1, "worker": 0, "pid": 17, "resident": 5}]}]


def test_what_is_ordered_stands_in_the_audit_log(master: Master, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = {"output": str(path), "format": "$event $result $by $uid $generation", "clients": "whole"}
    master.reload(master._act("start", "start"))
    assert master.coming is not None
    assert master.coming.plan is not None
    master.coming.plan = replace(master.coming.plan, audit=audit)
    serve(master)
    asked = Asked(ask="reload")
    master._answer(cast(Any, asked))
    serve(master)  # without an audit log: this is its last line
    master._answer(cast(Any, Asked(ask="ban", do="add")))
    assert path.read_text() == "start ok start - 1\nreload ok control 1000 2\n"
    assert asked.answers == [{"ok": True, "generation": 2}]


def test_signals_stand_in_the_audit_log(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Event] = []
    monkeypatch.setattr(master._record, "write", written.append)
    monkeypatch.setattr(module.resume, "trial", lambda: "it does not start")
    master.reload()
    serve(master)
    read, write = os.pipe2(os.O_NONBLOCK)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        master._signals = [number]
        master._signalled(read)
        if master.coming is not None and number != signal.SIGTERM:
            serve(master)
    os.close(read)
    os.close(write)
    assert [(each.event, each.result, each.generation, each.detail) for each in written] == [
        ("reopen", "ok", None, ""), ("upgrade", "refused", None, "it does not start"), ("reload", "ok", 2, ""),
        ("stop", "ok", None, ""),
    ]  # fmt: skip
    assert {each.by for each in written} == {"signal"}
