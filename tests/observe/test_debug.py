from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from gproxy.observe import debug as room
from gproxy.observe.debug import QUESTIONS, answer
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


def wait_for_it(event: Event) -> None:
    event.wait()


def work(seconds: float) -> None:
    """Use the processor, and let nobody else run."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@pytest.mark.parametrize("what", QUESTIONS)
def test_answers_are_what_json_knows(what: str) -> None:
    found = answer(what, 0.02)
    assert "error" not in found
    assert json.loads(json.dumps(found)) == found


def test_no_such_question() -> None:
    assert answer("secrets", 1) == {"error": "nobody knows what 'secrets' is"}


def test_the_same_stack_is_told_once() -> None:
    event = Event()
    with Group("waiting") as group:
        for _ in range(50):
            group.spawn(wait_for_it, event)
        sleep(0)
        found = answer("stacks", 0)
    (mine,) = [each for each in found["stacks"] if any(call.endswith(" wait_for_it") for call in each["frames"])]
    assert mine["count"] == 50
    assert found["more"] == 0
    assert found["greenlets"] == sum(each["count"] for each in found["stacks"])


def test_an_answer_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "stacks", lambda: [(f"f{number}",) for number in range(1000)])
    found = answer("stacks", 0)
    assert (len(found["stacks"]), found["more"], found["greenlets"]) == (100, 900, 1000)


def test_a_hub_that_turns_is_not_late() -> None:
    found = answer("lag", 0.2)
    assert 0.2 <= found["seconds"] < 5
    assert found["looks"] >= 1
    assert 0 <= found["median"] <= found["p99"] <= found["worst"]


def test_who_keeps_the_hub_is_seen() -> None:
    with Group("busy") as group:
        group.spawn(lambda: (sleep(0.05), work(0.15)))
        assert answer("lag", 0.3)["worst"] >= 100


def test_memory() -> None:
    found = answer("memory", 0)
    assert found["resident"] >= found["anonymous"] > 1 << 20
    assert found["descriptors"] >= 3
    assert found["threads"] >= 1
    counts = [each["count"] for each in found["types"]]
    assert counts == sorted(counts, reverse=True)
    assert {"function", "dict"} <= {each["type"] for each in found["types"]}


def test_a_profile_finds_who_works() -> None:
    with Group("busy") as group:
        group.spawn(lambda: (sleep(0.01), work(0.3)))
        found = answer("profile", 0.2)
    assert found["samples"] >= 5
    assert found["processor_seconds"] >= 0.2
    mine = sum(each["count"] for each in found["stacks"] if any(call.startswith("work ") for call in each["calls"]))
    assert mine >= found["samples"] / 2
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    os.kill(os.getpid(), signal.SIGPROF)  # one that comes late ends nothing


def test_idle_time_is_not_in_it() -> None:
    assert answer("profile", 0.2)["samples"] <= 5


def test_one_profile_at_a_time() -> None:
    found: list[dict[str, Any]] = []
    with Group("profiles") as group:
        group.spawn(lambda: found.append(answer("profile", 0.2)))
        sleep(0)
        assert answer("profile", 0.2) == {"error": "a profile is being taken already"}
        wait_until(lambda: found, "the first one does not end")
    assert "error" not in found[0]
    assert "error" not in answer("profile", 0.01)


def test_a_profile_that_is_given_up_ends() -> None:
    with Group("profiles") as group:
        group.spawn(answer, "profile", 30)
        sleep(0)
        assert signal.getitimer(signal.ITIMER_PROF)[1] > 0
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    assert not room._profiling
