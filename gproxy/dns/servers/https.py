"""`https`: a server that is asked by HTTP within TLS (RFC 8484), by HTTP/2 or HTTP/1.1, as it is agreed on.

    POST /dns-query                         GET /dns-query?dns=AAABAAABAAAAAAAAA3d3dwd…
    content-type: application/dns-message
    the message, with the id 0

By HTTP/2 all questions share a link, on which they are answered in any order. By HTTP/1.1 each has a connection for
itself until it is answered; connections are used again.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Iterator
from dataclasses import field
from functools import partial
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from gproxy.base.clock import now
from gproxy.base.errors import DialError, Overloaded, ProtocolError, StreamClosed, TooLarge
from gproxy.base.iface import Connect, Stream
from gproxy.base.session import Session
from gproxy.dns.iface import Ask, ServerWiring
from gproxy.dns.servers.asked import answers_alike, fail, is_truncated, own_session, question_of, settled
from gproxy.dns.servers.remote import RemoteTls
from gproxy.layers.tls.client import TlsStream
from gproxy.net.buffered import Buffered
from gproxy.net.link import Link, LinkStream
from gproxy.net.shared import SharedDial
from gproxy.rt.sockets import Gate, Timer
from gproxy.schema.headers import field_problems, hosts_in
from gproxy.schema.model import doc
from gproxy.schema.registry import Row
from gproxy.wire.dns.message import HEAD, MAX_MESSAGE
from gproxy.wire.dns.prepared import prepare
from gproxy.wire.http1.body import response_body
from gproxy.wire.http1.head import MAX_HEAD, ResponseHead, decode_response
from gproxy.wire.http2.head import Request, Response
from gproxy.wire.http2.link import Http2

CONTENT: Final = b"application/dns-message"

IDLE: Final = 30.0
"""Seconds after which a connection that nobody uses is closed."""

PATIENCE: Final = 2.0
"""Seconds of silence after which a link is asked (PING) whether it is still there, and in which it has to answer."""

MOST_LINKS: Final = 4
"""Links by HTTP/2. A server says itself how many questions it takes on one; further ones wait for room."""

MOST_PLAIN: Final = 16
"""Connections by HTTP/1.1; further questions wait for one."""

MOST_WAITING: Final = 8192
"""Questions under way; further ones fail."""

_SWEEP: Final = 1.0
_MOST_AGE: Final = 0x7FFFFFFF
_OWN: Final = frozenset({
    "content-type", "content-length", "transfer-encoding", "connection", "accept", "te", "upgrade", "keep-alive",
    "proxy-connection", "accept-encoding",
})  # fmt: skip


class HttpsOptions(RemoteTls):
    """A server that is asked by DNS over HTTPS."""

    usual_port: ClassVar[int] = 443
    protocols: ClassVar[tuple[str, ...]] = ("h2", "http/1.1")

    path: Annotated[str, doc("Path of the request.")] = "/dns-query"
    method: Annotated[Literal["POST", "GET"], doc("`GET` lets web caches answer, and shows them the question.")] = (
        "POST"
    )
    headers: Annotated[
        dict[str, tuple[str, ...]],
        doc("Further fields of the request. Without `Host` it asks for `tls.server_name`, or else for the server."),
    ] = field(default_factory=dict)

    def check(self) -> Iterator[tuple[str, str]]:
        """Nothing that would break the request apart, and nothing that the request says itself."""
        yield from super().check()
        if not self.path.isascii() or not self.path.isprintable() or not {" ", "#", "?"}.isdisjoint(self.path):
            yield "path", "expected a path without `?`, `#` and spaces"
        for problem in field_problems(self.headers, _OWN):
            yield "headers", problem
        if len(hosts_in(self.headers)) > 1:
            yield "headers", "expected one Host"

    def place(self) -> bytes:
        """The path, as it begins."""
        path = self.path or "/dns-query"
        return (path if path.startswith("/") else f"/{path}").encode()

    def authority(self) -> bytes:
        """Who is asked, as the request has it."""
        for host in hosts_in(self.headers):
            return host.encode()
        host = self.tls.server_name or self.server.strip("[]")
        text = f"[{host}]" if ":" in host else host
        return (text if self.server_port == self.usual_port else f"{text}:{self.server_port}").encode()


class _Link:
    """A link, since when it is there, and whether it has been good for anything."""

    __slots__ = ("born", "good", "link")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.born = now()
        self.good = False


class _Turn(NamedTuple):
    """A request that has begun."""

    link: _Link | None
    stream: LinkStream | None


_NO_TURN: Final = _Turn(None, None)


class HttpsServer:
    """See Server."""

    cacheable = True
    waits = True

    def __init__(self, options: HttpsOptions, wiring: ServerWiring) -> None:
        self._who = wiring.tag
        self._address = options.address
        self._reach = wiring.connect
        self._requests = Requests(options)
        self._links: list[_Link] = []
        self._plain = PlainPool(self._connect, self._requests)
        self._speaks_plain = False
        self._under_way = 0
        self._room: Gate | None = None  # of who waits until a link takes more
        self._shared = SharedDial()
        self._timer: Timer | None = None
        self._closed = False

    def exchange(self, ask: Ask, /) -> bytes:
        """See Server."""
        if self._under_way >= MOST_WAITING:
            fail(self._who, "too many questions are under way")
        question = question_of(ask)
        self._under_way += 1
        try:
            answer = self._by_link(ask) or self._plain.exchange(ask)
        except (DialError, StreamClosed, ProtocolError, Overloaded) as error:
            fail(self._who, error)
        finally:
            self._under_way -= 1
        if not answers_alike(answer, question):
            fail(self._who, "an answer to another question")
        if is_truncated(answer):
            fail(self._who, "an answer that is cut off")
        return settled(answer, question)

    def knows(self, name: str, /) -> bool:
        """See Server: it is one for all names."""
        return False

    def close(self) -> None:
        """See Server."""
        self._closed = True
        self._stop()
        links, self._links = self._links, []
        for each in links:
            each.link.close()
        if self._room is not None:
            self._room.open()
        self._plain.close()

    def _connect(self, session: Session) -> Stream:
        return self._reach(own_session(session, "tcp", self._address))

    def _by_link(self, ask: Ask) -> bytes:
        """Ask by HTTP/2; once more, on a fresh link, if one breaks that was good before. Nothing: it is not spoken."""
        since = -1.0
        while True:
            found: _Turn = self._shared.get(partial(self._on_a_link, since, ask), partial(self._dial, ask.session))
            link, stream = found
            if link is None or stream is None:
                return b""
            fresh = not link.good
            try:
                answer = self._requests.exchange(stream, ask)
                link.good = True
                return answer
            except StreamClosed:
                if fresh or since >= 0:
                    raise
                since = now()
            finally:
                stream.close()
                if self._room is not None:
                    self._room.open()

    def _on_a_link(self, since: float, ask: Ask) -> _Turn | None:
        """A request on a link that is there; an empty turn if links are not spoken."""
        for each in self._links:
            if each.born >= since:
                try:
                    return _Turn(each, each.link.open(self._requests.head(ask)))
                except (Overloaded, StreamClosed):
                    continue
        return _NO_TURN if self._speaks_plain else None

    def _dial(self, session: Session) -> _Turn | None:
        """A connection, which goes to those that it is one of, or room on one that is there. Raises DialError."""
        self._tidy()
        if len(self._links) >= MOST_LINKS:
            self._room = Gate()
            self._room.wait()
            return None
        stream = self._connect(session)
        if self._closed:
            stream.close()
            raise DialError("closed here", reason="failed")
        if self._timer is None:
            self._timer = Timer(_SWEEP, self._sweep, repeat=True)
        self._speaks_plain = not (isinstance(stream, TlsStream) and stream.alpn == "h2")
        if self._speaks_plain:
            self._plain.add(stream)
        else:
            core = Http2(client=True, idle_timeout=PATIENCE, ping_timeout=PATIENCE, always=False)
            link = Link(stream, core)
            link.start()
            self._links.append(_Link(link))
        return None

    def _sweep(self) -> None:
        """In the hub, while there are connections: close those that are idle."""
        self._tidy()
        for each in self._links:
            if not len(each.link) and now() - each.link.idle_since > IDLE:
                each.link.close()
        if not self._plain.sweep() and not self._links:
            self._stop()

    def _tidy(self) -> None:
        self._links = [each for each in self._links if not each.link.over]

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.stop()


class Requests:
    """How this server is asked, and what is made of its answers."""

    def __init__(self, options: HttpsOptions) -> None:
        self._path, self._authority = options.place(), options.authority()
        self._gets = options.method == "GET"
        lines = (
            [("accept", CONTENT.decode())]
            if self._gets
            else [(n, CONTENT.decode()) for n in ("accept", "content-type")]
        )
        for name, values in options.headers.items():
            if name.lower() != "host":
                lines += [(name.lower(), value) for value in values]
        self._lines = tuple((name.encode(), value.encode()) for name, value in lines)
        self._heads: dict[int, Request] = {}  # by the message's size, of which there are a few hundred
        self._fields = b"".join([b"%b: %b\r\n" % line for line in self._lines])

    def head(self, ask: Ask) -> Request:
        """The head of a request by HTTP/2."""
        if self._gets:
            return Request(b"GET", self._authority, self._place(ask), self._lines)
        size = len(ask.message)
        if size not in self._heads:
            length = (b"content-length", b"%d" % size)
            self._heads[size] = Request(b"POST", self._authority, self._path, (*self._lines, length))
        return self._heads[size]

    def plain(self, ask: Ask) -> bytes:
        """A whole request by HTTP/1.1."""
        rest = b"host: %b\r\n%b" % (self._authority, self._fields)
        if self._gets:
            return b"GET %b HTTP/1.1\r\n%b\r\n" % (self._place(ask), rest)
        head = b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n" % (self._path, rest, len(ask.message))
        return head + ask.message

    def _place(self, ask: Ask) -> bytes:
        return self._path + b"?dns=" + urlsafe_b64encode(ask.message).rstrip(b"=")

    @property
    def method(self) -> bytes:
        return b"GET" if self._gets else b"POST"

    def exchange(self, stream: LinkStream, ask: Ask) -> bytes:
        """Ask on a link, where the head has been sent. Raises StreamClosed and ProtocolError."""
        if not self._gets:
            stream.sendall(ask.message)
        stream.close_write()
        response: Response = stream.head()
        age = judged(response.status, dict(response.fields))
        body = stream.recv()
        while piece := stream.recv():
            body += piece
            if len(body) > MAX_MESSAGE:
                break
        return aged(sized(body), age)


def judged(status: int, fields: dict[bytes, bytes]) -> int:
    """How old an answer is, in seconds, if it has such a head. Raises ProtocolError for others."""
    if status != 200:
        raise ProtocolError(f"HTTP status {status}")
    content = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if content != CONTENT:
        raise ProtocolError(f"an answer of the type {content[:40].decode('ascii', 'replace')!r}")
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise ProtocolError("an answer that is compressed")
    age = fields.get(b"age", b"")
    return min(int(age), _MOST_AGE) if age.isdigit() and len(age) < 20 else 0


def sized(body: bytes) -> bytes:
    """A message that is neither too short nor too long. Raises ProtocolError."""
    if len(body) < HEAD:
        raise ProtocolError("an answer that is cut off")
    if len(body) > MAX_MESSAGE:
        raise TooLarge("an answer that is too long")
    return body


def aged(answer: bytes, age: int) -> bytes:
    """An answer that a web cache has had for so many seconds (RFC 8484 section 5.1). Raises ProtocolError."""
    if not age:
        return answer
    prepared = prepare(answer)
    flags = int.from_bytes(answer[2:4], "big")
    return prepared.answer(0, prepared.question, flags, max(prepared.ttl - age, 0))


class _PlainConnection:
    """A connection by HTTP/1.1, on which one request at a time is made."""

    __slots__ = ("good", "since", "stream")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.since = now()  # when it was used last
        self.good = False  # whether it has been of use


class PlainPool:
    """Connections by HTTP/1.1."""

    def __init__(self, connect: Connect, requests: Requests) -> None:
        self._connect = connect
        self._requests = requests
        self._idle: list[_PlainConnection] = []
        self._busy: dict[_PlainConnection, None] = {}
        self._dialling = 0
        self._queue: deque[Gate] = deque()
        self._closed = False

    def add(self, stream: Stream) -> None:
        """Take a connection over."""
        self._idle.append(_PlainConnection(stream))

    def exchange(self, ask: Ask) -> bytes:
        """Ask; once more, on a fresh connection, if one breaks that was good before.

        Raises DialError, StreamClosed and ProtocolError.
        """
        connection = self._take(ask.session)
        try:
            return self._ask(connection, ask)
        except StreamClosed:
            if not connection.good:
                raise
        return self._ask(self._take(ask.session, fresh=True), ask)

    def _take(self, session: Session, *, fresh: bool = False) -> _PlainConnection:
        """A connection for one request, waiting for one to become free if there are many."""
        while len(self._busy) + self._dialling >= MOST_PLAIN:
            gate = Gate()
            self._queue.append(gate)
            try:
                gate.wait()
            except BaseException:
                if gate in self._queue:
                    self._queue.remove(gate)
                else:
                    self._next()
                raise
        if self._idle and not fresh:
            connection = self._idle.pop()
        else:
            self._dialling += 1
            try:
                connection = _PlainConnection(self._connect(session))
            except BaseException:
                self._next()
                raise
            finally:
                self._dialling -= 1
        if self._closed:
            connection.stream.close()
            raise StreamClosed("closed here", reason="local")
        self._busy[connection] = None
        return connection

    def _ask(self, connection: _PlainConnection, ask: Ask) -> bytes:
        lasts = False
        try:
            connection.stream.sendall(self._requests.plain(ask))
            answer, lasts = self._hear(connection.stream)
            connection.good = True
            return answer
        finally:
            del self._busy[connection]
            if lasts and not self._closed:
                connection.since = now()
                self._idle.append(connection)
            else:
                connection.stream.close()
            self._next()

    def _next(self) -> None:
        if self._queue:
            self._queue.popleft().open()

    def _hear(self, stream: Stream) -> tuple[bytes, bool]:
        """The answer, and whether the connection can be used again."""
        client = Buffered(stream)
        try:
            head = client.decode(decode_response, MAX_HEAD)
            while head.status < 200:
                head = client.decode(decode_response, MAX_HEAD)
        except ProtocolError as error:
            if error.reason == "empty":  # the server has closed what nobody used, just as we did use it
                raise StreamClosed("the server has closed the connection") from error
            raise
        age = judged(head.status, {name: value for name, _, value in head.fields})
        framing = response_body(head, self._requests.method, bare=True)
        body = b""
        rest = b""
        while not framing.complete and len(body) <= MAX_MESSAGE:
            data = client.recv()
            if not data:
                if not framing.whole_at_end():
                    raise StreamClosed("the server has closed the connection amid an answer", reason="truncated")
                break
            piece, rest = framing.feed(data)
            body += piece
        return aged(sized(body), age), framing.complete and not rest and _lasts(head)

    def sweep(self) -> bool:
        """Close what is idle for too long; whether there are any connections left."""
        kept = []
        for each in self._idle:
            if now() - each.since > IDLE:
                each.stream.close()
            else:
                kept.append(each)
        self._idle = kept
        return bool(kept or self._busy or self._dialling)

    def close(self) -> None:
        """Give up all connections. Idempotent."""
        self._closed = True
        connections, self._idle = [*self._idle, *self._busy], []
        for each in connections:
            each.stream.close()


def _lasts(head: ResponseHead) -> bool:
    """Whether another request may follow on the connection (RFC 9112 section 9.3)."""
    options = head.fields.options(b"connection")
    return b"close" not in options and (head.minor >= 1 or b"keep-alive" in options)


SERVER = Row(HttpsOptions, HttpsServer)
