"""`gproxy debug`, with a control socket that answers as the test wants."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gproxy.cli.debug import describe
from gproxy.cli.main import FAILED, OK, USAGE, main
from tests.cli.answering import Answering

WHO = {"generation": 2, "worker": 0, "pid": 11}


@pytest.fixture
def gproxy(tmp_path: Path) -> Iterator[Answering]:
    gproxy = Answering(tmp_path)
    yield gproxy
    gproxy.close()


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["lag"], {"what": "lag", "seconds": 1.0, "worker": None}),
        (["profile"], {"what": "profile", "seconds": 10.0, "worker": None}),
        (["profile", "--seconds", "3", "--worker", "-1"], {"what": "profile", "seconds": 3.0, "worker": -1}),
    ],
)
def test_what_is_asked(arguments: list[str], asked: dict[str, Any], gproxy: Answering, capsys: Any) -> None:
    processes = [{**WHO, "error": "no answer"}]
    gproxy.says(ok=True, processes=processes)
    assert main(["debug", *arguments, "--json", "--control", gproxy.path]) == FAILED
    assert gproxy.asked == {"ask": "debug", **asked}
    assert json.loads(capsys.readouterr().out) == {"processes": processes}


def test_who_does_not_answer_is_told(gproxy: Answering, capsys: Any) -> None:
    lag = {"mean": 0.1, "median": 0.2, "p99": 0.3, "worst": 0.4, "looks": 99, "seconds": 1.0}
    gproxy.says(ok=True, processes=[{**WHO, "worker": -1, **lag}, {**WHO, "error": "no answer"}])
    assert main(["debug", "lag", "--control", gproxy.path]) == FAILED
    late = "0.1 ms in the mean, 0.2 ms in the median, 0.3 ms at the 99th percentile, 0.4 ms at worst"
    assert capsys.readouterr().out.splitlines() == [
        "control of generation 2, process 11",
        f"    99 timers in 1.0 s were late by {late}",
        "worker 0 of generation 2, process 11",
        "    no answer",
    ]


def test_stacks() -> None:
    told = describe(
        "stacks", [{**WHO, "greenlets": 5, "stacks": [{"count": 3, "frames": ["a.py:1 f", "b.py:2 g"]}], "more": 2}]
    )
    assert list(told)[1:] == [
        "    5 greenlets", "    3 at", "        a.py:1 f", "        b.py:2 g", "    2 with other stacks",
    ]  # fmt: skip


def test_memory() -> None:
    facts = {
        "resident": 30 << 20, "descriptors": 12, "threads": 1, "objects": 100, "frozen_objects": 7, "blocks": 9,
        "uncollectable": 0, "collections": [3, 2, 1], "types": [{"type": "dict", "count": 42}],
    }  # fmt: skip
    told = list(describe("memory", [{**WHO, **facts}]))
    assert [line.split(maxsplit=1) for line in told[1:3]] == [["30.0", "MiB  resident"], ["12", "descriptors"]]
    assert told[-1].split() == ["42", "dict"]
    assert any("3/2/1" in line for line in told)


def test_a_profile() -> None:
    stacks = [{"count": 6, "calls": ["a", "b"]}, {"count": 3, "calls": ["a"]}, {"count": 1, "calls": ["a", "b", "a"]}]
    facts = {"seconds": 1.0, "processor_seconds": 0.1, "samples": 10, "stacks": stacks, "more": 0}
    assert [line.split() for line in describe("profile", [{**WHO, **facts}])][2:] == [
        ["itself", "in", "all", "function"],
        ["60.0%", "70.0%", "b"],
        ["40.0%", "100.0%", "a"],
    ]
    idle = {**facts, "samples": 0, "stacks": []}
    assert len(list(describe("profile", [{**WHO, **idle}]))) == 2


def test_what_can_t_be_done(gproxy: Answering, capsys: Any) -> None:
    gproxy.says(ok=False, error="too many such questions at once")
    assert main(["debug", "lag", "--control", gproxy.path]) == FAILED
    assert "too many such questions at once" in capsys.readouterr().err
    gproxy.says(ok=True, processes=[])
    assert main(["debug", "lag", "--worker", "9", "--control", gproxy.path]) == FAILED
    assert "there is no such process" in capsys.readouterr().err


def test_all_is_well(gproxy: Answering) -> None:
    gproxy.says(ok=True, processes=[{**WHO, "greenlets": 0, "stacks": [], "more": 0}])
    assert main(["debug", "stacks", "--control", gproxy.path]) == OK


@pytest.mark.parametrize("arguments", [["x"], [], ["lag", "--seconds", "61"], ["lag", "--seconds", "0"]])
def test_mistakes(arguments: list[str]) -> None:
    assert main(["debug", *arguments]) == USAGE
