from __future__ import annotations

import pytest

from gproxy.base.clock import now
from gproxy.base.errors import ProtocolError
from gproxy.rt.deadline import Cancel, Cancelled, deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


class Late(Exception):
    """What the tests' deadlines raise."""


def test_a_deadline_raises_its_own_error_inside() -> None:
    error = ProtocolError("too slow", reason="timeout")
    with pytest.raises(ProtocolError) as caught, deadline(0.001, error):
        Event().wait()
    assert caught.value is error


def test_a_deadline_that_is_kept_leaves_nothing_behind() -> None:
    with deadline(0.001, Late()):
        pass
    sleep(0.005)


def test_time_before_the_scope_does_not_count() -> None:
    sleep(0)
    until = now() + 0.06
    while now() < until:  # the hub does not turn meanwhile
        pass
    with deadline(0.05, Late()):
        for _ in range(5):
            sleep(0)


@pytest.mark.parametrize("seconds", [0, -1])
def test_no_limit(seconds: float) -> None:
    with deadline(seconds, Late()):
        sleep(0.002)


def test_of_two_deadlines_the_shorter_one_counts() -> None:
    with pytest.raises(Late) as caught, deadline(30, Late("outer")), deadline(0.001, Late("inner")):
        Event().wait()
    assert str(caught.value) == "inner"
    with pytest.raises(Late) as caught, deadline(0.001, Late("outer")), deadline(30, Late("inner")):
        Event().wait()
    assert str(caught.value) == "outer"


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(KeyError), deadline(30, Late()):
        raise KeyError


def test_fire_ends_whoever_waits_inside() -> None:
    scope = Cancel()
    seen: list[str] = []

    def wait() -> None:
        with scope:
            Event().wait()
            seen.append("not reached")
        seen.append("after")

    with Group("test") as group:
        group.spawn(wait)
        sleep(0)
        scope.fire()
        scope.fire()
        assert group.join(30)
    assert seen == ["after"]
    assert scope.fired


def test_a_scope_that_has_fired_before_ends_at_its_first_wait() -> None:
    scope = Cancel()
    scope.fire()
    steps = []
    with scope:
        steps.append("runs")
        Event().wait()
        steps.append("not reached")
    assert steps == ["runs"]


def test_a_scope_that_was_left_before_the_news_came_is_left_alone() -> None:
    scope = Cancel()
    with scope:
        scope.fire()
    sleep(0)
    sleep(0)
    scope.fire()


def test_nested_scopes_end_each_their_own() -> None:
    outer, inner = Cancel(), Cancel()
    steps = []
    with outer:
        with inner:
            inner.fire()
            Event().wait()
        steps.append("inner is over")
        outer.fire()
        Event().wait()
        steps.append("not reached")
    assert steps == ["inner is over"]


def test_the_outer_one_ends_the_inner_one_too() -> None:
    outer, inner = Cancel(), Cancel()
    steps = []
    with outer:
        with inner:
            outer.fire()
            Event().wait()
        steps.append("not reached")
    assert steps == []
    assert not inner.fired


def test_both_at_the_same_turn() -> None:
    outer, inner = Cancel(), Cancel()
    with outer:
        with inner:
            inner.fire()
            outer.fire()
            Event().wait()
        Event().wait()
    sleep(0)


def test_other_errors_are_not_swallowed() -> None:
    scope = Cancel()
    with pytest.raises(KeyError), scope:
        raise KeyError
    with pytest.raises(Cancelled), Cancel():
        raise Cancelled(scope)
