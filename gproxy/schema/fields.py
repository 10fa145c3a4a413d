"""The types of fields that are more than text and numbers.

Each has `parse(value)`, which takes what TOML or JSON gave and raises BadValue saying what was expected, and
`json_schema()`. Types of other libraries get the two through `Parsed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self

from gproxy.base.address import IP, parse_host, parse_ip
from gproxy.schema.model import read_integer
from gproxy.schema.problem import BadValue, Substituted, expected

Network = Literal["tcp", "udp"]

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h|d)", re.ASCII)
_MAX_SECONDS = 2**63 / 1e9  # what sing-box can hold: 292 years


class Duration(float):
    """A length of time in seconds, written as Go does, with days: `300ms`, `1h30m`, `1d`."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a duration's text. Raises BadValue; a bare number is refused, because its unit can only be guessed."""
        what = "a duration such as `300ms`, `5s` or `1h30m`"
        if not isinstance(value, str):
            number = isinstance(value, int) and not isinstance(value, bool)
            raise BadValue(str(expected(what, value)), f'with a unit: "{value}s" is {value} seconds' if number else "")
        if value == "0":
            return cls(0)
        return cls(_duration_seconds(value, what))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text in Go's syntax."""
        return {"type": "string", "pattern": "^(0|([0-9]*\\.?[0-9]+(ns|us|µs|ms|s|m|h|d))+)$"}

    def __str__(self) -> str:
        """The shortest text that reads back as this duration: `5m`, `1h30m`, `300ms`."""
        if self < 1:
            return f"{self * 1000:g}ms" if self else "0s"
        rest, text = float(self), ""
        for unit in ("d", "h", "m"):
            count, rest = divmod(rest, _SECONDS[unit])
            text += f"{count:.0f}{unit}" if count else ""
        return text + (f"{rest:g}s" if rest else "")


def _duration_seconds(text: str, what: str) -> float:
    parts = _DURATION_PART.findall(text) if len(text) <= 100 else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        unitless = text.isascii() and text.isdigit()
        raise BadValue(f"expected {what}", "the unit is missing" if unitless else "")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _MAX_SECONDS:
        raise BadValue(f"expected {what}, got one of more than 292 years")
    return seconds


_BYTES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BYTES |= {f"{unit}i": 1024**power for power, unit in enumerate("kmgt", 1)}
_BYTE_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmgt]?i?)b?", re.IGNORECASE | re.ASCII)


