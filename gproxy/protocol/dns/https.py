"""DNS over HTTPS, by HTTP/2 and HTTP/1.1: the client's first octets tell which."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from typing import Final

from gproxy.base.clock import wall
from gproxy.base.defaults import HANDSHAKE_TIMEOUT, HTTP_KEEP_ALIVE
from gproxy.base.errors import ProtocolError, StreamClosed, TooLarge, Unsupported
from gproxy.base.iface import Later, Stream
from gproxy.base.session import Session
from gproxy.layers.transport.http2 import MAX_MARK, decode_mark
from gproxy.net.body import read_body
from gproxy.net.buffered import Buffered
from gproxy.net.farewell import hear_out
from gproxy.net.link import Link, LinkStream
from gproxy.net.questions import WORKERS
from gproxy.protocol.dns.wire import KIND, Refusal, check_query, max_age, read_request
from gproxy.rt.deadline import deadline
from gproxy.wire.dns.message import MAX_MESSAGE
from gproxy.wire.http1 import MAX_HEAD, Fields, RequestHead, ResponseHead, check_host, decode_request
from gproxy.wire.http2.head import Request, Response
from gproxy.wire.http2.link import Http2

_ALLOW: Final = b"GET, POST"
_TOLD: Final = frozenset({"empty", "truncated", "timeout"})


class Https:
    """Serves the questions at one path."""

    def __init__(self, begin: Callable[[bytes, Session], bytes | Later], path: str) -> None:
        """`begin`: see Resolver."""
        self._begin = begin
        self._place = path.encode()

    def serve(self, stream: Stream, session: Session, *, allowed: bool) -> None:
        """Serve one client until it leaves; who is not `allowed` is told so. Raises ProtocolError and StreamClosed."""
        client = Buffered(stream)
        with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no HTTP request in time", reason="timeout")):
            is_link = client.decode(decode_mark, MAX_MARK)
        if is_link:
            _Link(self, client, session, allowed).run()
        else:
            self._serve_one_by_one(client, session, allowed)

    def answer(self, query: bytes, session: Session) -> bytes:
        """The answer to a query. Raises StreamClosed where a rule wants silence."""
        answer = self._begin(query, session)
        if not isinstance(answer, bytes):
            answer = answer()
        if not answer:
            raise StreamClosed("a question that gets no answer", reason="local")
        return answer

    def question(self, method: bytes, target: bytes, kinds: list[bytes], *, allowed: bool) -> bytes | None:
        """See `read_request`. Raises Refusal."""
        if not allowed:
            raise Refusal(403, "a client that is not allowed to ask")
        return read_request(method, target, kinds, self._place)

    # -- HTTP/1.1 -----------------------------------------------------------------------------------------------------

    def _serve_one_by_one(self, client: Buffered, session: Session, allowed: bool) -> None:
        patience = HANDSHAKE_TIMEOUT
        while True:
            try:
                with deadline(patience, ProtocolError("no HTTP request in time", reason="timeout")):
                    head = client.decode(decode_request, MAX_HEAD)
                    check_host(head)
                    body = read_body(client, head, MAX_MESSAGE)
            except ProtocolError as error:
                if patience != HANDSHAKE_TIMEOUT and error.reason in ("empty", "timeout"):
                    return  # nobody is left who wants an answer
                if error.reason not in _TOLD:
                    _tell(client, _refusal1(_status_of(error)))
                    hear_out(client)
                raise
            if not self._serve_one(client, head, body, session, allowed):
                hear_out(client)
                return
            patience = HTTP_KEEP_ALIVE

    def _serve_one(self, client: Stream, head: RequestHead, body: bytes, session: Session, allowed: bool) -> bool:
        """Answer a request; whether another one may follow. How long the answer takes is the resolver's matter."""
        keep = head.minor == 1 and b"close" not in head.fields.options(b"connection")
        try:
            kinds = head.fields.values(b"content-type")
            query = self.question(head.method, head.target, kinds, allowed=allowed)
            answer = self.answer(check_query(body) if query is None else query, session)
        except Refusal as why:
            _tell(client, _refusal1(why.http, keep=keep))
            return keep
        fields = Fields([])
        for name, value in _fields(answer):
            fields.add(name.title(), value)
        if not keep:
            fields.add(b"Connection", b"close")
        _tell(client, ResponseHead(1, 200, b"OK", fields).encode() + answer)
        return keep


def _tell(client: Stream, said: bytes) -> None:
    with deadline(HANDSHAKE_TIMEOUT, StreamClosed("the answer is not taken", reason="timeout")):
        client.sendall(said)


def _fields(answer: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", KIND),
        (b"content-length", b"%d" % len(answer)),
        (b"cache-control", b"max-age=%d" % max_age(answer)),
    ]


def _status_of(error: ProtocolError) -> int:
    if isinstance(error, TooLarge):
        return {"body": 413, "target": 414}.get(error.reason, 431)
    if isinstance(error, Unsupported):
        return 505 if error.reason == "version" else 501
    return 400


def _date() -> bytes:
    return formatdate(wall(), usegmt=True).encode()


def _refusal1(status: int, *, keep: bool = False) -> bytes:
    fields = Fields([])
    fields.add(b"Date", _date())
    if status == 405:
        fields.add(b"Allow", _ALLOW)
    fields.add(b"Content-Length", b"0")
    if not keep:
        fields.add(b"Connection", b"close")
    return ResponseHead(1, status, HTTPStatus(status).phrase.encode(), fields).encode()


class _Link:
    """One client's link by HTTP/2: each stream is a question."""

    def __init__(self, site: Https, stream: Stream, session: Session, allowed: bool) -> None:
        self._site = site
        self._session = session
        self._allowed = allowed
        self._open = 0
        core = Http2(client=False, idle_timeout=HTTP_KEEP_ALIVE, first_timeout=HANDSHAKE_TIMEOUT)
        self._link = Link(stream, core, partial(WORKERS.shield, self._serve))

    def run(self) -> None:
        self._session.carries = True  # a drain need not wait for it while there are no questions
        self._link.run()

    def _serve(self, stream: LinkStream, request: Request) -> None:
        self._open += 1
        self._session.carries = False
        try:
            self._answer(stream, request)
        finally:
            self._open -= 1
            self._session.carries = not self._open

    def _answer(self, stream: LinkStream, request: Request) -> None:
        kinds = [value for name, value in request.fields if name == b"content-type"]
        try:
            query = self._site.question(request.method, request.path, kinds, allowed=self._allowed)
            if query is None:
                query = check_query(_body_of_stream(stream))
        except Refusal as why:
            fields = [(b"date", _date()), (b"content-length", b"0")]
            if why.http == 405:
                fields.append((b"allow", _ALLOW))
            stream.answer(Response(why.http, fields))
            stream.close_write()
            return
        try:
            answer = self._site.answer(query, self._session)
        except StreamClosed:
            stream.abort()
            raise
        stream.answer(Response(200, _fields(answer)))
        stream.sendall(answer)
        stream.close_write()


def _body_of_stream(stream: LinkStream) -> bytes:
    body = b""
    with deadline(HANDSHAKE_TIMEOUT, StreamClosed("no whole request in time", reason="timeout")):
        while data := stream.recv():
            body += data
            if len(body) > MAX_MESSAGE:
                break
    return body
