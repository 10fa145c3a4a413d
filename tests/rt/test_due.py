from __future__ import annotations

import pytest

from gproxy.base.clock import now
from gproxy.rt.due import Due
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaked_greenlets")


class One:
    """Somebody whose time runs; it says so in a list when that is over."""

    def __init__(self, over: list[One]) -> None:
        self.over = over

    def late(self) -> None:
        self.over.append(self)


def test_who_is_late_hears_so_in_turn_and_who_is_not_does_not() -> None:
    over: list[One] = []
    due = Due(0.03)
    first, kept, last = One(over), One(over), One(over)
    began = now()
    for one in (first, kept):
        due.add(one, now())
    wait_until(lambda: now() - began > 0.01, "time stands still")
    due.add(last, now())
    due.drop(kept)
    due.drop(kept)
    assert len(due) == 2
    wait_until(lambda: over, "nobody is late")
    assert over[0] is first
    assert now() - began >= 0.029
    wait_until(lambda: len(over) == 2, "the last one is not late")
    assert over == [first, last]
    assert not len(due)


def test_it_goes_on_after_a_pause() -> None:
    over: list[One] = []
    due = Due(0.01)
    for _ in range(2):
        one = One(over)
        due.add(one, now())
        wait_until(lambda: over, "it is not late")
        assert over == [one]
        over.clear()


def test_who_is_late_may_begin_anew_and_end_others() -> None:
    over: list[One] = []
    due = Due(0.01)
    other = One(over)

    class Another(One):
        def late(self) -> None:
            super().late()
            due.drop(other)
            due.add(other, now())

    due.add(Another(over), now())
    wait_until(lambda: other in over, "the other one is not late")
    assert over.index(other) == 1
