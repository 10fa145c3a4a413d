from __future__ import annotations

import sys
from types import FrameType

import pytest

from gproxy.rt.greenlets import frames, short, stacks
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep

pytestmark = pytest.mark.usefixtures("no_leaks")


def wait_for_it(event: Event) -> None:
    event.wait()


def test_what_all_are_doing() -> None:
    event = Event()
    with Group("waiting") as group:
        for _ in range(300):
            group.spawn(wait_for_it, event)
        sleep(0)
        found = [each for each in stacks() if any("test_greenlets.py" in call for call in each)]
    waiting = [each for each in found if any(call.endswith(" wait_for_it") for call in each)]
    assert len(waiting) == 300
    assert len(set(waiting)) == 1
    calls = [call.split(" ", 1)[1] for call in waiting[0]]
    assert calls == ["Group.shield", "wait_for_it"]


def test_who_asks_is_not_told() -> None:
    assert not [each for each in stacks() if any("test_who_asks_is_not_told" in call for call in each)]


def test_those_that_have_ended_are_not_told() -> None:
    event = Event()
    group = Group("ended")
    ended = group.spawn(wait_for_it, event)
    group.kill()
    assert ended.dead
    assert not [each for each in stacks() if any("wait_for_it" in call for call in each)]


def test_others_run_meanwhile() -> None:
    """A look at many greenlets does not stop the process."""
    event, turns = Event(), []

    def turn() -> None:
        while True:
            turns.append(1)
            sleep(0)

    with Group("waiting") as group:
        for _ in range(1000):
            group.spawn(wait_for_it, event)
        group.spawn(turn)
        sleep(0)
        before = len(turns)
        assert sum(1 for _ in stacks()) >= 1000
        assert len(turns) > before


def test_a_deep_stack_is_cut_at_its_outer_end() -> None:
    def deep(levels: int) -> tuple[str, ...]:
        frame: FrameType = sys._getframe()
        return deep(levels - 1) if levels else frames(frame)

    found = deep(100)
    assert len(found) == 64
    assert found[-1].endswith("deep")


def test_a_file_s_name_begins_with_its_package() -> None:
    assert short(sys.modules["gproxy.rt.group"].__file__ or "") == "gproxy/rt/group.py"
    assert short("/nowhere/x.py") == "/nowhere/x.py"
