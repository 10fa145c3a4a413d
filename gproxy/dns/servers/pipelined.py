"""Questions on streams (RFC 1035 section 4.2.2, RFC 7766): many at once on a connection, answered in any order.

    +--------+-----------------+--------+-----------------+
    | length | message, id 1   | length | message, id 2   | ...
    +--------+-----------------+--------+-----------------+

A connection has one greenlet that reads, and one that writes while there is something to be written: all that has been
asked meanwhile leaves in one piece.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import Final

from gproxy.base.clock import now
from gproxy.base.errors import DialError, ProtocolError, StreamClosed
from gproxy.base.iface import Connect, Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask, Told
from gproxy.dns.servers.asked import (
    answers_alike,
    answers_wholly,
    fail,
    is_bare_error,
    is_truncated,
    question_of,
    settled,
    with_question,
)
from gproxy.net.framed import Framed
from gproxy.net.shared import SharedDial
from gproxy.rt.crew import launch
from gproxy.rt.sockets import Gate, Timer
from gproxy.wire.dns.message import HEAD

DEPTH: Final = 128
"""Questions under way on one connection before another one is opened."""

MOST_CONNECTIONS: Final = 4

MOST_WAITING: Final = 2048
"""Questions under way on one connection when there are no more connections; further ones fail. As many may wait for a
connection as may be under way on all together.
"""

TRIES: Final = 3
"""How often a question is asked at most. Some servers close a connection after so many answers, whatever is asked on it
meanwhile: dnsmasq after 100.
"""

IDLE: Final = 30.0
"""Seconds after which a connection that nobody uses is closed. Servers keep them for 2 to 60."""

PATIENCE: Final = 3.0
"""Seconds of silence after which a connection that has answered before counts as broken, while something is asked: the
other end, or a translator of addresses on the way, has often forgotten it."""

_LENGTH_AND_ID = Struct("!HH")
_SWEEP: Final = 1.0
_MOST_STRAY: Final = 1000  # answers that nobody asked for, or waits for any more; many of them come late only
_ID: Final = 0xFFFF


class _Query:
    """One question under way (see UnderWay)."""

    __slots__ = ("_number", "_queries", "question", "since", "told")

    def __init__(self, queries: dict[int, _Query], number: int, question: bytes, told: Told) -> None:
        self._queries = queries
        self._number = number
        self.question = question
        self.told = told
        self.since = now()

    def forget(self) -> None:
        """See UnderWay."""
        self._queries.pop(self._number, None)


class _Waiting:
    """A greenlet that waits to be told (see Told)."""

    __slots__ = ("again", "answer", "gate", "why")

    def __init__(self) -> None:
        self.gate = Gate()
        self.answer = b""
        self.why = ""
        self.again = False

    def told(self, answer: bytes) -> None:
        """See Told."""
        self.answer = answer
        self.gate.open()

    def failed(self, why: str, *, again: bool) -> None:
        """See Told."""
        self.why = why
        self.again = again
        self.gate.open()


class _Connection:
    """One stream to the server. It owns the stream."""

    __slots__ = ("_next", "_out", "_part", "_queries", "_reading", "_stray", "_stream", "_writing", "born", "heard",
                 "over", "used")  # fmt: skip

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._queries: dict[int, _Query] = {}
        self._out: list[bytes] = []
        self._next = 0
        self._part = bytearray()  # of a message that has not come to its end
        self._writing = self._reading = False
        self._stray = 0
        self.born = self.used = now()
        self.heard = 0.0  # when the last answer came; 0: none has
        self.over = False

    def __len__(self) -> int:
        return len(self._queries)

    @property
    def stuck(self) -> bool:
        """Whether the server does not read what has been asked."""
        return len(self._out) >= MOST_WAITING

    def ask(self, message: bytes, question: bytes, told: Told) -> _Query:
        """Send a question. `told` hears of it: later on, unless the connection is stuck, which is its end."""
        number = self._next
        while number in self._queries:
            number = number + 1 & _ID
        self._next = number + 1 & _ID
        query = self._queries[number] = _Query(self._queries, number, question, told)
        self.used = query.since
        if self.stuck:
            self.close("the server does not read")
            return query
        self._out.append(_LENGTH_AND_ID.pack(len(message), number) + message[2:])
        if not self._writing:
            self._writing = True
            launch(self._write)
        return query

    def broken_since(self) -> float:
        """For how many seconds something has been asked, and nothing was heard on a connection that was good before."""
        if not self._queries or not self.heard:
            return 0
        return now() - max(self.heard, next(iter(self._queries.values())).since)

    def close(self, why: str = "it was closed here") -> None:
        """End it; whoever waits is told. Idempotent."""
        if self.over:
            return
        self.over = True
        queries, self._queries = self._queries, {}
        self._out.clear()
        self._stream.close()
        again = self.heard > 0
        for query in list(queries.values()):
            query.told.failed(why, again=again)

    def _write(self) -> None:
        """In a greenlet of its own, while there is something to be sent."""
        try:
            while self._out and not self.over:
                out, self._out = self._out, []
                self._send(out)
                if not self._reading and not self.over:  # a stream may hold a head that leaves with what is sent first
                    self._reading = True
                    launch(self._read)
        except (StreamClosed, ProtocolError) as error:
            self.close(str(error))
        finally:
            self._writing = False

    def _send(self, messages: list[bytes]) -> None:
        """Within TLS each message is a record of its own: dnsdist up to 1.7 forgets what else a record holds."""
        stream = self._stream
        if len(messages) > 1 and isinstance(stream, Framed):
            stream.sendall_apart(messages)
        else:
            stream.sendall(b"".join(messages))

    def _read(self) -> None:
        """In a greenlet of its own."""
        try:
            while data := self._stream.recv():
                self._feed(data)
            self.close("the server has closed the connection")
        except (StreamClosed, ProtocolError) as error:
            self.close(str(error))
        finally:
            self.close("nobody reads it any more")

    def _feed(self, data: bytes) -> None:
        if self._part:
            self._part += data
            data = bytes(self._part) if self._whole() else b""
            if not data:
                return
            self._part.clear()
        at, have = 0, len(data)
        while have - at >= 2:
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            if end > have:
                break
            self._heard(data[at + 2 : end])
            at = end
        if at < have:
            self._part += data[at:]

    def _whole(self) -> bool:
        """Whether the message has come to its end: it isn't copied before that, however small its pieces are."""
        part = self._part
        return len(part) >= 2 and len(part) >= 2 + int.from_bytes(part[:2], "big")

    def _heard(self, message: bytes) -> None:
        if len(message) < HEAD:
            raise ProtocolError("a DNS message that is cut off")
        query = self._queries.pop(int.from_bytes(message[:2], "big"), None)
        if query is None:
            self._stray += 1
            if self._stray > _MOST_STRAY:
                raise ProtocolError("a server that answers what nobody has asked")
            return
        self.heard = now()
        told, question = query.told, query.question
        if answers_wholly(message, question):
            told.told(b"\0\0" + message[2:])
        elif is_bare_error(message):
            told.told(settled(with_question(message, question), question))
        elif not answers_alike(message, question):
            told.failed("an answer to another question", again=False)
        elif is_truncated(message):
            told.failed("an answer that is cut off", again=False)
        else:
            told.told(settled(message, question))


