"""Greenlets that are used again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from gproxy.rt import crew
from gproxy.rt.sockets import Task, current
from gproxy.rt.sync import sleep


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    crew.dismiss()
    yield
    crew.dismiss()


def test_it_runs_at_the_hubs_next_turn() -> None:
    seen: list[object] = []
    crew.launch(lambda a, b: seen.extend([a, b]), 1, 2)
    assert seen == []
    sleep(0)
    assert seen == [1, 2]


def test_one_that_is_done_takes_the_next_call() -> None:
    members: list[Task] = []
    for _ in range(3):
        crew.launch(lambda: members.append(current()))
        sleep(0)
    assert len(set(map(id, members))) == 1


def test_calls_at_once_have_greenlets_of_their_own_and_only_some_are_kept() -> None:
    members: list[Task] = []
    for _ in range(crew.MOST_IDLE + 5):
        crew.launch(lambda: members.append(current()))
    sleep(0)
    assert len(set(map(id, members))) == crew.MOST_IDLE + 5
    assert sum(not member.dead for member in members) == crew.MOST_IDLE
    crew.dismiss()
    assert all(member.dead for member in members)


def test_what_was_served_does_not_live_on() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    crew.launch(lambda _: None, thing)
    del thing
    sleep(0)
    gc.collect()
    assert gone() is None


def test_members_are_counted() -> None:
    before = crew.members()
    crew.launch(lambda: None)
    crew.launch(lambda: None)
    sleep(0.01)
    assert crew.members() == before + 2, "those that wait are there"
    crew.dismiss()
    assert crew.members() == before
