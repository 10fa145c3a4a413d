"""simple-obfs, both halves: what SIP003 calls `obfs-local` and `obfs-server` (gproxy.wire.simpleobfs has the formats).

It hides nothing from a reader who looks twice, and proves nothing to anybody: that is for what it is put around. Each
head leaves together with the first payload, since the peers look for both in one piece.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from email.utils import formatdate
from typing import Final

from gproxy.base.clock import now, wall
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed
from gproxy.base.iface import Accept, Buffer, Connect, Record, Stream
from gproxy.base.session import Session
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from gproxy.net.unwelcome import swallow
from gproxy.rt.deadline import deadline
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1.head import MAX_HEAD
from gproxy.wire.simpleobfs import (
    DATA,
    GREETING,
    HANDSHAKE,
    HELLO_ROOM,
    MAX_CLIENT_HELLO,
    MOST,
    RECORD_HEAD,
    Disguise,
    decode_client_hello,
    decode_greeting,
    decode_switch,
    decode_upgrade,
    encode_client_hello,
    encode_greeting,
    encode_switch,
    encode_upgrade,
    record_head,
    record_size,
)

# obfs-server wants the whole hello in one read, of 2 KiB at most; so it stays within one segment.
_HELLO: Final = 1400

_HTTP_PORT: Final = 80


class _Server(ABC):
    """A server layer. Who does not begin as a client of obfs does learns nothing (gproxy.net.unwelcome)."""

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer."""

        def accept(stream: Stream, session: Session) -> None:
            until = now() + HANDSHAKE_TIMEOUT
            client = Buffered(stream)
            try:
                with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no obfs request in time", reason="timeout")):
                    opened = self._open(client)
            except (ProtocolError, StreamClosed) as why:
                swallow(client, until, session, why)
                raise
            then(opened, session)

        return accept

    @abstractmethod
    def _open(self, client: Buffered) -> Stream:
        """Read what the client begins with; what it carries is the stream. Raises ProtocolError and StreamClosed."""


def _below(ceiling: int) -> int:
    return os.urandom(1)[0] % ceiling


# -- HTTP -------------------------------------------------------------------------------------------------------------


class HttpClient:
    """Seems to ask `host` for a WebSocket: a client layer."""

    def __init__(self, host: str, port: int, target: str = "/", method: str = "GET") -> None:
        """`port` is the real server's: a browser would name it, too."""
        name = host if port == _HTTP_PORT else f"{host}:{port}"
        agent = f"curl/7.{_below(51)}.{_below(2)}"  # one for all requests, as a machine has
        self._disguise = Disguise(name.encode(), agent.encode(), method.encode(), target.encode())

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            return _HttpClientStream(via(session), self._disguise)

        return connect


class HttpServer(_Server):
    """Seems to agree to a WebSocket: a server layer."""

    def __init__(self, host: str = "", method: str = "", *, at_once: bool = False) -> None:
        """`host`, `method`: the only ones that are taken, if given. `at_once`: answer before there is a payload."""
        self._host = host.lower().encode()
        self._method = method.encode()
        self._at_once = at_once
        self._name = f"nginx/1.{_below(11)}.{_below(12)}".encode()

    def _open(self, client: Buffered) -> Stream:
        head = client.decode(decode_upgrade, MAX_HEAD)
        hosts = head.fields.values(b"host")
        if self._host and [_without_port(host) for host in hosts] != [self._host]:
            raise ProtocolError("an HTTP request for another host")
        if self._method and head.method != self._method:
            raise ProtocolError("an HTTP request of another method")
        key = b"".join(head.fields.values(b"sec-websocket-key"))
        answer = encode_switch(self._name, formatdate(wall(), usegmt=True).encode(), key)
        if self._at_once:
            client.sendall(answer)
            return client
        return _HttpServerStream(client, answer)


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.lower().rpartition(b":")
    return name if colon and port.isdigit() else host.lower()


class _HttpServerStream(Around):
    """A stream whose answer's head leaves before the first payload."""

    __slots__ = ("_head",)

    def __init__(self, inner: Stream, head: bytes) -> None:
        super().__init__(inner)
        self._head = head

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if self._head and len(data):
            head, self._head = self._head, b""
            data = b"".join((head, data))
        self._inner.sendall(data)

    def bare(self) -> int | None:
        """See Stream: once the head is said."""
        return None if self._head else self._inner.bare()

    def record(self) -> Record | None:
        """See Stream: once the head is said."""
        return None if self._head else self._inner.record()

    def held(self) -> bool:
        """See Stream: nobody waits for the head."""
        return False


class _HttpClientStream(Around):
    """A stream that asks before the first payload, and hears the answer's head before what is answered."""

    __slots__ = ("_answered", "_asked", "_disguise")

    _inner: Buffered

    def __init__(self, inner: Stream, disguise: Disguise) -> None:
        super().__init__(Buffered(inner))
        self._disguise = disguise
        self._asked = False
        self._answered = False

    def recv(self) -> bytes:
        """See Stream."""
        if not self._answered:
            if not self._asked:
                self.sendall(b"")
            if not self._heard():
                return b""
        return self._inner.recv()

    def _heard(self) -> bool:
        """Hear the answer's head; False if the server has ended instead. Raises StreamClosed for another answer."""
        try:
            self._inner.decode(decode_switch, MAX_HEAD)
        except ProtocolError as error:
            if error.reason == "empty":
                return False
            reason: CloseReason = "truncated" if error.reason == "truncated" else "corrupt"
            raise StreamClosed(f"obfs: {error}", reason=reason) from error
        self._answered = True
        return True

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        if not self._asked:
            self._asked = True
            data = b"".join((encode_upgrade(self._disguise, os.urandom(16), len(data)), data))
        self._inner.sendall(data)

    def close_write(self) -> None:
        """See Stream. The question goes first."""
        if not self._asked:
            with contextlib.suppress(StreamClosed):  # nobody is left to hear it
                self.sendall(b"")
        self._inner.close_write()

    def take(self) -> bytes:
        """See Stream."""
        return self._inner.take() if self._answered else b""

    def bare(self) -> int | None:
        """See Stream: once both heads are said."""
        return self._inner.bare() if self._answered else None

    def record(self) -> Record | None:
        """See Stream: once both heads are said."""
        return self._inner.record() if self._answered else None

    def held(self) -> bool:
        """See Stream."""
        return not self._asked


