"""yamux: many streams over one, with windows. Specification: github.com/hashicorp/yamux, spec.md.

+---------+------+-------+--------+--------+----------+
| version | type | flags | stream | length | payload  |
+---------+------+-------+--------+--------+----------+
|    1    |  1   |   2   |   4    |   4    |  length  |

All numbers are in network order; version 0. Flags: 1 SYN, 2 ACK, 4 FIN, 8 RST. A client's streams have odd numbers.

Types: 0 data; only this one has a payload, of at most what is left of the stream's window. 1 window update: `length`
more bytes may be sent; each stream begins with 256 KiB. 2 ping: SYN asks, ACK answers with the same length. 3 go away:
no more streams, because of 0 nothing in particular, 1 a mistake of the protocol, 2 a mistake of its own.

The first two begin a stream with SYN, take it with ACK, end one direction with FIN and both with RST. Implementations
end the link when a stream was not taken in time, and when a FIN comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer, Happened
from gproxy.wire.linkframes import LinkFrames

DATA: Final = 0
WINDOW: Final = 1
PING: Final = 2
GO_AWAY: Final = 3

SYN: Final = 1
ACK: Final = 2
FIN: Final = 4
RST: Final = 8

HEADER: Final = Struct(">BBHII")

INITIAL: Final = 256 * 1024
"""What a stream's window is at first, and what we let it be."""

MAX_PAYLOAD: Final = 64 * 1024
"""What we put into one frame, so that others get their turn."""

NORMAL: Final = 0
MISTAKE: Final = 1

_LAST: Final = 0xFFFFFFFD
_WIDEST: Final = 0xFFFFFFFF

# As sing-mux has it: pings, the patience with their answers, and with streams that the peer has not taken or ended.
_PING_EVERY: Final = 30.0
_PING_PATIENCE: Final = 10.0
_LOOK: Final = 5.0

# Frames that the peer has provoked and that wait to be sent, at most: it does not read, then, but goes on asking.
_MOST_DUE: Final = 8192


class _State:
    """What is known of a live stream."""

    __slots__ = ("age", "asked", "credit", "ended", "gone", "incoming", "shut", "window")

    def __init__(self, *, ours: bool) -> None:
        self.window = INITIAL  # what we may send
        self.incoming = INITIAL  # what the peer may send
        self.credit = 0  # what was taken and the peer has not been told of
        self.ended = False  # the peer's FIN has come
        self.shut = False  # ours has gone
        self.gone = False  # nobody here wants to hear of it
        self.asked = ours  # the peer has not said yet that it takes it
        self.age = 0  # looks since it was opened or is gone


