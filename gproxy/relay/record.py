"""The batch pump's flow: all the records that one read brought are opened, or sealed, into one buffer for one write.

Two more scratch buffers of the worker stand beside the pump's own: one for payload, one for what is sealed again. As
there, nobody else runs between filling them and handing them on; only an incomplete record is kept, until its rest has
come, and what the target does not take at once.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from os import readv, write

from gproxy.base.defaults import RECORD_KEPT, RECORD_READ, RECORD_SCRATCH
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Answering, Ending, Opener, Record, Sealer
from gproxy.relay.pump import Flow, Pump
from gproxy.relay.terms import OTHER, Side

# Mapped, so that a worker with no record stream has no memory in them.
_read = memoryview(mmap(-1, RECORD_SCRATCH, MAP_PRIVATE | MAP_ANONYMOUS))
_payload = memoryview(mmap(-1, RECORD_SCRATCH + RECORD_KEPT, MAP_PRIVATE | MAP_ANONYMOUS))
_sealed = memoryview(
    mmap(-1, 2 * RECORD_SCRATCH + 4096, MAP_PRIVATE | MAP_ANONYMOUS)
)  # the most that a Sealer may want

_NOTHING = memoryview(b"")

End = int | Record
"""One side of a pump: a bare descriptor, or a record stream."""


class Flows:
    """Makes the two flows of a pump, each by what its ends are."""

    __slots__ = ("_left", "_right")

    def __init__(self, left: End, right: End) -> None:
        self._left = left
        self._right = right

    def make(self, pump: Pump, side: Side, end_target: Callable[[], None]) -> Flow:
        """See MakeFlow."""
        source, target = (self._left, self._right) if side == "left" else (self._right, self._left)
        if isinstance(source, int) and isinstance(target, int):
            return Flow(pump, side, source, target, end_target)
        return RecordFlow(pump, side, source, target, end_target)


class RecordFlow(Flow):
    """One direction, where records are opened, sealed, or both."""

    __slots__ = (
        "_answering",
        "_farewell",
        "_midway",
        "_opener",
        "_over",
        "_reach",
        "_sealer",
        "_source_answering",
        "_source_ending",
        "_unopened",
    )

    def __init__(self, pump: Pump, side: Side, source: End, target: End, end_target: Callable[[], None]) -> None:
        self._opener: Opener | None = None
        self._sealer: Sealer | None = None
        self._unopened = b""
        self._midway: Callable[[], bool] | None = None
        self._source_ending: Ending | None = None
        self._source_answering: Answering | None = None
        self._farewell: Ending | None = None
        self._answering: Answering | None = None  # the target's: what it has asked is answered here
        self._over = False  # the source has said all, and the target has still to take the last of it
        if isinstance(source, Record):
            self._source_ending, self._source_answering, self._midway = source.ending, source.answering, source.midway
            self._opener, self._unopened, source = source.opener, source.unopened, source.fd
        if isinstance(target, Record):
            self._farewell, self._answering = target.ending, target.answering
            self._sealer, target = target.sealer, target.fd
        super().__init__(pump, side, source, target, end_target)
        self._reach = min(RECORD_READ, self._most)  # how much is read at once: more while the target takes all of it
        if self._answering is not None and self._answering.due:  # from what was read ahead
            self._wait(b"")

    def _copy(self) -> None:
        """The source is readable."""
        kept = len(self._unopened)
        try:
            size = readv(self._source, (_read[kept : kept + self._reach],))
        except BlockingIOError:
            return
        except OSError as error:
            self._pump.fail(self._side, error)
            return
        if size == 0:
            if kept or (self._midway is not None and self._midway()):
                self._pump.break_off(self._side, "truncated")
            else:
                self._end()
            return
        try:
            data = self._opened(kept + size) if self._opener is not None else _read[:size]
        except ProtocolError as error:
            self._pump.break_off(self._side, "truncated" if error.reason == "truncated" else "corrupt")
            return
        if data:
            if not self.moved:
                self._pump.begun(self._side)
            self.moved += len(data)
            self._hand_on(data)
            if size == self._reach and self._rest is None:
                self._reach = min(2 * size, RECORD_SCRATCH, self._most)
            if self._toll is not None:
                self._pay(self._toll, len(data))
        if self._source_answering is not None and self._source_answering.due:
            self._pump.answer(self._side)
        if self._source_ending is not None and self._source_ending.heard:
            self._over = True
            if self._rest is None and not self._ended:
                self._end()

    def _hand_on(self, data: memoryview) -> None:
        try:
            self._send(self._resealed(data) if self._sealer is not None else data)
        except ProtocolError:  # the session towards the target is broken
            self._pump.break_off(OTHER[self._side], "corrupt")

    def answer(self) -> None:
        """See Flow. While the target is full, its turn comes when it has taken what it was sent."""
        if self._rest is None and not self._ended:
            self._hand_on(_NOTHING)

    def _end(self) -> None:
        """The source has said all: tell the target in its own words first."""
        if self._farewell is not None and (words := self._farewell.say()):
            self._over = True
            self._send(memoryview(words))
            if self._rest is not None or self._ended:
                return
        super()._end()

    def _resume(self) -> None:
        super()._resume()
        if self._answering is not None and self._answering.due:
            self.answer()
        if self._over and self._rest is None and not self._ended:
            self._end()

    def _opened(self, size: int) -> memoryview:
        """The payload of the complete records among the `size` bytes that there are now, the kept ones included."""
        assert self._opener is not None, "asked only of a flow that opens"
        kept = self._unopened
        if kept:
            _read[: len(kept)] = kept
        used, made = self._opener.open_into(_read[:size], _payload)
        self._unopened = _read[used:size].tobytes() if used < size else b""
        return _payload[:made]

    def _resealed(self, data: memoryview) -> memoryview:
        assert self._sealer is not None, "asked only of a flow that seals"
        return _sealed[: self._sealer.seal_into(data, _sealed)]

    def _send(self, data: memoryview) -> None:
        try:
            sent = write(self._target, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._give_up(error)
            return
        if sent < len(data):
            self._reach = min(RECORD_READ, self._most)
            self._wait(data[sent:].tobytes())
