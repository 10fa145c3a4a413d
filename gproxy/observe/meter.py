"""Counters of one worker: plain slots, so that counting costs tens of nanoseconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from gproxy.base.clock import now
from gproxy.base.session import Session
from gproxy.observe.books import Row
from gproxy.observe.timing import Timing


@dataclass(slots=True)
class Door:
    """What came to one inbound."""

    opened: int = 0
    active: int = 0
    queries: int = 0
    dropped: int = 0  # queries, since there were too many


@dataclass(slots=True)
class Way:
    """What one user of one inbound has moved by one outbound since this was told last (see relay's Account)."""

    up: int = 0
    down: int = 0


@dataclass(slots=True)
class Account:
    """What one user of one inbound has moved and begun since this was told last."""

    up_packets: int = 0
    down_packets: int = 0
    tcp: int = 0
    udp: int = 0
    sessions: int = 0  # that are open now
    ways: dict[str, Way] = field(default_factory=dict)  # by outbound

    def way(self, outbound: str) -> Way:
        """Where the bytes are to be put that go by this outbound."""
        way = self.ways.get(outbound)
        if way is None:
            way = self.ways[outbound] = Way()
        return way

    def leave(self) -> None:
        """A session has ended."""
        self.sessions -= 1

    def _take(self) -> tuple[int, ...]:
        told = (self.up_packets, self.down_packets, self.tcp, self.udp)
        self.up_packets = self.down_packets = self.tcp = self.udp = 0
        return told


@dataclass(slots=True)
class Meter:
    """Totals since the start, which are never set back; and what was moved, which is told once.

    Where nobody asks for metrics, only what concerns users is counted in detail.
    """

    detailed: bool = False
    opened: int = 0
    active: int = 0
    up: int = 0
    down: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    doors: dict[str, Door] = field(default_factory=dict)  # by inbound
    ends: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)  # by inbound, outbound, rule and status
    handshakes: dict[str, Timing] = field(default_factory=dict)  # by inbound
    dials: dict[str, Timing] = field(default_factory=dict)  # by outbound
    first_bytes: dict[str, Timing] = field(default_factory=dict)  # by outbound
    _accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    _moved: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    def answered(self, outbound: str, seconds: float) -> None:
        """So long after it was reached, a target has sent its first byte; less than 0: it never has."""
        if self.detailed and seconds >= 0:
            _timing(self.first_bytes, outbound).observe(seconds)

    def door(self, inbound: str) -> Door:
        """What comes to this inbound is to be counted there."""
        return self.doors.setdefault(inbound, Door())

    def begin(self) -> None:
        """A client has connected, or sent its first datagram."""
        self.opened += 1
        self.active += 1

    def leave(self) -> None:
        """It has gone."""
        self.active -= 1

    def record(self, status: str, up: int, down: int, session: Session | None = None) -> None:
        """A session has finished, with its status word and its payload bytes from and to the client."""
        self.up += up
        self.down += down
        self.statuses[status] += 1
        if session is not None and self.detailed:
            self.ends[session.inbound, session.outbound, session.rule, status] += 1

    def shook_hands(self, session: Session) -> None:
        """The client has said what it wants, for the first time."""
        if session.began and self.detailed:
            _timing(self.handshakes, session.inbound).observe(now() - session.began)
        session.began = 0.0

    def dialled(self, outbound: str, began: float) -> None:
        """A target was reached, the attempt having begun then by `now`."""
        if self.detailed:
            _timing(self.dials, outbound).observe(now() - began)

    def queries(self, answered: int, dropped: int, up: int, down: int) -> None:
        """Questions of clients were answered, or dropped since there were too many, with the bytes of their datagrams.

        Among the status words they are `query` and `query-dropped`.
        """
        self.up += up
        self.down += down
        if answered:
            self.statuses["query"] += answered
        if dropped:
            self.statuses["query-dropped"] += dropped

    def account(self, session: Session, network: Literal["tcp", "udp"]) -> Account | None:
        """A session begins: the account that its part of what is told belongs on, if it has one."""
        if session.user or self.detailed:
            return self.enter(session.inbound, session.user or "", network)
        return None

    def enter(self, inbound: str, user: str, network: Literal["tcp", "udp"]) -> Account:
        """A session of this user begins. What it moves is to be put on the account; at its end, `leave` that."""
        account = self._accounts.get((inbound, user))
        if account is None:
            account = self._accounts[inbound, user] = Account()
        account.sessions += 1
        if network == "tcp":
            account.tcp += 1
        else:
            account.udp += 1
        return account

    def take_traffic(self) -> list[Row]:
        """What was put on users' accounts since this was asked last. Accounts that nobody uses are forgotten."""
        rows: list[Row] = []
        for (inbound, user), account in list(self._accounts.items()):
            up = down = 0
            for outbound, way in account.ways.items():
                up += way.up
                down += way.down
                if self.detailed and (way.up or way.down):
                    self._move(("moved", inbound, outbound), way.up, way.down)
                way.up = way.down = 0
            up_packets, down_packets, tcp, udp = account._take()
            if user and (up or down or up_packets or down_packets or tcp or udp):
                rows.append([inbound, user, up, down, up_packets, down_packets, tcp, udp])
                if self.detailed:
                    self._move(("user", user), up, down, tcp, udp)
            if not account.sessions:
                del self._accounts[inbound, user]
        return rows

    def take_moved(self) -> dict[tuple[str, ...], list[int]]:
        """What `take_traffic` has told since this was asked last, as metrics need it.

        `("moved", inbound, outbound)`: bytes up and down; `("user", name)`: those, and sessions of TCP and of UDP.
        """
        moved, self._moved = self._moved, {}
        return moved

    def _move(self, key: tuple[str, ...], *values: int) -> None:
        sums = self._moved.get(key)
        self._moved[key] = list(values) if sums is None else [a + b for a, b in zip(sums, values, strict=True)]


def _timing(timings: dict[str, Timing], key: str) -> Timing:
    timing = timings.get(key)
    if timing is None:
        timing = timings[key] = Timing()
    return timing
