from __future__ import annotations

from gproxy.proc.crashes import FIRST_WAIT, LONGEST_WAIT, WINDOW, Crashes


def test_the_first_death_is_replaced_at_once() -> None:
    assert Crashes().wait(0, 1000.0) == 0
    assert Crashes().wait(0, 0.0) == 0


def test_a_loop_waits_ever_longer_up_to_a_bound() -> None:
    crashes, at, waits = Crashes(), 1000.0, []
    for _ in range(9):
        waits.append(crashes.wait(0, at))
        at += waits[-1]
    assert waits[:5] == [0, FIRST_WAIT, 2 * FIRST_WAIT, 4 * FIRST_WAIT, 8 * FIRST_WAIT]
    assert waits[-1] == LONGEST_WAIT


def test_a_long_life_forgives() -> None:
    crashes = Crashes()
    assert [crashes.wait(0, at) for at in (1000.0, 1001.0, 1001.0 + FIRST_WAIT + WINDOW)] == [0, FIRST_WAIT, 0]


def test_each_worker_has_its_own_account() -> None:
    crashes = Crashes()
    crashes.wait(0, 1000.0)
    assert crashes.wait(1, 1000.0) == 0
    assert crashes.wait(0, 1000.0) == FIRST_WAIT
