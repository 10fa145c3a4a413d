"""The V2Ray transport `grpc`: a stream as the messages of a gRPC call (gproxy.wire.grpc has the format).

The call is `Tun`. Xray knows `TunMulti` besides, whose messages carry several payloads; that is answered as any gRPC
server answers a call that it does not have.
"""

from __future__ import annotations

from typing import Final

from gproxy.base.errors import CloseReason, ProtocolError, StreamClosed, Unsupported
from gproxy.base.iface import Branch, Buffer, Stream
from gproxy.layers.transport.http2 import Answered, Http2Client, Http2Server, Site
from gproxy.layers.transport.upgrade import NotHere, UpgradeServer
from gproxy.net.around import Around
from gproxy.net.buffered import Buffered
from gproxy.net.link import LinkStream
from gproxy.wire.grpc import Unwrapper, is_path, multi_path, tun_path, wrap
from gproxy.wire.http1.head import RequestHead
from gproxy.wire.http2.head import Request, Response

_TYPE: Final = b"application/grpc"

# As sing-box and so many others name themselves; some web servers look at it.
_ASKING: Final = ((b"content-type", _TYPE), (b"user-agent", b"grpc-go/1.48.0"), (b"te", b"trailers"))
_AGREED: Final = Response(200, [(b"content-type", _TYPE)], [(b"grpc-status", b"0")])
_UNKNOWN: Final = Response(
    200, [(b"content-type", _TYPE)], [(b"grpc-status", b"12"), (b"grpc-message", b"unknown method")]
)


class Call(Around):
    """The stream within the messages of a call. Messages that can't be right end it as `corrupt`."""

    __slots__ = ("_broken", "_messages")

    def __init__(self, inner: Stream) -> None:
        super().__init__(inner)
        self._messages = Unwrapper()
        self._broken: tuple[str, CloseReason] | None = None

    def recv(self) -> bytes:
        """See Stream."""
        while self._broken is None:
            data = self._inner.recv()
            if not data:
                if not self._messages.inside:
                    return b""
                self._broken = "the stream ended inside a message", "truncated"
            elif payload := self._unwrap(data):
                return payload
        raise StreamClosed(self._broken[0], reason=self._broken[1])

    def _unwrap(self, data: bytes) -> bytes:
        try:
            return self._messages.feed(data)
        except ProtocolError as error:
            self._broken = f"the stream is corrupt: {error}", "corrupt"
            return b""

    def sendall(self, data: Buffer, /) -> None:
        """See Stream."""
        self._inner.sendall(wrap(data) if len(data) else b"")

    def take(self) -> bytes:
        """See Stream."""
        data = b"" if self._broken is not None else self._inner.take()
        return self._unwrap(data) if data else b""


class GrpcServer(Site):
    """Takes calls of a service (see ServerLayer)."""

    def __init__(self, service: str, branch: Branch, idle_timeout: float = 0) -> None:
        """`idle_timeout`: see Http2Server."""
        super().__init__(_NothingHere("", "/", {}), _Calls(service, branch, idle_timeout))


class _NothingHere(UpgradeServer):
    """What requests by HTTP/1.1 find."""

    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        raise NotHere("an HTTP/1.1 request to a gRPC service", reason="version")


class _Calls(Http2Server):
    def __init__(self, service: str, branch: Branch, idle_timeout: float) -> None:
        super().__init__(branch, idle_timeout)
        self._path = tun_path(service)
        # sing-box puts the same around a service that begins with `/`.
        self._other = b"/%b/Tun" % service.encode()
        self._multi = multi_path(service)

    def _open(self, stream: LinkStream, request: Request) -> Stream:
        named = dict(request.fields).get(b"content-type", b"").startswith(_TYPE)
        if request.method != b"POST" or not named:
            raise NotHere("an HTTP request that is no gRPC call", reason="method")
        if is_path(request.path, self._multi):
            raise Unsupported("a call of TunMulti", reason="multi")
        if not is_path(request.path, self._path) and not is_path(request.path, self._other):
            raise NotHere("a call of another service", reason="path")
        stream.answer(_AGREED)
        return Call(stream)

    def _refusal(self, error: ProtocolError) -> Response:
        return _UNKNOWN if isinstance(error, Unsupported) else super()._refusal(error)


class GrpcClient(Http2Client):
    """Calls a service (see ClientLayer)."""

    def __init__(
        self,
        host: str,
        service: str,
        *,
        scheme: str,
        idle_timeout: float = 0,
        ping_timeout: float = 0,
        permit_without_stream: bool = False,
    ) -> None:
        """`host` is asked for; `scheme`: https over TLS, else http. The rest: see Http2Client."""
        super().__init__(idle_timeout=idle_timeout, ping_timeout=ping_timeout, always=permit_without_stream)
        self._asked = Request(b"POST", host.encode(), tun_path(service), _ASKING, scheme.encode())

    def _request(self) -> Request:
        return self._asked

    def _around(self, stream: LinkStream) -> Stream:
        return Call(Answered(stream))
