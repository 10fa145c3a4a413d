"""The configured limits, and what one session is held to.

A limit is looked at as soon as all is known that it depends on: when a client arrives (its address, the inbound), when
it has proved who it is (its user), or when it is decided where it goes (the outbound, the rule). What a session takes
of a limit, it gives back at its end.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, Literal

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import Limited, LimitReason
from gproxy.base.session import Session
from gproxy.limit.bucket import TokenBucket
from gproxy.limit.ledger import COUNTS, RATES, Entry, Ledger, Row
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

_MOST_SHARES: Final = 1 << 15  # of one limit that are remembered in this process

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


# By their place among a row's counts: the reason, and what is said of one that is full.
_CEILINGS: Final[tuple[tuple[LimitReason, str], ...]] = (
    ("connections", "connections are open"),
    ("sessions", "UDP sessions are open"),
    ("handshakes", "handshakes are in progress"),
)

Ceilings = tuple[tuple[int, int], ...]
"""Which of a row's counts, and the most that there may be."""


class Share(Row):
    """What a limit allows to one of those who have each their own."""

    __slots__ = ("down", "up")

    def __init__(self, limit: Limit, key: bytes, ledger: Ledger) -> None:
        super().__init__(key)
        row = Row(key)  # not this one, which would have itself: nothing is left behind for the collector
        self.up = SharedToll(ledger, (Budget(row, _BY_UP, limit.up, limit.burst),)) if limit.up else None
        self.down = SharedToll(ledger, (Budget(row, _BY_DOWN, limit.down, limit.burst),)) if limit.down else None


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
    ceilings: Mapping[str, Ceilings] = field(init=False, compare=False, default_factory=dict)  # by network
    looks: bool = field(init=False, compare=False, default=False)  # it may refuse a session
    for_all: bool = field(init=False, compare=False, default=False)  # it concerns every session
    _head: bytes = field(init=False, compare=False, default=b"")  # of its keys
    _by_address: bool = field(init=False, compare=False, default=False)  # each whole address of IPv4 has its own share
    _shares: dict[Hashable, Share] = field(init=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_head", b"limit\0" + self.tag.encode())
        ceilings = {"tcp": self._ceilings(0), "udp": self._ceilings(self.max_sessions)}
        object.__setattr__(self, "ceilings", ceilings)
        looks = self.connections_rate or self.max_sources or self.max_sessions or ceilings["tcp"]
        object.__setattr__(self, "looks", bool(looks))
        some = self.inbounds or self.users or self.outbounds or self.by_rule or "user" in self.each
        object.__setattr__(self, "for_all", not some)
        object.__setattr__(self, "_by_address", self.each == ("source",) and self.prefix_ipv4 == 32)

    def _ceilings(self, sessions: int) -> Ceilings:
        found = ((_CONNECTIONS, self.max_connections), (_SESSIONS, sessions), (_HANDSHAKES, self.max_handshakes))
        return tuple((which, most) for which, most in found if most)

    @property
    def stage(self) -> Stage:
        """When all is known that it depends on."""
        if self.by_rule or self.outbounds or "outbound" in self.each or "rule" in self.each:
            return 2
        return 1 if self.users or "user" in self.each else 0

    def concerns(self, session: Session) -> bool:
        """Whether it is for this session, by what is known at its stage."""
        return (
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

    def share(self, session: Session, ledger: Ledger) -> Share:
        """What it allows to those that this session is one of."""
        if self._by_address and type(host := session.source.host) is IPv4Address:
            known: Hashable = int(host)  # which is made faster than the key
        else:
            known = self.key(session)
        share = self._shares.get(known)
        if share is None:
            if len(self._shares) >= _MOST_SHARES:
                self._shares.clear()
            share = self._shares[known] = Share(self, self.key(session), ledger)
        return share

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
        up: SharedToll | None = None,
        down: SharedToll | None = None,
    ) -> None:
        self._ledger = ledger
        self._by_stage = by_stage
        self._taken: tuple[Entry, ...] = ()
        self._handshakes: tuple[Entry, ...] = ()
        self._up = up
        self._down = down

    def part(self) -> Hold:
        """For a part of the session: its bytes are the session's too, and what it takes ends with it."""
        return Hold(self._ledger, self._by_stage, self._up, self._down)

    def look(self, session: Session, stage: Stage) -> None:
        """So much is known now. Raises Limited, and has given back all by then."""
        limits = self._by_stage[stage]
        if not limits:
            return
        moment = (stage == ARRIVED and session.began) or now()
        try:
            for limit in limits:
                if limit.for_all or limit.concerns(session):
                    self._enter(limit, session, moment)
        except Limited:
            self.close()
            raise

    def settled(self) -> None:
        """The handshake is over. Idempotent."""
        for entry in self._handshakes:
            self._ledger.leave(entry)
        self._handshakes = ()

    def _enter(self, limit: Limit, session: Session, moment: float) -> None:
        ledger = self._ledger
        share = limit.share(session, ledger)
        if limit.looks:
            ledger.use(share, moment)
            ceilings = limit.ceilings[session.network]
            for which, most in ceilings:
                if ledger.count(share, which) >= most:
                    reason, what = _CEILINGS[which]
                    raise _full(limit, reason, f"{most} {what}")
            seat = self._seat(limit, share.key, session, moment) if limit.max_sources else None
            rate = limit.connections_rate
            if rate and ledger.charge(share, _BY_CONNECTIONS, rate, limit.connections_burst, moment, 1, 1) < 1:
                raise _full(limit, "rate", f"more than {rate:g} connections a second")
            if seat is not None:
                self._taken += (ledger.enter(seat, _CONNECTIONS),)
            for which, _ in ceilings:
                entry = ledger.enter(share, which)
                if which == _HANDSHAKES:
                    self._handshakes += (entry,)
                else:
                    self._taken += (entry,)
        if share.up is not None:
            self._up = share.up if self._up is None else self._up.and_of(share.up)
        if share.down is not None:
            self._down = share.down if self._down is None else self._down.and_of(share.down)

    def _seat(self, limit: Limit, key: bytes, session: Session, moment: float) -> Row:
        """The row of this source's seat: one of as many as there may be sources, each with its holder's name."""
        ledger, holder = self._ledger, limit.source(session.source)
        free: Row | None = None
        for number in range(limit.max_sources):
            row = ledger.row(b"%b\0%d" % (key, number))
            ledger.use(row, moment)
            if not ledger.count(row, _CONNECTIONS):
                free = free or row
            elif ledger.holds(row, holder):
                return row
        if free is None:
            raise _full(limit, "sources", f"{limit.max_sources} other addresses are in use")
        ledger.hand(free, holder)
        return free

    def tolls(self) -> tuple[SharedToll | None, SharedToll | None]:
        """What it costs to move bytes from the client and to it."""
        return self._up, self._down

    def close(self) -> None:
        """Give back all. Idempotent."""
        if self._taken:
            for entry in self._taken:
                self._ledger.leave(entry)
            self._taken = ()
        if self._handshakes:
            self.settled()


def _full(limit: Limit, reason: LimitReason, what: str) -> Limited:
    limit.refused[reason] += 1
    limit.notice.refuse(limit.tag, what)
    return Limited(f"limit {limit.tag}: {what}", reason=reason)
