"""The configured limits, and what one session is held to.

A limit is looked at as soon as all is known that it depends on: when a client arrives (its address, the inbound), when
it has proved who it is (its user), or when it is decided where it goes (the outbound, the rule). What a session takes
of a limit, it gives back at its end.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, Literal

from gproxy.base.address import Address
from gproxy.base.errors import Limited, LimitReason
from gproxy.base.session import Session
from gproxy.limit.bucket import TokenBucket
from gproxy.limit.ledger import COUNTS, RATES, Ledger
from gproxy.limit.tolls import Budget, SharedToll

_log = logging.getLogger("gproxy.limit")

# A limit that refuses is told about so often: at once, then every so many seconds, with how many it were.
_SAY_EVERY, _SAY_BURST = 60.0, 2

Stage = Literal[0, 1, 2]
"""When a limit is looked at: at the arrival, when the user is known, when the way is decided."""

ARRIVED: Final = 0
KNOWN: Final = 1
ROUTED: Final = 2

Who = Literal["user", "source", "inbound", "outbound", "rule"]

# What the ledger's rates and counts of a row are for.
_BY_CONNECTIONS, _BY_UP, _BY_DOWN = range(RATES)
_CONNECTIONS, _SESSIONS, _HANDSHAKES = range(COUNTS)


class Notice:
    """What is said of a limit that refuses, in one process: not a line for each session."""

    __slots__ = ("_bucket", "_more")

    def __init__(self) -> None:
        self._bucket = TokenBucket(1 / _SAY_EVERY, _SAY_BURST)
        self._more = 0  # since the last one

    def refuse(self, tag: str, what: str) -> None:
        """It has refused a session, and why."""
        if not self._bucket.take():
            self._more += 1
            return
        more = f", and {self._more} others before" if self._more else ""
        _log.warning("limit %s refuses a session: %s%s", tag, what, more)
        self._more = 0


@dataclass(frozen=True, slots=True)
class Limit:
    """One of the configuration's. Rates are in a second, of bytes or connections; None and 0 stand for no limit."""

    tag: str
    each: tuple[Who, ...] = ()
    users: frozenset[str] = frozenset()
    inbounds: frozenset[str] = frozenset()
    outbounds: frozenset[str] = frozenset()
    by_rule: bool = False  # only for sessions whose rule names it
    prefix_ipv4: int = 32
    prefix_ipv6: int = 64
    up: float = 0.0
    down: float = 0.0
    burst: float = 1.0
    connections_rate: float = 0.0
    connections_burst: float = 1.0
    max_connections: int = 0
    max_sessions: int = 0
    max_handshakes: int = 0
    max_sources: int = 0
    refused: Counter[LimitReason] = field(default_factory=Counter, compare=False)  # what it has refused in this process
    notice: Notice = field(default_factory=Notice, compare=False)
    counts: bool = field(init=False, compare=False, default=False)  # it has a ceiling
    _head: bytes = field(init=False, compare=False, default=b"")  # of its keys
    _for_all: bool = field(init=False, compare=False, default=False)  # it concerns every session

    def __post_init__(self) -> None:
        object.__setattr__(self, "_head", b"limit\0" + self.tag.encode())
        counts = self.max_connections or self.max_sessions or self.max_handshakes or self.max_sources
        object.__setattr__(self, "counts", bool(counts))
        some = self.inbounds or self.users or self.outbounds or self.by_rule or "user" in self.each
        object.__setattr__(self, "_for_all", not some)

    @property
    def stage(self) -> Stage:
        """When all is known that it depends on."""
        if self.by_rule or self.outbounds or "outbound" in self.each or "rule" in self.each:
            return 2
        return 1 if self.users or "user" in self.each else 0

    def concerns(self, session: Session) -> bool:
        """Whether it is for this session, by what is known at its stage."""
        return self._for_all or (
            (not self.inbounds or session.inbound in self.inbounds)
            and (not self.users or session.user in self.users)
            and (not self.outbounds or session.outbound in self.outbounds)
            and (not self.by_rule or self.tag in session.limits)
            and ("user" not in self.each or bool(session.user))
        )

    def key(self, session: Session) -> bytes:
        """Whose budget it is."""
        key = self._head
        for who in self.each:
            key += b"\0" + self._part(who, session)
        return key

    def source(self, address: Address) -> bytes:
        """The client's address, as far as it counts."""
        host = address.host
        if type(host) is IPv4Address:
            if self.prefix_ipv4 == 32:
                return host.packed
            return (int(host) >> (32 - self.prefix_ipv4)).to_bytes(17, "big")
        if isinstance(host, str):
            return host.encode()
        return host.packed if self.prefix_ipv6 == 128 else (int(host) >> (128 - self.prefix_ipv6)).to_bytes(17, "big")

    def _part(self, who: Who, session: Session) -> bytes:
        if who == "source":
            return self.source(session.source)
        text: str | None = getattr(session, who)
        return (text or "").encode()


