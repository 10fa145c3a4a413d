"""A link: one stream that carries many. A pure core (see Multiplexer) makes the frames; here they meet greenlets.

One greenlet reads the stream beneath and one writes it, and nobody else touches it. A stream of the link queues its
data with the core and wakes the writer, which sends all that has gathered in one piece; so whoever sends can be
interrupted, by a deadline or by its end, without cutting a frame. What is queued is bounded, and streams that have more
to send take turns. What is read waits in the streams' inboxes, bounded for each by the format's windows, and for all of
them together here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.defaults import LINGER, LINK_INBOX, LINK_OUTBOX, LINK_STREAMS, LINK_TURN
from gproxy.base.errors import ASKED, CloseReason, GproxyError, Overloaded, ProtocolError, StreamClosed
from gproxy.base.iface import Buffer, Happened, Multiplexer, Stream
from gproxy.net.opaque import Opaque
from gproxy.rt.crew import launch
from gproxy.rt.sockets import Gate, Timer
from gproxy.rt.sync import sleep

Serve = Callable[["LinkStream", Any], None]
"""Server direction: serve a stream that the peer has opened, with what the format says of it. It must not raise; the
stream is closed when it returns."""

# A link whose inboxes are full is not listened to, so what the peer's silence would mean is asked again after this.
_ASK_AGAIN = 1.0

# An inbox of many pieces, smaller than this on average, is made one: they would take more memory than what they hold.
_MOST_PIECES = 256
_SMALL = 256

# What is given out at once, roughly: the peer may send as much again while it is on its way.
_MOST_AT_ONCE = 256 * 1024


class LinkStream(Opaque):
    """One of a link's streams; see Stream. It may be used before the head of its answer has come."""

    __slots__ = ("_arrived", "_broken", "_closed", "_ended", "_head", "_inbox", "_link", "_room", "_shut", "number",
                 "unread", "waiting")  # fmt: skip

    def __init__(self, link: Link, number: int) -> None:
        self.number = number
        self.unread = 0  # bytes in the inbox
        self.waiting = False  # for the format's window
        self._link = link
        self._inbox: list[bytes] = []
        self._head: Any = None
        self._arrived = Gate()
        self._room = Gate()
        self._ended = False  # the peer will send no more
        self._broken: tuple[str, CloseReason] | None = None
        self._shut = False  # we shall send no more
        self._closed = False

    # -- what its owner calls ------------------------------------------------------------------------------------------

    def recv(self) -> bytes:
        """See Stream: what has come, unless that is very much."""
        while not self._inbox:
            if self._over():
                return b""
            self._arrived.wait()
        return self._take()

    def head(self) -> Any:
        """The head of the peer's answer, waiting until it has come. For whoever would call `recv` next; raises as it
        does, and StreamClosed also when the stream has ended without a head.
        """
        while self._head is None:
            if self._over():
                raise StreamClosed("the stream ended without an answer", reason="truncated")
            self._arrived.wait()
        return self._head

    def answer(self, head: Any) -> None:
        """Say the head of our answer, in formats that have one. Quiet when the stream is over."""
        self._link.answer(self, head)

    def _over(self) -> bool:
        """Whether the peer has ended, with nothing left to read. Raises StreamClosed for any other end."""
        if self._closed:
            raise StreamClosed("closed here", reason="local")
        if not self._ended and self._broken is not None:
            raise StreamClosed(self._broken[0], reason=self._broken[1])
        return self._ended

    def _take(self) -> bytes:
        inbox = self._inbox
        if self.unread <= _MOST_AT_ONCE or len(inbox) == 1:
            data = inbox[0] if len(inbox) == 1 else b"".join(inbox)
            inbox.clear()
        else:
            count = size = 0
            while size < _MOST_AT_ONCE:
                size += len(inbox[count])
                count += 1
            data = b"".join(inbox[:count])
            del inbox[:count]
        self.unread -= len(data)
        self._link.taken(self, len(data))
        return data

    def sendall(self, data: Buffer, /) -> None:
        """See Stream: it returns when all is queued."""
        self.sendable()
        size, sent = len(data), 0
        link = self._link
        while sent < size:
            room = link.turn(self, self._room)
            if room < size:
                with memoryview(data) as whole, whole[sent : sent + room] as part:
                    sent += link.send(self, part)
            elif sent:
                with memoryview(data) as whole, whole[sent:] as part:
                    sent += link.send(self, part)
            else:
                sent = link.send(self, data)

    def sendable(self) -> None:
        """Raises StreamClosed if nothing can be sent any more."""
        if self._closed or self._shut:
            raise StreamClosed("closed here", reason="local")
        if self._broken is not None:
            raise StreamClosed(self._broken[0], reason=self._broken[1])

    def close_write(self) -> None:
        """See Stream."""
        if not (self._closed or self._shut):
            self._shut = True
            self._link.end(self)

    def close(self) -> None:
        """See Stream. A peer that has sent what nobody will read is told so, as TCP does it."""
        if not self._closed:
            self._leave(reset=False)

    def abort(self) -> None:
        """See Stream: a reset, in formats that have one."""
        if not self._closed:
            self._leave(reset=True)

    def _leave(self, *, reset: bool) -> None:
        self._closed = self._shut = True
        self._link.leave(self, reset=reset)
        self._inbox.clear()
        self.unread = 0
        self._arrived.open()
        self._room.open()

    def take(self) -> bytes:
        """See Stream."""
        return self._take() if self._inbox else b""

    def bound(self) -> Address | None:
        """See Stream: the link's own."""
        return None if self._closed else self._link.bound()

    # -- what the link calls -------------------------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """Data from the peer."""
        inbox = self._inbox
        inbox.append(data)
        self.unread += len(data)
        if len(inbox) > _MOST_PIECES and self.unread < len(inbox) * _SMALL:
            inbox[:] = [b"".join(inbox)]
        self._arrived.open()

    def answered(self, head: Any) -> None:
        """The head of the peer's answer."""
        self._head = head
        self._arrived.open()

    def ended(self) -> None:
        """The peer will send no more."""
        self._ended = True
        self._arrived.open()

    def broken(self, message: str, reason: CloseReason) -> None:
        """Nothing more can be sent and, unless the peer has ended, nothing more will come. The first one counts."""
        self._broken = self._broken or (message, reason)
        self._arrived.open()
        self._room.open()

    def roomy(self) -> None:
        """There may be room again."""
        self._room.open()


