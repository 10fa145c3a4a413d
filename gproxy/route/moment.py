"""The time of day and the day of the week, where a rule says that it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple, Self

from gproxy.base.clock import wall
from gproxy.schema.problem import BadValue, expected

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_RANGE = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|(24:00))")
_DAY = 24 * 60


class DayRange(NamedTuple):
    """From one time of day up to another, in minutes since midnight, written `08:00-17:30`; the end does not belong to
    it. An end that is not after the beginning is one of the next day.
    """

    first: int
    end: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a range. Raises BadValue."""
        what = "a range of times such as `08:00-17:30` or `22:00-06:00`"
        if not isinstance(value, str):
            raise expected(what, value)
        match = _RANGE.fullmatch(value)
        if match is None:
            raise BadValue(f"expected {what}")
        first = int(match[1]) * 60 + int(match[2])
        end = _DAY if match[5] else int(match[3]) * 60 + int(match[4])
        if first == end:
            raise BadValue(f"expected {what}", "`00:00-24:00` is the whole day")
        return cls(first, end)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text, two times with a dash."""
        return {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$"}

    def __str__(self) -> str:
        first, end = self
        return f"{first // 60:02}:{first % 60:02}-{end // 60:02}:{end % 60:02}"


class TimeZone(str):
    """The name of a time zone that this machine knows, such as `Europe/Berlin`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a name. Raises BadValue."""
        if not isinstance(value, str):
            raise expected("the name of a time zone", value)
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            hint = "" if value.upper() != "LOCAL" else "leave it out for this machine's own"
            raise BadValue(
                "expected the name of a time zone that this machine knows, such as `Europe/Berlin`", hint
            ) from None
        return cls(value)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


class Almanac:
    """The day and the minute of it in one time zone; empty: this machine's."""

    __slots__ = ("_day", "_minute", "_known", "_zone")

    def __init__(self, zone: str) -> None:
        self._zone = _zone(zone) if zone else None
        self._known = -1
        self._day = 0
        self._minute = 0

    def read(self) -> tuple[int, int]:
        """The day of the week, Monday being 0, and the minute since midnight."""
        minute = int(wall() // 60)
        if minute != self._known:
            here = datetime.fromtimestamp(minute * 60, UTC).astimezone(self._zone)
            self._known, self._day, self._minute = minute, here.weekday(), here.hour * 60 + here.minute
        return self._day, self._minute


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def minutes_of(ranges: Iterable[DayRange]) -> bytes:
    """For each minute of a day whether it is in one of the ranges: 1 or 0."""
    minutes = bytearray(_DAY)
    for first, end in ranges:
        for minute in range(first, end if end > first else end + _DAY):
            minutes[minute % _DAY] = 1
    return bytes(minutes)
