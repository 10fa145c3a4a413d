"""The callback pump: two descriptors, two read watchers, no buffer and no greenlet of its own.

The worker has one scratch buffer. A callback reads into it and writes from it before anyone else can run; only what
the other side does not take at once is copied, and then this direction stops reading until it is gone. A direction
that reads in bulk moves its bytes by splice, so that they never come into this process (see splice.py). Where records
are sealed or opened on the way, record.py's flow does it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from os import readv, write
from typing import Any

from gproxy.base.clock import now
from gproxy.base.defaults import SCRATCH, SPLICE_FROM
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Stream
from gproxy.net.oserror import closed
from gproxy.relay.idle import SWEEPER
from gproxy.relay.splice import PIPE_SIZE, Pipe
from gproxy.relay.terms import FREE, OTHER, Account, Outcome, Side, Terms, Toll, Tolls
from gproxy.rt.sockets import READ, WRITE, Parking, Timer, watch

_scratch = bytearray(SCRATCH)
SCRATCH_VIEW = memoryview(_scratch)
"""The worker's scratch."""
SCRATCH_VECTOR = (_scratch,)


class Flow:
    """One direction, where nothing is done to the bytes."""

    __slots__ = (
        "_bulk",
        "_ended",
        "_end_target",
        "_most",
        "_pause",
        "_pump",
        "_reader",
        "_rest",
        "_side",
        "_source",
        "_target",
        "_toll",
        "_unpaid",
        "_vector",
        "_writer",
        "moved",
    )

    def __init__(self, pump: Pump, side: Side, source: int, target: int, end_target: Callable[[], None]) -> None:
        self._pump = pump
        self._side = side
        self._source = source
        self._target = target
        self._end_target = end_target
        self._rest: bytes | Pipe | None = None  # what the target has not taken yet
        self._bulk = False
        self._ended = False
        self._writer: Any = None
        self._toll = pump.tolls.up if side == "left" else pump.tolls.down
        self._unpaid = 0  # bytes
        self._pause: Timer | None = None  # until the next piece may be moved
        self._most = PIPE_SIZE if self._toll is None else self._toll.piece
        self._vector = SCRATCH_VECTOR if self._most >= SCRATCH else (SCRATCH_VIEW[: self._most],)
        self._reader = watch(source, READ)
        self._reader.start(self._copy)
        self.moved = 0

    def _copy(self) -> None:
        """The source is readable, and short exchanges are cheapest through the scratch."""
        try:
            size = readv(self._source, self._vector)
        except BlockingIOError:
            return
        except OSError as error:
            self._pump.fail(self._side, error)
            return
        if size == 0:
            self._end()
            return
        if not self.moved:
            self._pump.begun(self._side)
        self.moved += size
        try:
            sent = write(self._target, SCRATCH_VIEW[:size])
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._give_up(error)
            return
        if sent < size:
            self._wait(SCRATCH_VIEW[sent:size].tobytes())
        elif size >= SPLICE_FROM:
            self._start_bulk()
        if self._toll is not None:
            self._pay(self._toll, size)

    def _start_bulk(self) -> None:
        self._bulk = True
        self._reader.stop()
        self._reader.start(self._splice)

    def _splice(self) -> None:
        """The source is readable, and it brings much."""
        pipe = Pipe.lend()
        if pipe is None:  # no descriptors left for one
            self._end_bulk()
            return
        try:
            size = pipe.fill(self._source, self._most)
        except BlockingIOError:
            pipe.give_back()
            return
        except OSError as error:
            pipe.give_back()
            self._pump.fail(self._side, error)
            return
        if size == 0:
            pipe.give_back()
            self._end()
            return
        self.moved += size
        self._empty(pipe)
        if size < SPLICE_FROM // 8 and self._rest is None and not self._ended:
            self._end_bulk()
        if self._toll is not None:
            self._pay(self._toll, size)

    def _pay(self, toll: Toll, size: int) -> None:
        """So many bytes were moved: read no more until the next may be."""
        self._unpaid += size
        if self._unpaid < toll.slack:
            return
        seconds = toll.pay(self._unpaid)
        self._unpaid = 0
        if seconds > 0 and not self._ended:
            self._reader.stop()
            self._pause = Timer(seconds, self._go_on)

    def _go_on(self) -> None:
        """The next piece may be moved."""
        self._end_pause()
        if self._rest is None and not self._ended:
            self._read()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.stop()
            self._pause = None

    def _read(self) -> None:
        """Read again, where that was stopped."""
        self._reader.start(self._splice if self._bulk else self._copy)

    def _end_bulk(self) -> None:
        self._bulk = False
        self._reader.stop()
        self._reader.start(self._copy)

    def _empty(self, pipe: Pipe) -> None:
        """Let the target have what is in the pipe."""
        try:
            done = pipe.drain(self._target)
        except OSError as error:
            pipe.destroy()
            self._rest = None
            self._give_up(error)
            return
        if done:
            self._rest = None
            pipe.give_back()
        else:
            self._wait(pipe)

    def _wait(self, rest: bytes | Pipe) -> None:
        """The target is full: read no more until it has taken `rest`."""
        self._rest = rest
        self._reader.stop()
        if self._writer is None:
            self._writer = watch(self._target, WRITE)
        if not self._writer.active:
            self._writer.start(self._resume)

    def _resume(self) -> None:
        """The target takes bytes again."""
        rest = self._rest
        if isinstance(rest, Pipe):
            self._empty(rest)
        elif rest is not None:
            try:
                sent = write(self._target, rest)
            except BlockingIOError:
                return
            except OSError as error:
                self._give_up(error)
                return
            self._rest = rest[sent:] or None
        if self._rest is None and not self._ended:
            self._writer.stop()
            if self._pause is None:
                self._read()

    def _give_up(self, error: OSError) -> None:
        """The target takes no more. What it has said before may still be on its way: the other direction brings it."""
        self._ended = True
        self._reader.stop()
        if self._writer is not None:
            self._writer.stop()
        self._pump.cut(OTHER[self._side], error)

    def _end(self) -> None:
        """The source has said all. Its silence from now on is not an event."""
        self._ended = True
        self._reader.stop()
        # When the other direction has ended too, both streams are closed now, which says the same.
        if self._pump.ended():
            self._end_target()

    def answer(self) -> None:
        """The target wants an answer of its own: bytes alone have none."""

    def stop(self) -> None:
        """Let go of everything but the descriptors, which are their streams'."""
        self._ended = True
        if self._unpaid and self._toll is not None:
            self._toll.pay(self._unpaid)
            self._unpaid = 0
        self._end_pause()
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        if isinstance(self._rest, Pipe):
            self._rest.destroy()
        self._rest = None


