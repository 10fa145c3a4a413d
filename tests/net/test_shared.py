from __future__ import annotations

import pytest

from gproxy.base.errors import DialError
from gproxy.net.shared import SharedDial
from gproxy.rt.group import Group
from gproxy.rt.sync import Event

pytestmark = pytest.mark.usefixtures("no_leaks")


class Way:
    """A way to something, which opens when it is told to."""

    def __init__(self, *, fails: bool = False, brings: bool = True) -> None:
        self.shared = SharedDial()
        self.opens = Event()
        self.dials = 0
        self.got: list[object] = []
        self._fails = fails
        self._brings = brings
        self._there: str | None = None

    def dial(self) -> str | None:
        self.dials += 1
        self.opens.wait()
        if self._fails:
            raise DialError("nobody there", reason="refused")
        self._there = "link"
        return self._there if self._brings else None

    def ask(self) -> None:
        try:
            self.got.append(self.shared.get(lambda: self._there, self.dial))
        except DialError as error:
            self.got.append((str(error), error.reason))


def together(way: Way) -> list[object]:
    with Group("test") as group:
        for _ in range(3):
            group.spawn(way.ask)
        group.join(0.01)
        way.opens.set()
        assert group.join(30)
    return way.got


@pytest.mark.parametrize("brings", [True, False])
def test_one_dials_for_all(brings: bool) -> None:
    way = Way(brings=brings)
    assert together(way) == ["link"] * 3
    assert way.dials == 1


def test_who_waits_shares_the_failure_and_who_comes_later_does_not() -> None:
    way = Way(fails=True)
    assert together(way) == [("nobody there", "refused")] * 3
    assert way.dials == 1
    way.ask()
    assert way.dials == 2


def test_a_dial_that_is_broken_off_leaves_the_turn_to_the_next() -> None:
    way = Way()
    with Group("test") as group:
        first = group.spawn(way.ask)
        group.spawn(way.ask)
        group.join(0.01)
        first.kill()
        way.opens.set()
        assert group.join(30)
    assert (way.got, way.dials) == (["link"], 2)
