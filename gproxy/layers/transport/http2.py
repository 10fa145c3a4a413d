"""What transports over HTTP/2 have in common: requests at a place of a web server, whose bodies both ways are a stream.

A client has one link for all of its streams, and another one when the server takes no more on that. Streams may be used
before the server has agreed to them; that it did not is heard by whoever reads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import Final

from gproxy.base.clock import wall
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import Overloaded, ProtocolError, StreamClosed
from gproxy.base.iface import Accept, Branch, Connect, Stream
from gproxy.base.session import Session
from gproxy.layers.transport.upgrade import NotHere, UpgradeServer
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.link import Link, LinkStream
from gproxy.net.shared import SharedDial
from gproxy.rt.deadline import deadline
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.http1.head import Fields
from gproxy.wire.http2.frame import PREFACE
from gproxy.wire.http2.head import Lines, Request, Response
from gproxy.wire.http2.link import CLIENT_WINDOWS, Http2

PING_TIMEOUT: Final = 15.0
"""Seconds in which a PING is to be answered, if nothing else is said: as in sing-box."""

MAX_MARK: Final = 3
"""How many octets tell HTTP/2 from HTTP/1.1: no method of that begins so."""


def decode_mark(cursor: Cursor) -> bool:
    """Whether HTTP/2 begins here. Nothing of it is used up."""
    begin = bytes(cursor.data[cursor.at : cursor.at + MAX_MARK])
    if not PREFACE.startswith(begin):
        return False
    if len(begin) < MAX_MARK:
        raise Incomplete
    return True


def lines_of(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Fields as HTTP/2 has them."""
    return [(name, value) for name, _, value in fields]


class Http2Server(ABC):
    """Serves links, of which each request becomes a session of its own."""

    def __init__(self, branch: Branch, idle_timeout: float = 0) -> None:
        """`idle_timeout`: seconds after which a link without requests is given up; 0: never."""
        self._branch = branch
        self._idle_timeout = idle_timeout

    def serve(self, stream: Stream, session: Session, then: Accept) -> None:
        """Serve one link until it is over. Raises ProtocolError and StreamClosed, unless that was in order."""
        session.carries = True
        core = Http2(client=False, idle_timeout=self._idle_timeout, first_timeout=HANDSHAKE_TIMEOUT)
        Link(stream, core, partial(self._one, session, then)).run()

    def _one(self, session: Session, then: Accept, stream: LinkStream, request: Request) -> None:
        self._branch(partial(self._accept, then, stream, request), stream, session)

    def _accept(self, then: Accept, stream: LinkStream, request: Request, _: Stream, session: Session) -> None:
        try:
            opened = self._open(stream, request)
        except ProtocolError as error:
            stream.answer(self._refusal(error))
            stream.close_write()
            raise
        then(opened, session)

    @abstractmethod
    def _open(self, stream: LinkStream, request: Request) -> Stream:
        """Agree to a request, or raise ProtocolError: the stream within."""

    def _refusal(self, error: ProtocolError) -> Response:
        """What is said to a request that is not agreed to."""
        status = 404 if isinstance(error, NotHere) else 400
        return Response(status, [(b"date", formatdate(wall(), usegmt=True).encode()), (b"content-length", b"0")])


class Site:
    """A server layer for both: links, and requests by HTTP/1.1."""

    def __init__(self, plain: UpgradeServer, links: Http2Server) -> None:
        self._plain = plain
        self._links = links

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer. Raises ProtocolError for whoever asks for something else, after telling him."""
        plain, links = self._plain.accepting(then), self._links

        def accept(stream: Stream, session: Session) -> None:
            client = Buffered(stream)
            with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no HTTP request in time", reason="timeout")):
                is_link = client.decode(decode_mark, MAX_MARK)
            if is_link:
                links.serve(client, session, then)
            else:
                plain(client, session)

        return accept


class Http2Client(ABC):
    """Opens streams on links to one server."""

    def __init__(self, *, idle_timeout: float = 0, ping_timeout: float = 0, always: bool = True) -> None:
        """The link's keep-alive: see Http2. 0 is the usual one for `ping_timeout`."""
        self._keep_alive = (idle_timeout, ping_timeout or PING_TIMEOUT, always)
        self._links: list[Link] = []
        self._shared = SharedDial()

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            return self._around(self._stream(via, session))

        return connect

    def close(self) -> None:
        """Give up all links."""
        links, self._links = self._links, []
        for link in links:
            link.close()

    def _stream(self, via: Connect, session: Session) -> LinkStream:
        """Of a link that is there, or a new one."""
        return self._shared.get(self._on_a_link, partial(self._dial, via, session))

    def _on_a_link(self) -> LinkStream | None:
        if any(not link.open_for_more for link in self._links):
            self._links = [link for link in self._links if link.open_for_more]
        for link in self._links:
            try:
                return link.open(self._request())
            except (Overloaded, StreamClosed):
                continue
        return None

    def _dial(self, via: Connect, session: Session) -> None:
        stream = via(replace(session))  # the link outlives the session
        idle, patience, always = self._keep_alive
        core = Http2(client=True, idle_timeout=idle, ping_timeout=patience, always=always)
        link = Link(stream, core, inbox=CLIENT_WINDOWS[0])
        link.start()
        self._links.append(link)

    @abstractmethod
    def _request(self) -> Request:
        """What is asked for."""

    @abstractmethod
    def _around(self, stream: LinkStream) -> Stream:
        """The stream within a request's."""


class Answered(Around):
    """A stream that is read only if the server has agreed to it."""

    __slots__ = ("_heard", "_stream")

    def __init__(self, stream: LinkStream) -> None:
        super().__init__(stream)
        self._stream = stream
        self._heard = False

    def recv(self) -> bytes:
        """See Stream."""
        if not self._heard:
            self._hear()
        return self._stream.recv()

    def _hear(self) -> None:
        head: Response = self._stream.head()
        refused = _refused(head)
        if refused:
            self._stream.abort()
            raise StreamClosed(f"the server does not agree: {refused}", reason="reset")
        self._heard = True

    def take(self) -> bytes:
        """See Stream."""
        return self._stream.take() if self._heard else b""


def _refused(head: Response) -> str:
    """Why a server does not agree; nothing if it does. gRPC servers may say it in a field."""
    if head.status != 200:
        return f"status {head.status}"
    said = _value(head.fields, b"grpc-status")
    return "" if said in (b"", b"0") else f"gRPC status {said.decode('ascii', 'replace')[:9]}"


def _value(fields: Lines, key: bytes) -> bytes:
    return next((value for name, value in fields if name == key), b"")