class ByteSize(int):
    """A number of bytes: `"64 MB"` (decimal), `"64 MiB"` (binary), or a bare integer."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a size. Raises BadValue."""
        what = 'a size such as "64 MB" or "512 KiB"'
        if isinstance(value, str):
            match = _BYTE_SIZE.fullmatch(value.strip())
            unit = match[2].lower() if match else "?"
            if match is None or unit not in _BYTES:
                raise BadValue(f"expected {what}")
            return cls(float(match[1]) * _BYTES[unit])
        size = read_integer(value, what)
        if size < 0:
            raise BadValue(f"expected {what}, got a negative number")
        return cls(size)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text with a unit, or an integer."""
        pattern = "^[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtT]?[iI]?)[bB]?$"
        return {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": pattern}]}


MAX_PORT = 65535


class Port(int):
    """A port number, 0 to 65535; where something listens, 0 lets the system choose."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a port number. Raises BadValue."""
        what = "a port number, 0 to 65535"
        port = read_integer(value, what)
        if not 0 <= port <= MAX_PORT:
            raise BadValue(f"expected {what}")
        return cls(port)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer in the range."""
        return {"type": "integer", "minimum": 0, "maximum": MAX_PORT}


class PortRange(NamedTuple):
    """Ports from `first` to `last`, both included, written `2000-2010`."""

    first: int
    last: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a range of ports that a server can have: 1 to 65535. Raises BadValue."""
        return cls(*_bounds(value, "-", "a range of ports such as `2000-2010`", open_ended=False))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text, two numbers with a dash."""
        return {"type": "string", "pattern": "^[0-9]{1,5}-[0-9]{1,5}$"}


class RulePortRange(NamedTuple):
    """Ports from `first` to `last`, both included, as rules write them: `1000:2000`, `:3000`, `4000:`."""

    first: int
    last: int

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a range of ports, either end of which may be open. Raises BadValue."""
        return cls(*_bounds(value, ":", "a range of ports such as `1000:2000`, `:3000` or `4000:`", open_ended=True))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text, two numbers with a colon, one of which may be left out."""
        return {"type": "string", "pattern": "^([0-9]{1,5}:[0-9]{0,5}|:[0-9]{1,5})$"}


def _bounds(value: object, separator: str, what: str, *, open_ended: bool) -> tuple[int, int]:
    if not isinstance(value, str):
        raise expected(what, value)
    low, found, high = value.partition(separator)
    ends = [low.strip(), high.strip()]
    if open_ended and found and any(ends):
        ends = [ends[0] or "0", ends[1] or str(MAX_PORT)]
    if not found or not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
        raise BadValue(f"expected {what}")
    first, last = int(ends[0]), int(ends[1])
    if not (0 if open_ended else 1) <= first <= last <= MAX_PORT:
        raise BadValue(f"expected {what}: the smaller port first, none above 65535")
    return first, last


MAX_MARK = 2**32 - 1


class Mark(int):
    """A netfilter mark: an integer, or text such as `"0x2023"`; 0 is none."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a mark. Raises BadValue."""
        what = 'a mark such as 8227 or "0x2023"'
        if isinstance(value, str) and re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}", value):
            mark = int(value, 16 if value[:2].lower() == "0x" else 10)
        elif isinstance(value, str) and not isinstance(value, Substituted):
            raise BadValue(f"expected {what}")
        else:
            mark = read_integer(value, what)
        if not 0 <= mark <= MAX_MARK:
            raise BadValue(f"expected {what}, of 32 bits")
        return cls(mark)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """An integer, or its text."""
        text = {"type": "string", "pattern": "^(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})$"}
        return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_MARK}, text]}


class Secret:
    """Text that is never shown: whatever prints, formats or encodes it gets `***`. Compared in constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read text. Raises BadValue, which never quotes it."""
        if not isinstance(value, str):
            raise expected("text", value)
        return cls(str(value))

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text that editors should hide."""
        return {"type": "string", "writeOnly": True}

    def reveal(self) -> str:
        """The text itself, for the one who needs it: never put it into a log or an error."""
        return self._text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """Gives a type of another library a `parse` and a `json_schema`: `Annotated[ThatType, Parsed(...)]`."""

    parse: Callable[[object], Any]
    schema: Mapping[str, Any]

    def json_schema(self) -> dict[str, Any]:
        """What was given as `schema`."""
        return dict(self.schema)


def _parse_address(value: object) -> IP:
    if not isinstance(value, str):
        raise expected("an IP address", value)
    try:
        return parse_ip(value)
    except ValueError:
        raise BadValue("expected an IP address") from None


def _parse_cidr(value: object) -> IPv4Network | IPv6Network:
    what = "an IP prefix such as `10.0.0.0/8`, or an IP address"
    if not isinstance(value, str):
        raise expected(what, value)
    try:
        return ip_network(value, strict=False)  # sing-box takes 10.0.0.1/8 and means 10.0.0.0/8
    except ValueError:
        raise BadValue(f"expected {what}") from None


def is_host(text: str) -> bool:
    """Whether this is an IP address or a domain."""
    try:
        parse_host(text)
    except ValueError:
        return False
    return True


IPAddress = Annotated[IPv4Address | IPv6Address, Parsed(_parse_address, {"type": "string"})]
"""An IP address of either family."""

Cidr = Annotated[IPv4Network | IPv6Network, Parsed(_parse_cidr, {"type": "string"})]
"""An IP prefix; a single address is the prefix that holds it alone."""
