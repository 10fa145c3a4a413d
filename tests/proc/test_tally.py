from __future__ import annotations

import json
from typing import Any

from gproxy.proc.tally import Tally, breakers_of


def counters(opened: int, active: int = 0, **statuses: int) -> dict[str, Any]:
    return {"opened": opened, "active": active, "up": opened * 10, "down": opened * 100, "statuses": statuses}


def test_nothing_yet() -> None:
    assert Tally().totals() == counters(0)
    assert Tally().active(1) is None


def test_generations_add_up() -> None:
    tally = Tally()
    tally.note(1, counters(3, 2, ok=1))
    tally.note(2, counters(4, 1, ok=2, auth=1))
    assert tally.totals() == counters(7, 3, ok=3, auth=1)
    assert (tally.active(1), tally.active(2)) == (2, 1)


def test_the_newest_counts() -> None:
    tally = Tally()
    tally.note(1, counters(3, 2))
    tally.note(1, counters(5, 1))
    assert tally.totals() == counters(5, 1)


def test_what_is_over_stays_counted_but_is_not_open() -> None:
    tally = Tally()
    tally.note(1, counters(3, 2, ok=1))
    tally.close(1)
    tally.close(1)
    tally.close(9)
    assert tally.totals() == counters(3, 0, ok=1)
    tally.note(2, counters(1, 1))
    assert tally.totals() == counters(4, 1, ok=1)


def test_it_survives_an_upgrade() -> None:
    tally = Tally()
    tally.note(1, counters(3, 2, ok=1))
    tally.close(1)
    tally.note(2, counters(4, 1))
    again = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    assert again.totals() == tally.totals()
    again.close(2)
    assert again.totals() == counters(7, 0, ok=1)


def test_breakers_of_those_who_live() -> None:
    told = breakers_of([{"a": ["open", 2]}, {"a": ["closed", 1], "b": ["half-open", 1]}], [{"a": ["open", 4]}])
    assert told == {
        "a": {"closed": 1, "open": 1, "half-open": 0, "opened": 7},
        "b": {"closed": 0, "open": 0, "half-open": 1, "opened": 1},
    }
    tally = Tally()
    assert tally.breakers(1) == {}
    tally.note(1, {**counters(3, 2), "breakers": told})
    assert tally.breakers(1) == told
    assert tally.totals() == counters(3, 2)
    tally.note(2, counters(3, 2))
    assert tally.breakers(2) == {}, "older code does not tell"
