"""The types of values that rules have about clients, machines and places."""

from __future__ import annotations

import re
from typing import Any, Self

from gproxy.route.fields import Word
from gproxy.schema.model import read_integer
from gproxy.schema.problem import BadValue, expected, near_miss

_MAC = re.compile(r"[0-9a-f]{12}")
_CODE = re.compile(r"[a-z0-9][a-z0-9!@_.-]{0,63}")

# RFC 2474, 2597, 3246, 5865, 8622.
_CLASSES = {f"cs{number}": number * 8 for number in range(8)}
_ASSURED = {f"af{group}{drop}": group * 8 + drop * 2 for group in range(1, 5) for drop in range(1, 4)}
CODE_POINTS = _CLASSES | _ASSURED | {"be": 0, "ef": 46, "va": 44, "le": 1}
"""The names of differentiated services code points."""


class NetworkType(Word):
    """A kind of network, as graphical clients tell it."""

    __slots__ = ()
    words = ("wifi", "cellular", "ethernet", "other")


class Weekday(Word):
    """A day of the week."""

    __slots__ = ()
    words = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Mac(str):
    """A MAC address, in lower case with colons."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read an address, written with colons, dashes, Cisco's dots or nothing. Raises BadValue."""
        what = "a MAC address such as `02:00:5e:10:00:01`"
        if not isinstance(value, str):
            raise expected(what, value)
        digits = re.sub(r"[:.-]", "", value.lower())
        if _MAC.fullmatch(digits) is None:
            raise BadValue(f"expected {what}")
        return cls(":".join(digits[at : at + 2] for at in range(0, 12, 2)))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


class Code(str):
    """The name of a list in a database: of a country such as `de`, or of sites such as `example@ads`; in lower case."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a name. Raises BadValue."""
        if not isinstance(value, str):
            raise expected("a code such as `de`", value)
        text = value.lower()
        if _CODE.fullmatch(text) is None:
            raise BadValue("expected a code such as `de`")
        return cls(text)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text."""
        return {"type": "string"}


class AsNumber(int):
    """The number of an autonomous system, also written `AS64500`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a number. Raises BadValue."""
        what = "the number of an autonomous system such as 64500 or `AS64500`"
        if isinstance(value, str) and re.fullmatch("(AS|as|As)?[0-9]{1,10}", value):
            number = int(value.upper().removeprefix("AS"))
        else:
            number = read_integer(value, what)
        if not 0 < number < 2**32:
            raise BadValue(f"expected {what}")
        return cls(number)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer or text."""
        number = {"type": "integer", "minimum": 1, "maximum": 2**32 - 1}
        return {"anyOf": [number, {"type": "string", "pattern": "^([Aa][Ss])?[0-9]{1,10}$"}]}


class UserId(int):
    """The number of a user of this machine."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a number. Raises BadValue."""
        what = "the number of a user, 0 to 4294967295"
        number = read_integer(value, what)
        if not 0 <= number < 2**32:
            raise BadValue(f"expected {what}")
        return cls(number)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer."""
        return {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}


class CodePoint(int):
    """A differentiated services code point: 0 to 63, or a name such as `ef`, `af41`, `cs1`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read one. Raises BadValue."""
        what = "a code point, 0 to 63, or its name such as `ef`, `af41` or `cs1`"
        if isinstance(value, str) and not value.isdigit():
            if value.lower() not in CODE_POINTS:
                raise BadValue(f"expected {what}", near_miss(value, CODE_POINTS))
            return cls(CODE_POINTS[value.lower()])
        number = read_integer(value, what)
        if not 0 <= number < 64:
            raise BadValue(f"expected {what}")
        return cls(number)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer or a name."""
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 63}, {"enum": sorted(CODE_POINTS)}]}
