"""What a session is led to by the action `hijack-dns`: its questions are answered here, and go nowhere."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from gproxy.base.address import Address
from gproxy.base.defaults import DNS_IDLE, QUERIES_OF_ONE, UDP_INBOX
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Later, PacketConn, Resolver, Soon, Stream, Take
from gproxy.base.session import Session
from gproxy.net.desk import Desk
from gproxy.net.opaque import Opaque
from gproxy.net.questions import WORKERS, Questions
from gproxy.rt.deadline import deadline
from gproxy.rt.sockets import Gate, call_soon

_MOST_DESKS: Final = 256


class Hijack:
    """An Outbound that reaches nothing but the resolver."""

    networks = frozenset({"tcp", "udp"})

    def __init__(self, names: Resolver) -> None:
        self._names = names
        self._desks: dict[str, Desk] = {}

    def dial(self, target: Address, session: Session) -> Stream:
        """See Dialer: DNS over TCP. It never fails."""
        return HijackedStream(self._desk(session), session)

    def dial_packet(self, target: Address, session: Session) -> PacketConn:
        """See Dialer: DNS over UDP, whatever address a datagram is for. It never fails."""
        return HijackedPackets(self._desk(session), session)

    def close(self) -> None:
        """See Outbound: there is nothing to give up."""

    def _desk(self, session: Session) -> Desk:
        desk = self._desks.get(session.inbound)
        if desk is None:
            if len(self._desks) >= _MOST_DESKS:
                self._desks.clear()
            desk = self._desks[session.inbound] = Desk(self._names, session.inbound, subnets=True)
        return desk


class HijackedStream(Opaque):
    """See Stream: questions go in, answers come out."""

    __slots__ = ("_closed", "_ended", "_questions", "_readable", "_writable")

    def __init__(self, desk: Desk, session: Session) -> None:
        self._questions = Questions(partial(desk.begin, session=session), self._ready)
        self._readable = Gate()
        self._writable = Gate()
        self._ended = False  # no more questions will come
        self._closed = False

    def _ready(self) -> None:
        self._readable.open()
        self._writable.open()

    def recv(self) -> bytes:
        """See Stream. A long silence ends it, as servers do."""
        while not (data := self._questions.take()):
            if self._closed:
                raise StreamClosed("closed here", reason="local")
            if self._ended and not self._questions.busy:
                return b""
            self._wait()
        self._writable.open()
        return data

    def _wait(self) -> None:
        silence = StreamClosed("no question for too long", reason="idle")
        try:
            with deadline(DNS_IDLE, silence):
                self._readable.wait()
        except StreamClosed as why:
            if why is not silence:
                raise
            self._ended = self._ended or not self._questions.busy

    def sendall(self, data: Buffer, /) -> None:
        """See Stream. It waits while there are too many questions without an answer that was taken."""
        if self._closed or self._ended:
            raise StreamClosed("closed here", reason="local")
        questions = self._questions
        questions.feed(bytes(data))
        self._readable.open()
        while questions.full:
            self._writable.wait()
            if self._closed:
                raise StreamClosed("closed here", reason="local")
            questions.feed(b"")
            self._readable.open()

    def close_write(self) -> None:
        """See Stream."""
        self._ended = True
        self._readable.open()

    def close(self) -> None:
        """See Stream."""
        self._closed = self._ended = True
        self._ready()

    def abort(self) -> None:
        """See Stream."""
        self.close()

    def take(self) -> bytes:
        """See Stream."""
        return self._questions.take()

    def bound(self) -> Address | None:
        """See Stream: there is none."""
        return None


class HijackedPackets:
    """See PacketConn, client direction: each datagram is a question, and its answer comes from where that was sent."""

    __slots__ = ("_closed", "_desk", "_gate", "_inbox", "_session", "_take", "_working")

    def __init__(self, desk: Desk, session: Session) -> None:
        self._desk = desk
        self._session = session
        self._inbox: deque[tuple[Buffer, Address]] = deque(maxlen=UDP_INBOX)
        self._gate = Gate()
        self._take: Take | None = None
        self._working = 0
        self._closed = False

    def send_to(self, data: Buffer, to: Address, /) -> None:
        """See PacketConn. What is asked beyond the most that may be in work is lost."""
        if self._closed:
            raise StreamClosed("closed here", reason="local")
        query = bytes(data)
        answer = self._desk.known(query) or self._desk.begin_datagram(query, self._session)
        if isinstance(answer, bytes):
            if answer:
                self._deliver(answer, to)
        elif self._working < QUERIES_OF_ONE:
            self._working += 1
            work = partial(call_soon, WORKERS.shield, self._one, answer, to)
            if not (isinstance(answer, Soon) and answer.soon(work)):
                WORKERS.spawn(self._one, answer, to)

    def _one(self, find: Later, to: Address) -> None:
        try:
            answer = find()
            if answer and not self._closed:
                self._deliver(answer, to)
        finally:
            self._working -= 1

    def _deliver(self, answer: bytes, source: Address) -> None:
        if self._take is not None and self._take(answer, source):
            return
        self._inbox.append((answer, source))
        self._gate.open()

    def recv_from(self) -> tuple[Buffer, Address]:
        """See PacketConn."""
        while not self._inbox:
            if self._closed:
                raise StreamClosed("closed here", reason="local")
            self._gate.wait()
        return self._inbox.popleft()

    def offer(self, take: Take | None, /) -> None:
        """See Prompt."""
        self._take = take

    def prompt(self, to: Address, /) -> bool:
        """See Prompt: always."""
        return True

    def close(self) -> None:
        """See PacketConn."""
        self._closed = True
        self._take = None
        self._gate.open()
