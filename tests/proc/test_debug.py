from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from gproxy.app.messages import AskDebug, Debugged
from gproxy.proc.admin import Request
from gproxy.proc.debug import DebugDesk, checked


class Asked:
    """A request that keeps its answer."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.answered: dict[str, Any] = {}

    def answer(self, **values: Any) -> None:
        assert not self.answered, "twice"
        self.answered = values


class Master:
    """What the desk needs of one."""

    def __init__(self, *generations: Any) -> None:
        self.told: list[tuple[int, AskDebug]] = []
        self.later: list[tuple[float, Any]] = []
        self.timers = SimpleNamespace(after=lambda seconds, call: self.later.append((seconds, call)))
        self._generations = generations

    def generations(self) -> Any:
        return self._generations

    def tell(self, generation: Any, message: AskDebug) -> None:
        self.told.append((generation.number, message))


def generation(number: int = 1, state: str = "serving", *, debug: bool = True) -> Any:
    return SimpleNamespace(
        number=number, state=state, plan=SimpleNamespace(debug=debug), processes={-1: 10, 0: 11, 1: 12}
    )


def asked(master: Master, **values: Any) -> tuple[DebugDesk, Asked]:
    desk, request = DebugDesk(cast(Any, master)), Asked(**values)
    desk.ask(cast(Request, request))
    return desk, request


def test_all_processes_are_asked_and_told_in_order() -> None:
    only = generation()
    master = Master(only)
    desk, request = asked(master, what="lag", seconds=2)
    assert master.told == [(1, AskDebug(1, "lag", 2.0, None))]
    for worker, pid in ((1, 12), (-1, 10), (0, 11)):
        assert not request.answered
        desk.hear(only, Debugged(1, pid, {"mean": worker}, worker))
    assert request.answered == {
        "ok": True,
        "processes": [
            {"generation": 1, "worker": worker, "pid": pid, "mean": worker}
            for worker, pid in ((-1, 10), (0, 11), (1, 12))
        ],
    }
    master.later[0][1]()  # too late to matter


def test_who_says_nothing_is_told_as_well() -> None:
    only = generation()
    master = Master(only)
    desk, request = asked(master, what="profile", seconds=10, worker=1)
    assert master.told[0][1].worker == 1
    seconds, late = master.later[0]
    assert seconds == 15
    late()
    assert request.answered["processes"] == [
        {"generation": 1, "worker": 1, "pid": 12, "error": "no answer: its hub does not turn, or it has ended"}
    ]
    desk.hear(only, Debugged(1, 12, {}, 1))  # nobody waits for it any more


def test_an_answer_counts_once() -> None:
    only = generation()
    desk, request = asked(Master(only), what="memory")
    for _ in range(3):
        desk.hear(only, Debugged(1, 11, {}, 0))
    assert not request.answered


def test_code_that_does_not_know_the_question_is_not_asked() -> None:
    """It would take it for the end of the master."""
    master = Master(generation(1, "draining", debug=False), generation(2), generation(3, "forking"))
    asked(master, what="memory")
    assert [number for number, _ in master.told] == [2]


def test_nobody_there() -> None:
    master = Master()
    _, request = asked(master, what="memory")
    ((seconds, late),) = master.later
    assert seconds == 0
    late()
    assert request.answered == {"ok": True, "processes": []}


def test_not_too_many_at_once() -> None:
    master = Master(generation())
    desk = DebugDesk(cast(Any, master))
    for _ in range(4):
        desk.ask(cast(Request, Asked(what="profile", seconds=60)))
    fifth = Asked(what="memory")
    desk.ask(cast(Request, fifth))
    assert fifth.answered == {"ok": False, "error": "too many such questions at once"}


def test_one_worker_of_what_serves_says_where_a_connection_would_go() -> None:
    only = generation(2)
    master = Master(generation(1, "draining"), only, generation(3, "loading"))
    connection = {"target": "a.test:443", "network": "udp"}
    desk, request = asked(master, ask="explain", connection=connection, worker=1)
    assert master.told == [(2, AskDebug(1, "explain", 20.0, 1, connection))]
    assert master.later[0][0] == 25
    desk.hear(only, Debugged(1, 12, {"explained": {}}, 1))
    assert request.answered == {"ok": True, "processes": [{"generation": 2, "worker": 1, "pid": 12, "explained": {}}]}
    asked(master, ask="explain", connection={"target": "a.test:443"})
    assert master.told[1][1].worker == 0


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "an object with a `target`"),
        ({"connection": "a.test:1"}, "an object with a `target`"),
        ({"connection": {"network": "tcp"}}, "an object with a `target`"),
        ({"connection": {"target": 5}}, "`target` is a text of 1024 characters at most"),
        ({"connection": {"target": "a" * 1025}}, "`target` is a text of 1024 characters at most"),
        ({"connection": {"target": "a:1", "user": None}}, "`user` is a text"),
        ({"connection": {"target": "a:1", "colour": "red"}}, "target, inbound, source, .*, and no 'colour'"),
        ({"connection": {"target": "a:1"}, "worker": -1}, "the first one is 0"),
        ({"connection": {"target": "a:1"}, "worker": True}, "the first one is 0"),
        ({"connection": {"target": "a:1"}, "worker": None}, "the first one is 0"),
    ],
)
def test_what_is_no_connection(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked({"ask": "explain", **values})


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "what is one of stacks, lag, memory, profile"),
        ({"what": ["stacks"]}, "what is one of"),
        ({"what": "lag", "seconds": 0}, "60 seconds at most"),
        ({"what": "lag", "seconds": 61}, "60 seconds at most"),
        ({"what": "lag", "seconds": True}, "60 seconds at most"),
        ({"what": "lag", "seconds": float("nan")}, "60 seconds at most"),
        ({"what": "lag", "seconds": "1"}, "60 seconds at most"),
        ({"what": "lag", "worker": "0"}, "a worker is a number"),
        ({"what": "lag", "worker": True}, "a worker is a number"),
    ],
)
def test_what_is_no_question(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked(values)
    _, request = asked(Master(generation()), **values)
    assert request.answered["ok"] is False
    assert why in request.answered["error"]