# -- TLS --------------------------------------------------------------------------------------------------------------


class TlsClient:
    """Seems to resume a session with `host`: a client layer."""

    def __init__(self, host: str) -> None:
        self._host = host.encode()

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            return Framed(via(session), AnswerOpener(), RequestSealer(self._host), held=True)

        return connect


class TlsServer(_Server):
    """Seems to agree to a session's resumption: a server layer."""

    def __init__(self, host: str = "") -> None:
        """`host`: the only name that is taken, if given."""
        self._host = host.lower().encode()

    def _open(self, client: Buffered) -> Stream:
        hello = client.decode(decode_client_hello, MAX_CLIENT_HELLO)
        if self._host and hello.name.lower() != self._host:
            raise ProtocolError("a TLS hello for another host")
        ahead = client.take()
        if hello.ticket:  # opened like all others: it is the first of the records
            ahead = b"".join((record_head(DATA, len(hello.ticket)), hello.ticket, ahead))
        return Framed(client, RecordOpener(), AnswerSealer(hello.session), ahead)


class RecordSealer(ABC):
    """Payload as records, after a hello with the first of it (see Sealer)."""

    __slots__ = ("_greeted",)

    def __init__(self) -> None:
        self._greeted = False

    def room(self, size: int, /) -> int:
        """See Sealer."""
        return size + RECORD_HEAD * (size // MOST + 1) + (0 if self._greeted else HELLO_ROOM)

    def seal_into(self, source: Buffer, target: memoryview, /) -> int:
        """See Sealer."""
        with memoryview(source) as payload:
            used, made = (0, 0) if self._greeted else self._greet(payload, target)
            for start in range(used, len(payload), MOST):
                made = _seal_record(DATA, payload[start : start + MOST], target, made)
            return made

    @abstractmethod
    def _greet(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        """Say hello with the beginning of the source; how much of it that used up, and how many bytes it made."""


class RequestSealer(RecordSealer):
    """A client's: the beginning of the first payload is the ticket of its hello, which is said for nothing, too."""

    __slots__ = ("_name",)

    def __init__(self, name: bytes) -> None:
        super().__init__()
        self._name = name

    def _greet(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        ticket = bytes(source[: _HELLO - HELLO_ROOM])
        hello = encode_client_hello(self._name, _random(), os.urandom(32), ticket)
        target[: len(hello)] = hello
        self._greeted = True
        return len(ticket), len(hello)


class AnswerSealer(RecordSealer):
    """A server's: the first record is that of an encrypted handshake message. Nothing is said for nothing."""

    __slots__ = ("_session",)

    def __init__(self, session: bytes) -> None:
        super().__init__()
        self._session = session

    def _greet(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        if not source:
            return 0, 0
        first = source[:MOST]
        target[:GREETING] = encode_greeting(_random(), self._session)
        self._greeted = True
        return len(first), _seal_record(HANDSHAKE, first, target, GREETING)


def _random() -> bytes:
    """As TLS 1.2 has it: the time, and 28 octets."""
    return (int(wall()) & 0xFFFFFFFF).to_bytes(4, "big") + os.urandom(28)


def _seal_record(kind: int, payload: memoryview, target: memoryview, at: int) -> int:
    """Write a record to `target` at a place; the place behind it."""
    body = at + RECORD_HEAD
    end = body + len(payload)
    target[at:body] = record_head(kind, len(payload))
    target[body:end] = payload
    return end


class RecordOpener:
    """Records as payload (see Opener)."""

    __slots__ = ("_kind",)

    def __init__(self) -> None:
        self._kind = DATA

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        used, made, have, room = 0, 0, len(source), len(target)
        while have - used >= RECORD_HEAD:
            size = record_size(source, used, self._kind)
            end, filled = used + RECORD_HEAD + size, made + size
            if end > have or filled > room:
                break
            target[made:filled] = source[used + RECORD_HEAD : end]
            used, made, self._kind = end, filled, DATA
        return used, made


class AnswerOpener(RecordOpener):
    """A client's: a hello comes first, and then a record of another kind."""

    __slots__ = ("_greeted",)

    def __init__(self) -> None:
        super().__init__()
        self._greeted = False

    def open_into(self, source: memoryview, target: memoryview, /) -> tuple[int, int]:
        """See Opener."""
        if self._greeted:
            return super().open_into(source, target)
        try:
            decode_greeting(Cursor(bytes(source[:GREETING])))
        except Incomplete:
            return 0, 0
        self._greeted = True
        self._kind = HANDSHAKE
        used, made = super().open_into(source[GREETING:], target)
        return GREETING + used, made
