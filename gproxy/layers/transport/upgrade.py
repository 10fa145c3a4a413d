"""What transports that begin with an HTTP/1.1 request have in common: a place of a web server.

Whoever asks for another place, or for no upgrade, gets an answer as of a web server that has nothing there.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from gproxy.base.clock import wall
from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from gproxy.base.errors import DialError, ProtocolError, StreamClosed, TooLarge, Unsupported
from gproxy.base.iface import Accept, Connect, Stream
from gproxy.base.session import Session
from gproxy.net.buffered import Buffered
from gproxy.net.farewell import hear_out
from gproxy.rt.deadline import deadline
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_request, decode_response
from gproxy.wire.http1.target import check_host

Headers = Mapping[str, Sequence[str]]

_REASONS: Final = {
    400: b"Bad Request", 404: b"Not Found", 426: b"Upgrade Required", 431: b"Request Header Fields Too Large",
    505: b"HTTP Version Not Supported",
}  # fmt: skip
_LEFT_AS_IT_IS: Final = "/%:@!$&'()*+,;=-._~"


class NotHere(ProtocolError):
    """A request for something that is not at this place."""


def split_host(headers: Headers) -> tuple[str, Fields]:
    """The Host among some headers, empty if there is none, and the others."""
    host, fields = "", Fields([])
    for name, values in headers.items():
        for value in values:
            if name.lower() == "host":
                host = value
            else:
                fields.add(name.encode(), value.encode())
    return host, fields


def target_of(path: str) -> bytes:
    """A path as a request names it: what it can't have is encoded."""
    return quote(path, safe=_LEFT_AS_IT_IS).encode()


class UpgradeServer(ABC):
    """A server layer at a host, any if empty, and a path."""

    def __init__(self, host: str, path: str, headers: Headers) -> None:
        """`headers`: further ones of the answer. A Host among them is the one to be asked for, if `host` is empty."""
        named, self._fields = split_host(headers)
        self._host = without_port((host or named).encode())
        self._path = unquote_to_bytes(path)

    def accepting(self, then: Accept) -> Accept:
        """See ServerLayer. Raises ProtocolError for whoever asks for something else, after telling him."""

        def accept(stream: Stream, session: Session) -> None:
            with deadline(HANDSHAKE_TIMEOUT, ProtocolError("no HTTP request in time", reason="timeout")):
                opened = self._meet(Buffered(stream))
            then(opened, session)

        return accept

    def _meet(self, client: Buffered) -> Stream:
        try:
            head = client.decode(decode_request, MAX_HEAD)
            check_host(head)
            if self._host and [without_port(host) for host in head.fields.values(b"host")] != [self._host]:
                raise NotHere("an HTTP request for another host", reason="host")
            return self._open(client, head)
        except ProtocolError as error:
            if error.reason not in ("empty", "truncated", "timeout"):
                with contextlib.suppress(StreamClosed):  # he does not want to know
                    client.sendall(_refusal(error))
                    hear_out(client)
            raise

    def _beyond_path(self, head: RequestHead) -> bytes:
        """What a request has behind the path. Raises NotHere for another path."""
        asked = unquote_to_bytes(head.target.partition(b"?")[0])
        if not asked.startswith(self._path):
            raise NotHere("an HTTP request for another path", reason="path")
        return asked[len(self._path) :]

    @abstractmethod
    def _open(self, client: Buffered, head: RequestHead) -> Stream:
        """Agree to a request, or raise ProtocolError: what follows is the stream."""


def without_port(host: bytes) -> bytes:
    """A Host without its port, in lower case."""
    name, colon, port = host.lower().rpartition(b":")
    return name if colon and port.isdigit() else host.lower()


def _refusal(error: ProtocolError) -> bytes:
    status = 404 if isinstance(error, NotHere) else 431 if isinstance(error, TooLarge) else 400
    if isinstance(error, Unsupported):
        status = 505 if error.reason == "version" else 426
    fields = Fields([])
    fields.add(b"Date", formatdate(wall(), usegmt=True).encode())
    if status == 426:
        fields.add(b"Sec-WebSocket-Version", b"13")
    fields.add(b"Content-Length", b"0")
    fields.add(b"Connection", b"close")
    return ResponseHead(1, status, _REASONS[status], fields).encode()


class UpgradeClient(ABC):
    """A client layer that asks at a host and a path."""

    def __init__(self, host: str, path: str, headers: Headers) -> None:
        """`headers`: further ones of the request. A Host among them is asked for instead of `host`."""
        named, self._fields = split_host(headers)
        self._host = (named or host).encode()
        self._target = target_of(path)

    def connecting(self, via: Connect) -> Connect:
        """See ClientLayer."""

        def connect(session: Session) -> Stream:
            stream = via(session)
            try:
                with deadline(HANDSHAKE_TIMEOUT, DialError("no answer to the upgrade in time", reason="timeout")):
                    return self._open(stream)
            except (ProtocolError, StreamClosed) as error:
                stream.close()
                declined = isinstance(error, ProtocolError) and error.reason == "declined"
                raise DialError(f"upgrade: {error}", reason="declined" if declined else "failed") from error
            except BaseException:  # a deadline, too, must not leave the stream behind
                stream.close()
                raise

        return connect

    @abstractmethod
    def _open(self, stream: Stream) -> Stream:
        """Ask, and hear the answer. Raises ProtocolError and StreamClosed."""


def ask(stream: Stream, request: bytes) -> tuple[ResponseHead, bytes]:
    """Send a request: the head of its answer, and what came behind it. Raises ProtocolError and StreamClosed."""
    server = Buffered(stream)
    server.sendall(request)
    head = server.decode(decode_response, MAX_HEAD)
    return head, server.take()