class Limits:
    """All of them, with the ledger that says how much of them is taken."""

    def __init__(self, limits: Iterable[Limit], ledger: Ledger) -> None:
        self._ledger = ledger
        by_stage: list[list[Limit]] = [[], [], []]
        for limit in limits:
            by_stage[limit.stage].append(limit)
        self._by_stage: Sequence[tuple[Limit, ...]] = tuple(map(tuple, by_stage))

    def join(self) -> None:
        """Begin to count in this process. Raises OSError."""
        self._ledger.join()

    def refused(self) -> dict[tuple[str, str], int]:
        """What has been refused in this process so far, by the limit's tag and the reason."""
        return {
            (limit.tag, reason): count
            for stage in self._by_stage
            for limit in stage
            for reason, count in limit.refused.items()
        }

    def arrive(self, session: Session) -> Hold:
        """A client has come: what it is held to. Raises Limited; nothing is taken then."""
        hold = Hold(self._ledger, self._by_stage)
        if self._by_stage[ARRIVED]:
            hold.look(session, ARRIVED)
        return hold


class Hold:
    """What one session, or a part of it, has taken of the limits. It is given back with `close`."""

    __slots__ = ("_by_stage", "_down", "_handshakes", "_ledger", "_taken", "_up")

    def __init__(
        self,
        ledger: Ledger,
        by_stage: Sequence[tuple[Limit, ...]],
        up: tuple[Budget, ...] = (),
        down: tuple[Budget, ...] = (),
    ) -> None:
        self._ledger = ledger
        self._by_stage = by_stage
        self._taken: list[tuple[int, int, int]] = []  # row, which of its counts, and whose the row was
        self._handshakes: list[tuple[int, int, int]] = []
        self._up = up
        self._down = down

    def part(self) -> Hold:
        """For a part of the session: its bytes are the session's too, and what it takes ends with it."""
        return Hold(self._ledger, self._by_stage, self._up, self._down)

    def look(self, session: Session, stage: Stage) -> None:
        """So much is known now. Raises Limited, and has given back all by then."""
        for limit in self._by_stage[stage]:
            if limit.concerns(session):
                try:
                    self._enter(limit, session)
                except Limited:
                    self.close()
                    raise

    def settled(self) -> None:
        """The handshake is over. Idempotent."""
        self._release(self._handshakes)

    def _enter(self, limit: Limit, session: Session) -> None:
        key = limit.key(session)
        if limit.connections_rate or limit.counts:
            ledger = self._ledger
            row = ledger.row(key)
            seat = self._look_at_counts(limit, key, row, session) if limit.counts else -1
            rate = limit.connections_rate
            if rate and not ledger.take(row, _BY_CONNECTIONS, rate, limit.connections_burst):
                raise _full(limit, "rate", f"more than {rate:g} connections a second")
            if limit.counts:
                self._take_counts(limit, row, seat, session)
        if limit.up:
            self._up += (Budget(key, _BY_UP, limit.up, limit.burst),)
        if limit.down:
            self._down += (Budget(key, _BY_DOWN, limit.down, limit.burst),)

    def _look_at_counts(self, limit: Limit, key: bytes, row: int, session: Session) -> int:
        """The row of the seat that its source may have; -1 if none is needed. Raises Limited; nothing is taken yet."""
        count = self._ledger.count
        if limit.max_connections and count(row, _CONNECTIONS) >= limit.max_connections:
            raise _full(limit, "connections", f"{limit.max_connections} connections are open")
        if limit.max_sessions and session.network == "udp" and count(row, _SESSIONS) >= limit.max_sessions:
            raise _full(limit, "sessions", f"{limit.max_sessions} UDP sessions are open")
        if limit.max_handshakes and count(row, _HANDSHAKES) >= limit.max_handshakes:
            raise _full(limit, "handshakes", f"{limit.max_handshakes} handshakes are in progress")
        return self._seat(limit, key, session) if limit.max_sources else -1

    def _take_counts(self, limit: Limit, row: int, seat: int, session: Session) -> None:
        if seat >= 0:
            self._take(seat, _CONNECTIONS)
        if limit.max_connections:
            self._take(row, _CONNECTIONS)
        if limit.max_sessions and session.network == "udp":
            self._take(row, _SESSIONS)
        if limit.max_handshakes:
            self._ledger.enter(row, _HANDSHAKES)
            self._handshakes.append((row, _HANDSHAKES, self._ledger.tag(row)))

    def _seat(self, limit: Limit, key: bytes, session: Session) -> int:
        """The row of this source's seat: one of as many as there may be sources, each with its holder's name."""
        ledger, holder = self._ledger, limit.source(session.source)
        free = -1
        for number in range(limit.max_sources):
            row = ledger.row(b"%b\0%d" % (key, number))
            if not ledger.count(row, _CONNECTIONS):
                free = row if free < 0 else free
            elif ledger.holds(row, holder):
                return row
        if free < 0:
            raise _full(limit, "sources", f"{limit.max_sources} other addresses are in use")
        ledger.hand(free, holder)
        return free

    def _take(self, row: int, which: int) -> None:
        self._ledger.enter(row, which)
        self._taken.append((row, which, self._ledger.tag(row)))

    def _release(self, taken: list[tuple[int, int, int]]) -> None:
        for row, which, tag in taken:
            self._ledger.leave(row, which, tag)
        taken.clear()

    def tolls(self) -> tuple[SharedToll | None, SharedToll | None]:
        """What it costs to move bytes from the client and to it."""
        return (
            SharedToll(self._ledger, self._up) if self._up else None,
            SharedToll(self._ledger, self._down) if self._down else None,
        )

    def close(self) -> None:
        """Give back all. Idempotent."""
        self._release(self._taken)
        self._release(self._handshakes)


def _full(limit: Limit, reason: LimitReason, what: str) -> Limited:
    limit.refused[reason] += 1
    limit.notice.refuse(limit.tag, what)
    return Limited(f"limit {limit.tag}: {what}", reason=reason)
