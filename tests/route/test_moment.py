from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gproxy.base import clock
from gproxy.route.moment import WEEKDAYS, Almanac, DayRange, TimeZone, minutes_of
from gproxy.schema.problem import BadValue


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("08:00-17:30", (480, 1050)),
        ("22:00-06:00", (1320, 360)),
        ("00:00-24:00", (0, 1440)),
        ("23:59-00:00", (1439, 0)),
    ],
)
def test_a_range_of_times(text: str, wanted: tuple[int, int]) -> None:
    found = DayRange.parse(text)
    assert found == wanted
    assert str(found) == text


@pytest.mark.parametrize(
    "value", ["8:00-9:00", "08:00", "24:00-01:00", "08:60-09:00", "08:00-08:00", "", 7, None, "08:00–09:00"]
)
def test_what_is_no_range(value: object) -> None:
    with pytest.raises(BadValue, match="expected a range of times"):
        DayRange.parse(value)


def test_the_minutes_of_ranges() -> None:
    minutes = minutes_of([DayRange(480, 482), DayRange(1439, 1)])
    assert [minute for minute in range(1440) if minutes[minute]] == [0, 480, 481, 1439]


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC"])
def test_a_time_zone_that_this_machine_knows(name: str) -> None:
    assert TimeZone.parse(name) == name


@pytest.mark.parametrize("value", ["Europe/Nowhere", "", "../../etc/passwd", "/etc/localtime", "a\0b", 1, "Europe"])
def test_one_that_it_does_not_know(value: object) -> None:
    with pytest.raises(BadValue, match="time zone"):
        TimeZone.parse(value)


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "when", "wanted"),
    [
        ("UTC", at(2026, 11, 21, 23, 30), ("sat", 23 * 60 + 30)),
        ("Europe/Berlin", at(2026, 11, 21, 23, 30), ("sun", 30)),
        ("Europe/Berlin", at(2026, 7, 21, 23, 30), ("wed", 90)),  # summer
        ("America/New_York", at(2026, 11, 22, 4, 59, 59), ("sat", 23 * 60 + 59)),
    ],
)  # fmt: skip
def test_how_late_it_is_there(zone: str, when: float, wanted: tuple[str, int]) -> None:
    almanac = Almanac(zone)
    clock.wall.hold(lambda: when)
    try:
        day, minute = almanac.read()
    finally:
        clock.wall.release()
    assert (WEEKDAYS[day], minute) == wanted


def test_it_becomes_later() -> None:
    almanac = Almanac("UTC")
    times = iter([at(2026, 11, 21, 23, 59, 59), at(2026, 11, 21, 23, 59, 0), at(2026, 11, 22, 0, 0, 0)])
    clock.wall.hold(lambda: next(times))
    try:
        assert [almanac.read() for _ in range(3)] == [(5, 1439), (5, 1439), (6, 0)]
    finally:
        clock.wall.release()