class Yamux(LinkFrames):
    """See Multiplexer. Heads are not known here."""

    __slots__ = (
        "_answer_due", "_client", "_ending", "_heard", "_leaving", "_looked", "_ping_due", "_pings", "_streams",
    )  # fmt: skip

    name = "yamux"
    header = HEADER
    last = _LAST
    most = MAX_PAYLOAD

    def __init__(self, *, client: bool) -> None:
        super().__init__(1 if client else 2)
        self._client = client
        self._streams: dict[int, _State] = {}
        self._ending = 0  # the flags that come after them
        self._leaving = False  # we have said that we take no more
        self._heard = False  # something has come since the ping
        self._pings = 0
        self._ping_due: float | None = None
        self._answer_due: float | None = None
        self._looked = 0.0

    # -- what the peer says --------------------------------------------------------------------------------------------

    def feed(self, data: bytes, /) -> Sequence[Happened]:
        """See Multiplexer."""
        self._heard = True
        return super().feed(data)

    def _payload(self, piece: bytes, size: int, happened: list[Happened]) -> None:
        super()._payload(piece, size, happened)
        if not self._left and self._ending:
            number = self._target
            flags, self._ending = self._ending, 0
            self._flags(flags, number, self._streams.get(number), happened)

    def _frame(self, header: tuple[int, ...], happened: list[Happened]) -> None:
        version, kind, flags, number, length = header
        if version:
            raise self._mistake(f"yamux version {version}")
        if kind <= WINDOW:
            self._stream(kind, flags, number, length, happened)
        elif kind == PING:
            if flags & SYN:
                self._say(PING, ACK, 0, length)
        elif kind == GO_AWAY:
            self._go_away(length, happened)
        else:
            raise self._mistake(f"yamux frame of type {kind}")
        if self._said > _MOST_DUE:
            raise self._mistake("more is asked on a yamux link than is listened to")

    def _go_away(self, why: int, happened: list[Happened]) -> None:
        if why != NORMAL:
            raise ProtocolError(f"the peer has given up the yamux link (code {why})")
        happened.append(Happened("closing", _LAST))

    def _stream(self, kind: int, flags: int, number: int, length: int, happened: list[Happened]) -> None:
        if flags & SYN:
            self._begin(number, happened)
        state = self._streams.get(number)
        if kind == DATA and length:
            self._data(state, number, length)
            self._ending = flags & (FIN | RST)
            self._flags(flags & ACK, number, state, happened)
            return
        if kind == WINDOW and length and state is not None:
            state.window += length
            if state.window > _WIDEST:
                raise self._mistake("a yamux window of more than 4 GiB")
            if state.window == length and not (flags & RST or state.gone):
                happened.append(Happened("room", number))
        self._flags(flags, number, state, happened)

    def _begin(self, number: int, happened: list[Happened]) -> None:
        if not number or bool(number % 2) == self._client:
            raise self._mistake(f"yamux stream {number} is not the peer's to open")
        if number in self._streams:
            raise self._mistake(f"yamux stream {number} is opened twice")
        if self._leaving:
            self._say(WINDOW, RST, number, 0)
            return
        self._streams[number] = _State(ours=False)
        self._say(WINDOW, ACK, number, 0)
        happened.append(Happened("opened", number))

    def _data(self, state: _State | None, number: int, length: int) -> None:
        self._left, self._target = length, 0
        if state is None:
            return
        if length > state.incoming:
            raise self._mistake(f"more than its window on yamux stream {number}")
        if state.ended:
            raise self._mistake(f"data after the end of yamux stream {number}")
        state.incoming -= length
        if state.gone:
            self._forget(number)
            self._say(WINDOW, RST, number, 0)
        else:
            self._target = number

    def _flags(self, flags: int, number: int, state: _State | None, happened: list[Happened]) -> None:
        if state is None or number not in self._streams:
            return
        if flags & ACK:
            state.asked = False
        if flags & RST:
            self._forget(number)
            if not state.gone:
                happened.append(Happened("reset", number))
        elif flags & FIN:
            if state.ended:
                raise self._mistake(f"yamux stream {number} ends twice")
            state.ended = True
            if state.gone:
                self._forget(number)
            else:
                happened.append(Happened("ended", number))

    def _mistake(self, what: str) -> ProtocolError:
        self._say(GO_AWAY, 0, 0, MISTAKE)
        return ProtocolError(what)

    def _forget(self, number: int) -> None:
        self._streams.pop(number, None)
        if self._target == number:
            self._target = self._ending = 0

    # -- what we say ---------------------------------------------------------------------------------------------------

    def _say(self, kind: int, flags: int, number: int, length: int) -> None:
        self._put(0, kind, flags, number, length)

    def _data_header(self, stream: int, size: int) -> bytes:
        return HEADER.pack(0, DATA, 0, stream, size)

    def open(self, head: Any = None, /) -> int:
        """See Multiplexer."""
        number = self._number()
        self._streams[number] = _State(ours=True)
        self._say(WINDOW, SYN, number, 0)
        return number

    def room(self, stream: int, /) -> int:
        """See Multiplexer."""
        state = self._streams.get(stream)
        return state.window if state is not None else 0

    def send(self, stream: int, data: Buffer, /) -> None:
        """See Multiplexer."""
        state = self._streams.get(stream)
        if state is None:
            return
        state.window -= len(data)
        self._put_data(stream, data)

    def end(self, stream: int, /) -> None:
        """See Multiplexer."""
        state = self._streams.get(stream)
        if state is not None and not state.shut:
            state.shut = True
            self._say(WINDOW, FIN, stream, 0)

    def close(self, stream: int, /) -> None:
        """See Multiplexer. A peer that does not end its side within seconds is told that nobody waits for it."""
        state = self._streams.get(stream)
        if state is None or state.gone:
            return
        self.end(stream)
        if state.ended:
            self._forget(stream)
        elif self._left and self._target == stream:  # in the middle of a payload
            self.reset(stream)
        else:
            state.gone = True
            state.age = 0

    def reset(self, stream: int, /) -> None:
        """See Multiplexer."""
        state = self._streams.get(stream)
        if state is not None:
            if not (state.shut and state.ended):
                self._say(WINDOW, RST, stream, 0)
            self._forget(stream)

    def taken(self, stream: int, size: int, /) -> None:
        """See Multiplexer. The peer is told when half a window was taken."""
        state = self._streams.get(stream)
        if state is None or state.ended or state.gone:
            return
        state.credit += size
        if state.credit >= INITIAL // 2:
            state.incoming += state.credit
            self._say(WINDOW, 0, stream, state.credit)
            state.credit = 0

    def tick(self, at: float, /) -> float | None:
        """See Multiplexer: pings, and streams that the peer has neither taken nor ended in time."""
        punctual = at - self._looked < 2 * _LOOK
        self._looked = at
        if self._ping_due is None:
            self._ping_due = at + _PING_EVERY
        if self._answer_due is not None:
            if self._heard or not punctual:
                self._answer_due = None
            elif at >= self._answer_due:
                raise ProtocolError("no answer to a ping", reason="timeout")
        if at >= self._ping_due:
            self._ping_due, self._answer_due, self._heard = at + _PING_EVERY, at + _PING_PATIENCE, False
            self._say(PING, SYN, 0, self._pings)
            self._pings = (self._pings + 1) & _WIDEST
        for number, state in list(self._streams.items()):
            if punctual and (state.gone or state.asked):
                self._grow_old(number, state)
        return at + _LOOK

    def _grow_old(self, number: int, state: _State) -> None:
        """The first look after it began is too early for a verdict."""
        state.age += 1
        if state.age < 2:
            return
        if state.gone:
            self.reset(number)
        else:
            raise ProtocolError("the peer does not take streams", reason="timeout")

    def goodbye(self) -> None:
        """See Multiplexer."""
        if not self._leaving:
            self._leaving = True
            self._say(GO_AWAY, 0, 0, NORMAL)
