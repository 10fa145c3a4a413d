"""The greenlet copy, for streams that buffer or transform: one greenlet for each direction, plain recv and sendall."""

from __future__ import annotations

from gproxy.base.clock import now
from gproxy.base.errors import ASKED, StreamClosed
from gproxy.base.iface import Stream
from gproxy.relay.idle import SWEEPER
from gproxy.relay.terms import FREE, Account, Outcome, Side, Terms, Tolls
from gproxy.rt.deadline import Cancel
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep


class Copy:
    """Both directions; the caller's greenlet moves the upward one itself."""

    __slots__ = (
        "_account",
        "_culprit",
        "_cut",
        "_down",
        "_first",
        "_left",
        "_open",
        "_result",
        "_right",
        "_started",
        "_stop",
        "_terms",
        "_tolls",
        "_up",
        "seen",
        "since",
    )

    def __init__(
        self,
        left: Stream,
        right: Stream,
        terms: Terms,
        early_up: int = 0,
        early_down: int = 0,
        account: Account | None = None,
        tolls: Tolls = FREE,
    ) -> None:
        self._tolls = tolls
        self._account = account
        self._left = left
        self._right = right
        self._terms = terms
        self._up = early_up
        self._down = early_down
        self._started = now()
        self._first = 0.0 if early_down else -1.0
        self._open = 2
        self._result = "ok"
        self._cut = ""  # why the right side takes no more, while the other direction goes on
        self._culprit: Side = ""
        self._stop = Cancel()
        self.seen = -1
        self.since = 0.0

    def run(self) -> Outcome:
        """Move bytes until both directions have ended or one has failed. Never raises for what the sides do."""
        SWEEPER.add(self, self._account)
        try:
            with Group("relay") as children, self._stop:
                down = children.spawn(self._downward)
                self._upward()
                down.join()
        except StreamClosed as asked:  # thrown into the last wait
            self._result = asked.reason
        finally:
            SWEEPER.remove(self)
        if self._cut and self._result == "ok":
            self._result, self._culprit = self._cut, "right"
        return Outcome(self._up, self._down, self._result, now() - self._started, self._culprit, self._first)

    def _upward(self) -> None:
        toll = self._tolls.up
        try:
            while data := self._left.recv():
                self._up += len(data)
                if not self._sent(data):
                    return
                if toll is not None and (seconds := toll.pay(len(data))) > 0:
                    sleep(seconds)
            self._ended()
            self._right.close_write()
        except StreamClosed as error:
            self._fail("left", error)

    def _sent(self, data: bytes) -> bool:
        """Send upwards. A target that takes no more may have more to say: it may answer before it has heard all."""
        try:
            self._right.sendall(data)
        except StreamClosed as error:
            if error.reason != "reset":
                self._fail("right", error)
            self._cut = error.reason
            self._ended()
            return False
        return True

    def _downward(self) -> None:
        at: Side = "right"
        toll = self._tolls.down
        try:
            while data := self._right.recv():
                if not self._down:
                    self._first = now() - self._started
                self._down += len(data)
                at = "left"
                self._left.sendall(data)
                at = "right"
                if toll is not None and (seconds := toll.pay(len(data))) > 0:
                    sleep(seconds)
            self._ended()
            self._left.close_write()
        except StreamClosed as error:
            self._fail(at, error)

    def _ended(self) -> None:
        self._open -= 1
        self.seen = -1  # an end is news too: the patience with the other direction begins now

    def _fail(self, side: Side, error: StreamClosed) -> None:
        """One side is broken, or over in both directions (`eof`): that ends both. Only the first break counts."""
        if self._result == "ok" and error.reason != "eof":
            self._result = error.reason
            self._culprit = "" if error.reason in ASKED else side
        self._stop.fire()

    def moved(self) -> int:
        """See Idler."""
        return self._up + self._down

    def traffic(self) -> tuple[int, int]:
        """See Idler."""
        return self._up, self._down

    def patience(self) -> float:
        """See Idler."""
        return self._terms.idle if self._open == 2 else self._terms.half_close_idle

    def expire(self) -> None:
        """See Idler."""
        self._fail("", StreamClosed("idle", reason="idle"))
