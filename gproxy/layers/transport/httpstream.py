"""The V2Ray transport `http`: the bodies of a request and its answer are the stream.

Over TLS that is HTTP/2, with many streams on a link. Without, it is an HTTP/1.1 request and an answer, neither of which
says how long it is, and bytes as they are behind both; a server takes HTTP/2 there, too, from whoever knows that.
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from itertools import cycle
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

from gproxy.base.clock import wall
from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed
from gproxy.base.iface import Branch, Connect, Record, Stream
from gproxy.base.session import Session
from gproxy.layers.transport.http2 import Answered, Http2Client, Http2Server, Site, lines_of
from gproxy.layers.transport.upgrade import Headers, NotHere, UpgradeServer, split_host, target_of, without_port
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.headed import Headed
from gproxy.net.link import LinkStream
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_response
from gproxy.wire.http2.head import Request, Response

METHOD: Final = "PUT"
"""What clients ask with, if nothing else is said."""


class _Place:
    """What a server looks for in a request: hosts, the beginning of a path, a method; empty ones are any."""

    def __init__(self, hosts: Sequence[str], path: str, method: str) -> None:
        self._hosts = frozenset(without_port(host.encode()) for host in hosts)
        self._path = unquote_to_bytes(path)
        self._method = method.encode()

    def check(self, method: bytes, host: bytes, target: bytes) -> None:
        """Raises NotHere."""
        if self._hosts and without_port(host) not in self._hosts:
            raise NotHere("an HTTP request for another host", reason="host")
        if not unquote_to_bytes(target.partition(b"?")[0]).startswith(self._path):
            raise NotHere("an HTTP request for another path", reason="path")
        if self._method and method != self._method:
            raise NotHere("an HTTP request of another method", reason="method")


class StreamServer(Site):
    """Takes streams at a place (see ServerLayer)."""

    def __init__(
        self, hosts: Sequence[str], path: str, method: str, headers: Headers, branch: Branch, idle_timeout: float = 0
    ) -> None:
        """`headers`: further ones of the answer. `idle_timeout`: see Http2Server."""
        named, fields = split_host(headers)
        place = _Place(hosts or ([named] if named else []), path, method)
        super().__init__(_Http1Server(place, fields), _Requests(place, fields, branch, idle_timeout))


class _Http1Server(UpgradeServer):
    """The part that is HTTP/1.1."""

    def __init__(self, place: _Place, fields: Fields) -> None:
        super().__init__("", "/", {})
        self._place = place
        self._fields = fields

    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        self._place.check(head.method, b"".join(head.fields.values(b"host")), head.target)
        fields = Fields([])
        fields.add(b"Cache-Control", b"no-store")
        fields.add(b"Date", formatdate(wall(), usegmt=True).encode())
        client.sendall(ResponseHead(1, 200, b"OK", Fields([*fields.lines, *self._fields.lines])).encode())
        return client


class _Requests(Http2Server):
    """The part that is HTTP/2."""

    def __init__(self, place: _Place, fields: Fields, branch: Branch, idle_timeout: float) -> None:
        super().__init__(branch, idle_timeout)
        self._place = place
        self._lines = [(b"cache-control", b"no-store"), *lines_of(fields)]

    def _open(self, stream: LinkStream, request: Request) -> Stream:
        self._place.check(request.method, request.authority, request.path)
        stream.answer(Response(200, [*self._lines, (b"date", formatdate(wall(), usegmt=True).encode())]))
        return stream


class StreamClient(Http2Client):
    """Asks over HTTP/2 (see ClientLayer)."""

    def __init__(
        self,
        hosts: Sequence[str],
        path: str,
        method: str,
        headers: Headers,
        *,
        idle_timeout: float = 0,
        ping_timeout: float = 0,
    ) -> None:
        """`hosts`: one of these is asked for, each time another one. The rest: see StreamServer and Http2Client."""
        super().__init__(idle_timeout=idle_timeout, ping_timeout=ping_timeout)
        self._hosts, fields = _hosts_and_fields(hosts, headers)
        self._method = (method or METHOD).encode()
        self._path = target_of(path)
        self._lines = lines_of(fields)

    def _request(self) -> Request:
        return Request(self._method, next(self._hosts), self._path, self._lines)

    def _around(self, stream: LinkStream) -> Stream:
        return Answered(stream)


class Http1Client:
    """Asks over HTTP/1.1, together with the first payload, and hears the answer when there is one to be read."""

    def __init__(self, hosts: Sequence[str], path: str, method: str, headers: Headers) -> None:
        """See StreamClient."""
        self._hosts, self._fields = _hosts_and_fields(hosts, headers)
        self._method = (method or METHOD).encode()
        self._target = target_of(path)

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            fields = Fields([(b"host", b"Host", next(self._hosts)), *self._fields.lines])
            return _Asking(Headed(via(session), RequestHead(self._method, self._target, 1, fields).encode()))

        return connect


class _Asking(Around):
    """A stream that begins with the head of an answer."""

    __slots__ = ("_ahead", "_failed", "_heard")

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self._ahead = b""
        self._heard = False
        self._failed: tuple[str, CloseReason] | None = None

    def recv(self) -> bytes:
        """See Stream."""
        if not self._heard:
            self._hear()
        if self._ahead:
            return self.take()
        return self._inner.recv()

    def _hear(self) -> None:
        if self._failed is not None:
            raise StreamClosed(self._failed[0], reason=self._failed[1])
        server = Buffered(self._inner)
        try:
            head = server.decode(decode_response, MAX_HEAD)
        except ProtocolError as error:
            cut = error.reason in ("empty", "truncated")
            self._fail(f"no answer of an HTTP server: {error}", "truncated" if cut else "corrupt")
        if head.status != 200:
            self._fail(f"the server does not agree: status {head.status}", "reset")
        self._ahead = server.take()
        self._heard = True

    def _fail(self, message: str, reason: CloseReason) -> NoReturn:
        self._failed = message, reason
        raise StreamClosed(message, reason=reason)

    def take(self) -> bytes:
        """See Stream."""
        ahead, self._ahead = self._ahead, b""
        return ahead + self._inner.take() if self._heard else b""

    def bare(self) -> int | None:
        """See Stream: once the answer is heard."""
        return self._inner.bare() if self._heard and not self._ahead else None

    def record(self) -> Record | None:
        """See Stream: once the answer is heard."""
        return self._inner.record() if self._heard and not self._ahead else None


def _hosts_and_fields(hosts: Sequence[str], headers: Headers) -> tuple[cycle[bytes], Fields]:
    named, fields = split_host(headers)
    return cycle([host.encode() for host in ([named] if named else hosts)]), fields