class Pool:
    """The connections to one server."""

    def __init__(self, connect: Connect, who: str) -> None:
        """`who`: the server, as messages name it."""
        self._connect = connect
        self._who = who
        self._connections: list[_Connection] = []
        self._shared = SharedDial()
        self._timer: Timer | None = None
        self._closed = False
        self._dialling = False
        self._under_way = 0

    def exchange(self, ask: Ask) -> bytes:
        """See Server. What a connection has that breaks after it has been good is asked again, on a fresh one."""
        if self._under_way >= MOST_WAITING * MOST_CONNECTIONS:
            fail(self._who, "too many questions are under way")
        self._under_way += 1
        try:
            return self._exchange(ask)
        finally:
            self._under_way -= 1

    def start(self, message: bytes, question: bytes, told: Told) -> _Query | None:
        """See Starting."""
        connection = self._find(0.0)
        if connection is None or connection.stuck or len(connection) >= MOST_WAITING:
            return None
        return connection.ask(message, question, told)

    def _exchange(self, ask: Ask) -> bytes:
        question = question_of(ask)
        since = 0.0
        left = TRIES
        while True:
            waiting = _Waiting()
            query = self._one(ask.session, since).ask(ask.message, question, waiting)
            try:
                waiting.gate.wait()
            finally:
                query.forget()
            if waiting.answer:
                return waiting.answer
            left -= 1
            if not waiting.again or not left:
                fail(self._who, waiting.why)
            since = now()

    def _one(self, session: Session, since: float) -> _Connection:
        """A connection to ask on, no older than `since`. Raises DialError."""
        try:
            connection = self._shared.get(partial(self._find, since), partial(self._dial, session))
        except (DialError, StreamClosed, ProtocolError) as error:
            least = self._least(since)
            if least is None:
                fail(self._who, error)
            connection = least
        if len(connection) >= MOST_WAITING:
            fail(self._who, "too many questions are under way")
        return connection

    def _find(self, since: float) -> _Connection | None:
        for connection in self._connections:
            if len(connection) < DEPTH and not connection.over and connection.born >= since:
                return connection
        return self._least(since) if self._dialling or len(self._connections) >= MOST_CONNECTIONS else None

    def _least(self, since: float) -> _Connection | None:
        """The one with the fewest questions under way."""
        usable = [each for each in self._connections if not each.over and each.born >= since]
        return min(usable, key=len, default=None)

    def _dial(self, session: Session) -> _Connection:
        self._dialling = True
        try:
            stream = self._connect(session)
        finally:
            self._dialling = False
        if self._closed:
            stream.close()
            raise StreamClosed("closed here", reason="local")
        connection = _Connection(stream)
        self._connections = [each for each in self._connections if not each.over]
        self._connections.append(connection)
        if self._timer is None:
            self._timer = Timer(_SWEEP, self._sweep, repeat=True)
        return connection

    def _sweep(self) -> None:
        """In the hub, while there are connections: end those that are idle, or broken without a word."""
        for connection in self._connections:
            if connection.broken_since() > PATIENCE:
                connection.close("the server has fallen silent")
            elif not len(connection) and now() - max(connection.used, connection.heard) > IDLE:
                connection.close()
        self._connections = [each for each in self._connections if not each.over]
        if not self._connections:
            self._stop()

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()

    def close(self) -> None:
        """Give up all connections. Idempotent."""
        self._closed = True
        self._stop()
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
