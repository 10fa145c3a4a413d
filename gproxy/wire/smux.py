"""smux, version 1: many streams over one. Specification: github.com/xtaci/smux, as sing-mux uses it.

+---------+---------+------------+---------------+----------+
| version | command | length LE  | stream LE     | payload  |
+---------+---------+------------+---------------+----------+
|    1    |    1    |     2      |      4        |  length  |

version 1. Commands: 0 SYN, the stream begins; 1 FIN, its sender is done with it; 2 PSH, data; 3 NOP. Only PSH has a
payload. A client's streams have odd numbers from 3 on. There are no windows: what waits to be read is bounded for the
whole link by not listening to it. sing-mux sends no keep-alive here, and speaks no version 2; other implementations
send a NOP now and then and want to hear something, so a NOP is answered by one.

FIN ends both directions for smux's own implementations: what they are sent after theirs they drop. So that a half-close
can be kept between two of us, both say beforehand, with a NOP of a number that no stream will have, that to them FIN
ends one direction, and a second FIN means that its sender does not listen any more. To others, a client's FIN waits for
as long as the answer may still come; a server's does not, since it may be all that says where an answer ends.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Buffer, Happened
from gproxy.wire.linkframes import LinkFrames

VERSION: Final = 1
SYN: Final = 0
FIN: Final = 1
PSH: Final = 2
NOP: Final = 3

HEADER: Final = Struct("<BBHI")

MAX_PAYLOAD: Final = 32768
"""What smux's own implementations put into a frame; they take up to 65,535 octets."""

HALVES: Final = 0xFFFFFFFE
"""The number that says: to me, FIN ends one direction."""

_FIRST: Final = 3
_LAST: Final = 0xFFFFFFF0

# Seconds of silence after which a client's FIN goes to a server that will drop its answer because of it, and how often
# that is looked at.
_PATIENCE: Final = 10.0
_LOOK: Final = 5.0

# Frames that the peer has provoked and that wait to be sent, at most: it does not read, then, but goes on asking.
_MOST_DUE: Final = 8192

# Streams that were closed before it was known what FIN means to the peer; more are forgotten.
_MOST_EARLY: Final = 1024


class _State:
    """What is known of a live stream."""

    __slots__ = ("ended", "ending", "shut")

    def __init__(self) -> None:
        self.ended = False  # the peer's FIN has come
        self.shut = False  # ours has gone
        self.ending: float | None = None  # it waits; for so many more seconds of silence


class Smux(LinkFrames):
    """See Multiplexer. Heads are not known here, and there is always room."""

    __slots__ = ("_client", "_early", "_halves", "_streams")

    name = "smux"
    header = HEADER
    last = _LAST
    most = MAX_PAYLOAD

    def __init__(self, *, client: bool) -> None:
        super().__init__(_FIRST)
        self._client = client
        self._streams: dict[int, _State] = {}
        self._halves = False  # the peer has said that to it FIN ends one direction
        self._early: list[int] = []
        if client:
            self._say(NOP, HALVES)

    # -- what the peer says --------------------------------------------------------------------------------------------

    def _frame(self, header: tuple[int, ...], happened: list[Happened]) -> None:
        version, command, length, number = header
        if version != VERSION:
            raise ProtocolError(f"smux version {version}")
        if command == PSH:
            self._push(length, number)
        elif length:
            raise ProtocolError(f"smux command {command} with a payload")
        elif command == SYN:
            self._begin(number, happened)
        elif command == FIN:
            self._finish(number, happened)
        elif command != NOP:
            raise ProtocolError(f"smux command {command}")
        elif number != HALVES:
            self._say(NOP, 0)
        elif not self._halves:
            self._learn()
        if self._said > _MOST_DUE:
            raise ProtocolError("more is asked on an smux link than is listened to")

    def _push(self, length: int, number: int) -> None:
        self._left, self._target = length, 0
        state = self._streams.get(number)
        if state is not None and not state.ended:
            self._target = number
            if state.ending is not None:
                state.ending = _PATIENCE

    def _begin(self, number: int, happened: list[Happened]) -> None:
        if self._client:
            raise ProtocolError("a server has opened a smux stream")
        if not number or number > _LAST:
            raise ProtocolError(f"smux stream {number}")
        if number not in self._streams:
            self._streams[number] = _State()
            happened.append(Happened("opened", number))

    def _finish(self, number: int, happened: list[Happened]) -> None:
        state = self._streams.get(number)
        if state is None:
            return
        if self._target == number:
            self._target = 0
        if not state.ended:
            state.ended = True
            happened.append(Happened("ended", number))
            if self._halves:
                if state.shut:
                    del self._streams[number]
                return
        happened.append(Happened("reset", number))

    def _learn(self) -> None:
        self._halves = True
        if not self._client:
            self._say(NOP, HALVES)
        for number in self._early:
            self._say(FIN, number)
        self._early.clear()
        for number, state in self._streams.items():
            if state.ending is not None:
                self._shut(number, state)

    # -- what we say ---------------------------------------------------------------------------------------------------

    def _say(self, command: int, number: int) -> None:
        self._put(VERSION, command, 0, number)

    def _data_header(self, stream: int, size: int) -> bytes:
        return HEADER.pack(VERSION, PSH, size, stream)

    def open(self, head: Any = None, /) -> int:
        """See Multiplexer."""
        number = self._number()
        self._streams[number] = _State()
        self._say(SYN, number)
        return number

    def room(self, stream: int, /) -> int:
        """See Multiplexer."""
        return 1 << 30

    def send(self, stream: int, data: Buffer, /) -> None:
        """See Multiplexer."""
        self._put_data(stream, data)

    def end(self, stream: int, /) -> None:
        """See Multiplexer."""
        state = self._streams.get(stream)
        if state is None or state.shut:
            return
        if self._halves or not self._client or state.ended:
            self._shut(stream, state)
        else:
            state.ending = _PATIENCE

    def _shut(self, stream: int, state: _State) -> None:
        state.shut, state.ending = True, None
        self._say(FIN, stream)

    def close(self, stream: int, /) -> None:
        """See Multiplexer. Nothing is lost of what the peer has got."""
        state = self._streams.pop(stream, None)
        if state is None:
            return
        if self._target == stream:
            self._target = 0
        if not state.shut:
            self._shut(stream, state)
        if state.ended:
            return
        if self._halves:
            self._say(FIN, stream)
        elif self._client and len(self._early) < _MOST_EARLY:
            self._early.append(stream)

    def reset(self, stream: int, /) -> None:
        """See Multiplexer: smux has no other word for it."""
        self.close(stream)

    def taken(self, stream: int, size: int, /) -> None:
        """See Multiplexer: there are no windows."""

    def tick(self, at: float, /) -> float | None:
        """See Multiplexer. Nobody is pinged."""
        if not self._client or self._halves:
            return None
        for number, state in self._streams.items():
            if state.ending is not None:
                state.ending -= _LOOK
                if state.ending < 0:
                    self._shut(number, state)
        return at + _LOOK

    def goodbye(self) -> None:
        """See Multiplexer: smux has no word for it."""