MakeFlow = Callable[["Pump", Side, Callable[[], None]], Flow]
"""Makes the flow of the pump whose source is that side; the call ends its target."""


class Pump:
    """Both directions, and the one greenlet that waits for their end."""

    __slots__ = (
        "_account",
        "_culprit",
        "_cut",
        "_down",
        "_open",
        "_parking",
        "_result",
        "_started",
        "_terms",
        "_up",
        "first",
        "over",
        "seen",
        "since",
        "tolls",
    )

    def __init__(
        self,
        left: Stream,
        right: Stream,
        terms: Terms,
        make: MakeFlow,
        up: int = 0,
        down: int = 0,
        account: Account | None = None,
        tolls: Tolls = FREE,
    ) -> None:
        """`make` gives each direction its flow; `up` and `down` is what has been moved before."""
        self.tolls = tolls
        self._terms = terms
        self._account = account
        self._parking = Parking()
        self._result = "ok"
        self._cut = ""  # why one side takes no more, while the other direction goes on
        self._culprit: Side = ""
        self._open = 2
        self._started = now()
        self.first = 0.0 if down else -1.0
        self.over = False
        self.seen = -1
        self.since = 0.0
        self._up = make(self, "left", right.close_write)
        self._down = make(self, "right", left.close_write)
        self._up.moved = up
        self._down.moved = down

    def run(self) -> Outcome:
        """Move bytes until both directions have ended or one has failed. Never raises for what the sides do."""
        SWEEPER.add(self, self._account)
        try:
            self._parking.park()
        except StreamClosed as asked:
            self._result = asked.reason
        finally:
            SWEEPER.remove(self)
            self._stop()
        up, down = self._up, self._down
        # Each flow knows its pump, and the pump its flows: untied, they need no garbage collector.
        del self._up, self._down
        return Outcome(up.moved, down.moved, self._result, now() - self._started, self._culprit, self.first)

    def begun(self, side: Side) -> None:
        """That side has said something for the first time."""
        if side == "right":
            self.first = now() - self._started

    def ended(self) -> bool:
        """A direction has come to its end; whether the other one goes on."""
        self._open -= 1
        self.seen = -1  # an end is news too: the patience with the other direction begins now
        if not self._open:
            self._finish(self._cut or "ok")
        return self._open > 0

    def answer(self, side: Side) -> None:
        """What `side` has said wants an answer, which the flow towards it knows."""
        if not self.over:
            (self._down if side == "left" else self._up).answer()

    def cut(self, side: Side, error: OSError) -> None:
        """`side` takes no more, but may have more to say: a server may answer and hang up before it has heard all."""
        self._cut = closed(error).reason
        # A broken pipe is what Linux reports where the end came in order before the reset: what was said is complete.
        self._culprit = "" if error.errno == errno.EPIPE else side
        self.ended()

    def fail(self, side: Side, error: OSError) -> None:
        """`side` is broken and has nothing more to say: that ends both directions."""
        self.break_off(side, closed(error).reason)

    def break_off(self, side: Side, reason: str) -> None:
        """What `side` has said can't be gone on with: that ends both directions."""
        self._culprit = self._culprit or side
        self._finish(reason)

    def _finish(self, result: str) -> None:
        if not self.over:
            self._result = result
            self._stop()
            self._parking.release()

    def _stop(self) -> None:
        if not self.over:
            self.over = True
            self._up.stop()
            self._down.stop()

    def moved(self) -> int:
        """See Idler."""
        return self._up.moved + self._down.moved

    def traffic(self) -> tuple[int, int]:
        """See Idler."""
        return self._up.moved, self._down.moved

    def patience(self) -> float:
        """See Idler."""
        return self._terms.idle if self._open == 2 else self._terms.half_close_idle

    def expire(self) -> None:
        """See Idler."""
        self._finish("idle")