class Link:
    """A stream and the core that multiplexes it. It owns the stream from here on.

    In the client direction `start` it and `open` streams. In the server direction `run` it. It ends when the stream
    does, when the core raises ProtocolError, with `close`, and in the client direction also when the peer has said that
    it takes no more streams and the last one is gone. Then all its streams are broken and the stream is closed.
    """

    def __init__(
        self,
        stream: Stream,
        core: Multiplexer,
        serve: Serve | None = None,
        *,
        most: int = LINK_STREAMS,
        inbox: int = LINK_INBOX,
    ) -> None:
        """`serve`: what is done for streams that the peer opens, up to `most` at once; without it none is taken.

        `inbox`: how many unread bytes there are in all streams together when the peer is not listened to any more.
        """
        self._stream = stream
        self._core = core
        self._serve = serve
        self._most = most
        self._most_unread = inbox
        self._streams: dict[int, LinkStream] = {}
        self._queued = 0  # bytes that the core was given since the writer's last turn
        self._turns: deque[LinkStream] = deque()  # those that wait to queue more
        self._granted: set[LinkStream] = set()  # those of them whose turn it is
        self._work = Gate()  # the writer's
        self._quiet = Gate()  # for whoever waits for the writer's end
        self._relief = Gate()  # the reader's, when the inboxes are full
        self._unread = 0
        self._timer: Timer | None = None
        self._linger: Timer | None = None
        self._writing = False  # the writer has begun, and is not over
        self._reading = False
        self._leaving = False  # the peer has said that it takes no more streams, or we have
        self._over: tuple[str, CloseReason] | None = None
        self._why: GproxyError | None = None  # what ended the link, if that was no orderly end
        self.idle_since = now()  # when the last stream was closed, while there is none

    # -- what its owner calls ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Client direction: begin to write and read, in greenlets of its own."""
        self._writing = True
        launch(self._write)
        if not self._stream.held():  # else a head waits to leave together with what is written first
            self._begin_to_read()

    def _begin_to_read(self) -> None:
        if not (self._reading or self._over):
            self._reading = True
            launch(self._read)

    def run(self) -> None:
        """Server direction: serve the peer's streams until the link is over; the caller's greenlet is the reader.

        Raises what ended the link, unless that was the peer, in order, or its owner: StreamClosed, ProtocolError.
        """
        self._writing = self._reading = True
        launch(self._write)
        self._read()
        while self._writing:  # what was queued leaves, unless that takes too long
            self._quiet.wait()
        why, self._why = self._why, None  # it must not hold what holds it
        if why is not None:
            raise why

    def open(self, head: Any = None) -> LinkStream:
        """A new stream. Raises Overloaded when the peer takes no more, and StreamClosed when the link is over."""
        if self._over is not None:
            raise StreamClosed(self._over[0], reason=self._over[1])
        if self._leaving:
            raise Overloaded("the link takes no more streams")
        number = self._core.open(head)
        stream = self._streams[number] = LinkStream(self, number)
        self._work.open()
        return stream

    def retire(self) -> None:
        """Take no more streams, and end with the last one."""
        if self._over is None:
            self._leaving = True
            self._core.goodbye()
            self._work.open()
            self._end_if_done()

    def close(self) -> None:
        """End the link and all its streams. What was queued still leaves if the peer takes it soon. Idempotent."""
        self._core.goodbye()
        self._end("the link was closed here", "local")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over is not None

    @property
    def open_for_more(self) -> bool:
        """Whether more streams may be asked for."""
        return self._over is None and not self._leaving

    def __len__(self) -> int:
        """How many streams are open, seen from here: until their owner closes them."""
        return len(self._streams)

    def bound(self) -> Address | None:
        """The address of the stream beneath."""
        return self._stream.bound()

    # -- what its streams call -----------------------------------------------------------------------------------------

    def turn(self, stream: LinkStream, gate: Gate) -> int:
        """How many bytes the stream may queue now: waits until there are some. Raises StreamClosed."""
        queued = False
        try:
            while True:
                stream.sendable()
                room = self._core.room(stream.number)
                if not room:
                    self._pass_on(stream)
                    queued = False
                    stream.waiting = True
                    gate.wait()
                    stream.waiting = False
                elif stream in self._granted or (not self._turns and not queued and self._queued < LINK_OUTBOX):
                    self._granted.discard(stream)
                    return min(room, LINK_TURN)
                else:
                    if not queued:
                        queued = True
                        self._turns.append(stream)
                    gate.wait()
        except BaseException:
            stream.waiting = False
            self._pass_on(stream)
            raise

    def _pass_on(self, stream: LinkStream) -> None:
        """The stream does not want its turn: another one may have it."""
        if stream in self._granted:
            self._granted.discard(stream)
            self._grant(1)
        elif stream in self._turns:
            self._turns.remove(stream)

    def _grant(self, most: int) -> None:
        while self._turns and most > 0:
            stream = self._turns.popleft()
            self._granted.add(stream)
            stream.roomy()
            most -= 1

    def send(self, stream: LinkStream, data: Buffer) -> int:
        """Queue data for which there is room; how many bytes that were."""
        self._core.send(stream.number, data)
        size = len(data)
        self._queued += size
        self._work.open()
        return size

    def taken(self, stream: LinkStream, size: int) -> None:
        """The stream's reader has taken so much."""
        self._unread -= size
        if self._over is None:
            self._core.taken(stream.number, size)
            if self._core.due:
                self._work.open()
        self._relief.open()

    def answer(self, stream: LinkStream, head: Any) -> None:
        """Say the head of our answer."""
        if self._over is None:
            self._core.answer(stream.number, head)
            self._work.open()

    def end(self, stream: LinkStream) -> None:
        """The stream's owner will send no more."""
        if self._over is None:
            self._core.end(stream.number)
            self._work.open()

    def leave(self, stream: LinkStream, *, reset: bool) -> None:
        """The stream's owner has closed it."""
        self._streams.pop(stream.number, None)
        self._unread -= stream.unread
        self._relief.open()
        if not self._streams:
            self.idle_since = now()
        if self._over is not None:
            return
        if reset:
            self._core.reset(stream.number)
        elif stream.unread:
            self._core.end(stream.number)
            self._core.reset(stream.number)
        else:
            self._core.close(stream.number)
        self._work.open()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._leaving and not self._streams and self._serve is None:
            self._end("the link has served its time", "local")

    # -- the writer ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """Send what is due, all of it in one piece, until the link is over. It runs in the hub's name: never raises."""
        try:
            self._ask_the_time()
            while True:
                self._work.wait()
                while data := self._core.drain():
                    self._queued = 0
                    self._grant(LINK_OUTBOX // LINK_TURN)
                    self._stream.sendall(data)
                    if not self._reading:
                        self._begin_to_read()
                if self._over is not None:
                    return
        except StreamClosed as error:
            self._break(error)
        except ProtocolError as error:
            self._fail(error)
        finally:
            self._writing = False
            self._end("the link's writer is gone", "local")
            self._part()
            self._quiet.open()

    # -- the reader ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            self._listen()
            self._end("the peer has ended the link", "reset")
        except StreamClosed as error:
            self._break(error)
        except ProtocolError as error:
            self._fail(error)
        finally:
            self._end("the link's reader is gone", "killed")

    def _listen(self) -> None:
        fresh = 0
        while data := self._stream.recv():
            core = self._core
            for happened in core.feed(data):
                self._happened(happened)
            if core.due:
                self._work.open()
            fresh += len(data)
            if fresh >= LINK_TURN:
                fresh = 0
                sleep(0)  # the streams' owners have something to do
            while self._unread >= self._most_unread and self._over is None:
                self._relief.wait()

    def _happened(self, happened: Happened) -> None:
        kind, number, value = happened
        if kind == "opened":
            self._opened(number, value)
        elif kind == "closing":
            self._leaving = True
            self._end_if_done()
        elif kind == "room" and not number:
            for stream in self._streams.values():
                if stream.waiting:
                    stream.roomy()
        elif (its := self._streams.get(number)) is not None:
            if kind == "data":
                self._unread += len(value)
                its.deliver(value)
            elif kind == "room":
                its.roomy()
            elif kind == "ended":
                its.ended()
            elif kind == "head":
                its.answered(value)
            else:
                its.broken(f"reset by the peer{f': {value}' if value else ''}", "reset")

    def _opened(self, number: int, head: Any) -> None:
        if self._serve is None or self._leaving or len(self._streams) >= self._most:
            self._core.reset(number)
        else:
            stream = self._streams[number] = LinkStream(self, number)
            launch(self._serve_one, self._serve, stream, head)

    @staticmethod
    def _serve_one(serve: Serve, stream: LinkStream, head: Any) -> None:
        try:
            serve(stream, head)
        finally:
            stream.close()

    # -- time and the end ----------------------------------------------------------------------------------------------

    def _ask_the_time(self) -> None:
        """Let the core do what is due by now, and come again when it says. Raises ProtocolError."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._over is not None:
            return
        if self._unread >= self._most_unread:
            again: float | None = now() + _ASK_AGAIN
        else:
            again = self._core.tick(now())
            if self._core.due:
                self._work.open()
        if again is not None:
            self._timer = Timer(max(again - now(), 0.001), self._tick)

    def _tick(self) -> None:
        """In the hub."""
        try:
            self._ask_the_time()
        except ProtocolError as error:
            self._fail(error)

    def _fail(self, error: ProtocolError) -> None:
        """What the core can't go on with. A link that nobody uses (`idle`) ends in order."""
        if self._over is not None:
            return
        if error.reason == "idle":
            self._end(str(error), "idle")
            return
        self._why = type(error)(error.message, reason=error.reason)
        self._end(str(error), "timeout" if error.reason == "timeout" else "corrupt")

    def _break(self, error: StreamClosed) -> None:
        if self._over is None:
            reason: CloseReason = error.reason  # type: ignore[assignment]  # StreamClosed takes no other reasons
            self._why = StreamClosed(error.message, reason=reason)
            self._end(str(error), reason)

    def _end(self, message: str, reason: CloseReason) -> None:
        """The link is over. What was queued may still leave, for a moment, if the stream beneath is whole."""
        if self._over is not None:
            return
        streams_reason: CloseReason = "reset" if reason in ("eof", "local") else reason
        self._over = message, streams_reason
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        for stream in self._streams.values():
            stream.broken(message, streams_reason)
        self._relief.open()
        self._work.open()
        if not self._writing:
            self._part()
        elif reason in ("local", "corrupt") or reason in ASKED:
            self._linger = Timer(LINGER, self._part)
        else:
            self._part()

    def _part(self) -> None:
        if self._linger is not None:
            self._linger.stop()
            self._linger = None
        self._stream.close()
