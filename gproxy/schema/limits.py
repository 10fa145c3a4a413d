"""What can be configured about limits: how much of gproxy one user, one address or one way may take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, Self

from gproxy.schema.fields import ByteSize
from gproxy.schema.model import Options, doc
from gproxy.schema.problem import BadValue, expected

_UNITS: Final = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([kKmMgGtT]?)(i?)(bps|bit/s|[bB]/s)", re.ASCII)

Who = Literal["user", "source", "inbound", "outbound", "rule"]


class Rate(float):
    """A rate in bytes a second: `"10 Mbps"` and `"10 Mbit/s"` are bits, `"1.5 MB/s"` and `"1 MiB/s"` are bytes."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read a rate. Raises BadValue; a bare number is refused, because its unit can only be guessed."""
        what = 'a rate such as "10 Mbps" (bits) or "1.5 MB/s" (bytes)'
        if not isinstance(value, str):
            raise expected(what, value)
        match = _RATE.fullmatch(value.strip())
        if match is None:
            raise BadValue(f"expected {what}")
        number, prefix, binary, unit = match.groups()
        if unit == "b/s" or (binary and not prefix):
            raise BadValue(f"expected {what}", "`b/s` is read in two ways: write `bit/s` or `B/s`")
        scale = 1024.0 ** ("kmgt".index(prefix.lower()) + 1) if binary else _UNITS[prefix.lower()]
        rate = float(number) * scale / (1 if unit == "B/s" else 8)
        if rate < 1:
            raise BadValue(f"expected {what}, of a byte a second at least")
        return cls(rate)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Text with a unit."""
        return {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?\\s*[kKmMgGtT]?i?(bps|bit/s|B/s)$"}


class LimitOptions(Options):
    """One limit, or several for the same. Which sessions it is for: those of the named users, inbounds and outbounds.

    `each` says who has a budget of his own; without it, all those sessions share one.
    """

    tag: Annotated[
        str, doc("The name that inbounds, rules, the log and the status use; the entry's index if empty.")
    ] = ""
    each: Annotated[
        tuple[Who, ...],
        doc(
            "Who has a budget of his own: each `user`, `source` address, `inbound`, `outbound` or `rule`, or each "
            "combination of several. One budget for all if empty."
        ),
    ] = ()
    users: Annotated[tuple[str, ...], doc("For these users only.")] = ()
    inbounds: Annotated[tuple[str, ...], doc("For clients of these inbounds only (tags).")] = ()
    outbounds: Annotated[tuple[str, ...], doc("For what goes out by these outbounds only (tags).")] = ()
    source_prefix_ipv4: Annotated[
        int, doc("IPv4 addresses are one source if they have so many bits in common.", minimum=8, maximum=32)
    ] = 32
    source_prefix_ipv6: Annotated[
        int, doc("IPv6 addresses are one source if they have so many bits in common.", minimum=16, maximum=128)
    ] = 64
    up: Annotated[Rate | None, doc("Payload bytes a second from clients.")] = None
    down: Annotated[Rate | None, doc("Payload bytes a second to clients.")] = None
    burst: Annotated[
        ByteSize | None,
        doc("Bytes that may be moved beyond the rate after a pause; what the rate moves in 50 ms, 16 KiB at least."),
    ] = None
    connections_per_second: Annotated[
        float | None, doc("New connections, and UDP sessions, a second.", minimum=0.001, maximum=1e6)
    ] = None
    connections_burst: Annotated[
        int | None,
        doc("New connections at once after a pause; those of one second if unset.", minimum=1, maximum=10**6),
    ] = None
    max_connections: Annotated[
        int | None, doc("Open connections, UDP sessions included.", minimum=1, maximum=10**7)
    ] = None
    max_udp_sessions: Annotated[int | None, doc("Open UDP sessions.", minimum=1, maximum=10**7)] = None
    max_handshakes: Annotated[
        int | None,
        doc("Connections that have not said yet who they are and where they want to go.", minimum=1, maximum=10**7),
    ] = None
    max_sources: Annotated[
        int | None, doc("Distinct source addresses (devices) with open connections.", minimum=1, maximum=64)
    ] = None

    def check(self) -> Iterator[tuple[str, str]]:
        """There is something to limit, at a time when it can be known."""
        yield from super().check()
        if not any(getattr(self, key) is not None for key in (*_RATES, *_COUNTS)):
            yield "", "expected a limit: one of " + ", ".join(f"`{key}`" for key in (*_RATES, *_COUNTS))
        if self.connections_burst is not None and self.connections_per_second is None:
            yield "connections_burst", "has no effect without `connections_per_second`"
        if self.burst is not None and self.up is None and self.down is None:
            yield "burst", "has no effect without `up` or `down`"
        late: list[str] = [word for word in self.each if word in ("user", "outbound", "rule")]
        late += [key for key in ("users", "outbounds") if getattr(self, key)]
        if self.max_handshakes is not None and late:
            yield "max_handshakes", f"during a handshake it is not known yet which `{late[0]}` it is"
        if self.max_sources is not None and "source" in self.each:
            yield "max_sources", "has no effect where each source has a budget of its own"


_RATES: Final = ("up", "down", "connections_per_second")
_COUNTS: Final = ("max_connections", "max_udp_sessions", "max_handshakes", "max_sources")
