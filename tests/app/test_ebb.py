from __future__ import annotations

from gproxy.app.ebb import Ebb


def given(*counts: int) -> list[int]:
    """At which looks memory was given back, when so many sessions were seen one after the other."""
    sessions: list[None] = []
    given_back: list[None] = []
    times: list[int] = []
    ebb = Ebb(sessions, lambda: given_back.append(None))
    for look, count in enumerate(counts):
        sessions[:] = [None] * count
        before = len(given_back)
        ebb.look()
        times += [look] * (len(given_back) - before)
    return times


def test_after_a_flood_once() -> None:
    assert given(0, 5000, 3000, 1251, 1250, 1000, 0, 0) == [4, 6]


def test_a_few_sessions_are_no_flood() -> None:
    assert given(0, 999, 0) == []
    assert given(0, 1000, 0, 0) == [2]


def test_what_stays_is_the_new_beginning() -> None:
    assert given(4000, 1000, 1000, 900, 250) == [1, 4]
