"""Many conversations on one epoll, none of which is ever waited for: what the proxy is late with delays nobody else."""

from __future__ import annotations

import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.bench import origin
from tests.bench.doors import Declined, Step, Talk, Way

STALL = 10.0
"""Seconds after which a connection or a request that is not answered is lost."""

_BURST = 256
_READ = 65535
_TICK = 0.01  # seconds between two looks at what is due
_SWEEP = 1.0  # seconds between two looks at what is late
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: the port is chosen at connect(), so that each address has all ports


@dataclass(slots=True, eq=False)
class Visit:
    """One connection."""

    kind: str
    sock: socket.socket
    talk: Talk
    keep: bool
    born: float
    since: float  # when it was opened, or asked last
    whole: Callable[[bytearray], bool] = bool  # whether what is waited for has come
    step: int = -1  # of the talk's steps; -1: it is connecting; their number: it is open
    idle: bool = False
    got: bytearray = field(default_factory=bytearray)

    @property
    def is_open(self) -> bool:
        """Whether all of its steps are over."""
        return self.step == len(self.talk.steps)


class Visits(ABC):
    """The conversations. Whoever derives from this says what happens at their turns: `opened`, `answered`, `lost`."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._swept = time.perf_counter()
        self.visits: dict[int, Visit] = {}
        self.opening = 0  # so many are on their way

    # -- turns ---------------------------------------------------------------------------------------------------------

    @abstractmethod
    def opened(self, visit: Visit) -> None:
        """Its last step is over."""

    def answered(self, visit: Visit) -> None:  # noqa: B027 - there are loads that ask only once
        """What was asked on an open connection is answered."""

    @abstractmethod
    def lost(self, visit: Visit, error: OSError) -> None:
        """It has ended, or is too late. It is closed already."""

    # -- what is done --------------------------------------------------------------------------------------------------

    def open(self, kind: str, way: Way, keep: bool = False, source: str = "") -> None:
        """Begin one, from this address if it is given."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        now = time.perf_counter()
        visit = Visit(kind, sock, way.talk(origin.BODY), keep, now, now)
        self.visits[sock.fileno()] = visit
        self.opening += 1
        with suppress(BlockingIOError):
            sock.connect(("127.0.0.1", way.port))
        self._poll.register(sock.fileno(), select.EPOLLOUT)

    def ask(self, visit: Visit) -> None:
        """One more payload there and back, on one that is idle."""
        visit.idle = False
        visit.since = time.perf_counter()
        try:
            _say(visit, visit.talk.again())
        except OSError as error:
            self.lose(visit, error)

    def leave(self, visit: Visit) -> None:
        """Close one, as its protocol wants it."""
        del self.visits[visit.sock.fileno()]
        if not visit.is_open:
            self.opening -= 1
        with visit.sock, suppress(OSError):  # the other side may have gone
            if visit.is_open and (said := visit.talk.farewell()):
                visit.sock.send(said)

    def lose(self, visit: Visit, error: OSError) -> None:
        """Close one that is of no use."""
        del self.visits[visit.sock.fileno()]
        if not visit.is_open:
            self.opening -= 1
        visit.sock.close()
        self.lost(visit, error)

    def turn(self, wait: float = _TICK) -> None:
        """Take what has come, or wait a moment for it: till the next one is due, or so."""
        for fd, _ in self._poll.poll(wait, _BURST):
            visit = self.visits[fd]
            try:
                self._advance(visit)
            except OSError as error:
                self.lose(visit, error)
        if time.perf_counter() - self._swept > _SWEEP:
            self.sweep()

    def sweep(self) -> None:
        """Give up those that are late."""
        self._swept = now = time.perf_counter()
        for visit in list(self.visits.values()):
            if not visit.idle and now - visit.since > STALL:
                self.lose(visit, TimeoutError(f"no answer in {STALL:g} s"))

    def _advance(self, visit: Visit) -> None:
        if visit.step < 0:
            self._connected(visit)
            return
        data = visit.sock.recv(_READ)
        if not data:
            raise Declined("hung up while it was idle" if visit.idle else "hung up")
        visit.got += data
        if visit.idle or not visit.whole(visit.got):  # a ticket of TLS comes when nothing was asked: it is taken later
            return
        visit.got.clear()
        if visit.is_open:
            self.answered(visit)
            return
        visit.step += 1
        if not visit.is_open:
            _say(visit, visit.talk.steps[visit.step])
            return
        self.opening -= 1
        self.opened(visit)

    def _connected(self, visit: Visit) -> None:
        if error := visit.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))
        visit.step = 0
        _say(visit, visit.talk.steps[0])
        self._poll.modify(visit.sock.fileno(), select.EPOLLIN)


def _say(visit: Visit, step: Step) -> None:
    said, visit.whole = step
    visit.sock.send(said)
