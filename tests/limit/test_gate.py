from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.limit.gate import Gate

MIB = 1 << 20


def test_it_closes_above_the_limit_and_opens_below_nine_tenths() -> None:
    gate = Gate(100 * MIB, 20 * MIB)
    assert (gate.look(100 * MIB, 10), gate.closed) == (0, False)
    assert gate.look(100 * MIB + 1, 10) > 0
    assert gate.closed
    assert gate.look(90 * MIB, 5) > 0
    assert gate.closed
    assert (gate.look(90 * MIB - 1, 5), gate.closed) == (0, False)
    assert (gate.look(99 * MIB, 10), gate.closed) == (0, False)


def test_it_is_near_from_nine_tenths_on() -> None:
    gate = Gate(100 * MIB, 0)
    assert [gate.near(used) for used in (89 * MIB, 90 * MIB)] == [False, True]


def test_it_asks_for_what_clients_need_and_not_for_what_was_there_before() -> None:
    gate = Gate(100 * MIB, 50 * MIB)
    # 60 MiB for 6000 sessions: 20 MiB are the part of 2000, but no more than a quarter ends at once.
    assert gate.look(110 * MIB, 6000) == 1500


def test_afterwards_it_goes_by_what_was_given_back() -> None:
    gate = Gate(100 * MIB, 50 * MIB)
    assert gate.look(101 * MIB, 5100) == 1100
    # They gave back half of what they had: twice as many as it seemed are needed for the 5.5 MiB that are left.
    assert gate.look(round(95.5 * MIB), 4000) == 1000
    assert gate.look(91 * MIB, 3000) == 210


@pytest.mark.parametrize("used", [101, 200])
def test_memory_that_does_not_come_back_never_asks_for_more_than_a_quarter(used: int) -> None:
    gate = Gate(100 * MIB, 20 * MIB)
    gate.look(101 * MIB, 1000)
    assert gate.look(used * MIB, 900) == 225
    assert gate.look(used * MIB, 100) == 64
    assert gate.look(used * MIB, 3) == 3


def test_holes_do_not_end_everybody() -> None:
    """The limit is kept, but what the ended ones needed stays with the process."""
    gate = Gate(100 * MIB, 20 * MIB)
    sessions = 5000
    for used in (101, 99, 98, 97, 96):
        sessions -= gate.look(used * MIB, sessions)
    assert not gate.closed
    assert sessions > 1000
    gate.look(101 * MIB, sessions)
    assert gate.closed


def test_a_limit_that_cannot_be_kept_does_not_close_it_for_ever() -> None:
    gate = Gate(100 * MIB, 20 * MIB)
    gate.look(120 * MIB, 50)
    assert (gate.look(110 * MIB, 0), gate.closed, gate.beyond) == (0, False, True)
    assert (gate.look(130 * MIB, 10), gate.closed) == (0, False)
    gate.look(131 * MIB, 10)
    assert gate.closed
    gate.look(119 * MIB, 10)
    assert not gate.closed


def test_the_limit_holds_again_as_soon_as_it_can() -> None:
    gate = Gate(100 * MIB, 120 * MIB)
    gate.look(120 * MIB, 0)
    assert (gate.closed, gate.beyond) == (True, False)
    gate.look(120 * MIB, 0)
    assert (gate.closed, gate.beyond) == (False, True)
    gate.look(80 * MIB, 0)
    assert not gate.beyond
    gate.look(101 * MIB, 1)
    assert gate.closed


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 10_000)), max_size=50))
def test_it_never_ends_more_than_it_may_nor_any_while_it_is_open(looks: list[tuple[int, int]]) -> None:
    gate = Gate(100 * MIB, 20 * MIB)
    for used, sessions in looks:
        count = gate.look(used * MIB, sessions)
        assert 0 <= count <= min(sessions, max(64, sessions // 4))
        assert (count > 0) == (gate.closed and sessions > 0)
