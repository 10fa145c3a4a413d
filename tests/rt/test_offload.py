from __future__ import annotations

import threading

import pytest

from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.offload import offload, offload_lookup
from gproxy.rt.sync import sleep

pytestmark = pytest.mark.usefixtures("no_leaks")


class Late(Exception):
    """What the tests' deadlines raise."""


def test_it_runs_in_another_thread_and_brings_the_result_back() -> None:
    assert offload(lambda a, b: (threading.get_ident(), a + b), 1, b=2)[1] == 3
    assert offload(threading.get_ident) != threading.get_ident()


def test_exceptions_come_back_too_and_are_printed_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        offload(lambda: 1 // 0)
    assert capfd.readouterr() == ("", "")


def test_others_run_meanwhile() -> None:
    go = threading.Event()
    steps: list[str] = []

    def other() -> None:
        steps.append("other")
        go.set()

    with Group("test") as group:
        group.spawn(other)
        offload(go.wait, 5)
        steps.append("back")
    assert steps == ["other", "back"]


def test_a_deadline_leaves_the_call_behind() -> None:
    go = threading.Event()
    try:
        with pytest.raises(Late), deadline(0.005, Late()):
            offload(go.wait, 5)
    finally:
        go.set()
    assert offload(int) == 0
    sleep(0)


def test_look_ups_that_hang_hold_up_nothing_else() -> None:
    go = threading.Event()
    with Group("test") as group:
        for _ in range(20):
            group.spawn(offload_lookup, go.wait, 5)
        sleep(0)
        assert offload_lookup(int, "7") == 7
        assert offload(int, "8") == 8
        go.set()
        assert group.join(30)
