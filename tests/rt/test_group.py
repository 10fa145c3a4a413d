from __future__ import annotations

import logging

import pytest

from gproxy.base.errors import StreamClosed
from gproxy.rt.group import Group, alive
from gproxy.rt.sync import Event, sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


def test_children_run_and_are_forgotten() -> None:
    seen: list[int] = []
    with Group("test") as group:
        for number in range(3):
            group.spawn(seen.append, number)
        assert len(group) == 3
        assert group.join(30)
        assert len(group) == 0
    assert seen == [0, 1, 2]


def test_leaving_the_block_ends_the_children_and_waits() -> None:
    ended: list[str] = []

    def wait() -> None:
        try:
            Event().wait()
        finally:
            sleep(0)  # an end that takes a while
            ended.append("over")

    with Group("test") as group:
        group.spawn(wait)
        group.spawn(wait)
        sleep(0)
    assert ended == ["over", "over"]
    assert len(group) == 0


def test_a_child_that_has_not_begun_never_does() -> None:
    seen: list[int] = []
    with Group("test") as group:
        group.spawn(seen.append, 1)
    assert seen == []


def test_join_has_patience() -> None:
    with Group("test") as group:
        group.spawn(Event().wait)
        assert not group.join(0.001)


def test_an_error_in_the_block_ends_the_children_and_comes_out() -> None:
    with pytest.raises(KeyError), Group("test") as group:
        child = group.spawn(Event().wait)
        sleep(0)
        raise KeyError
    assert child.dead
    wait_until(lambda: len(group) == 0, "the child is not forgotten")


def test_a_childs_fault_is_logged_in_full(caplog: pytest.LogCaptureFixture) -> None:
    with Group("helpers") as group:
        group.spawn(lambda: 1 // 0)
        group.join(30)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "helpers" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_what_the_house_understands_is_a_remark(caplog: pytest.LogCaptureFixture) -> None:
    def run() -> None:
        raise StreamClosed("gone")

    with caplog.at_level(logging.DEBUG), Group("helpers") as group:
        group.spawn(run)
        group.join(30)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.exc_info is None


def test_a_kill_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Group("helpers") as group:
        group.spawn(Event().wait)
        sleep(0)
    assert caplog.records == []


def test_a_shield_lets_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def fail(error: BaseException) -> None:
        raise error

    group = Group("test")
    group.shield(seen.append, 1)
    group.shield(fail, StreamClosed("over"))
    assert not caplog.records
    group.shield(fail, ValueError("a fault"))
    assert "a background task failed" in caplog.text
    assert (seen, len(group)) == ([1], 0)


def test_children_are_counted() -> None:
    before = alive()
    done = Event()
    with Group("test") as one, Group("other") as other:
        one.spawn(done.wait)
        other.spawn(done.wait)
        other.spawn(done.wait)
        sleep(0)
        assert alive() == before + 3
        done.set()
        one.join()
        other.join()
        assert alive() == before
        other.spawn(Event().wait)
    wait_until(lambda: alive() == before, "those that are ended are counted")
