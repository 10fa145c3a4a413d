"""A small HTTP client over an outbound: enough to see whether a way works."""

from __future__ import annotations

import ssl
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

from gproxy.base.address import Address, parse_host
from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Buffer, Outbound, Record, Stream
from gproxy.cli.pipe import session
from gproxy.net.buffered import Buffered
from gproxy.rt.deadline import deadline
from gproxy.wire.http1.body import response_body
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_response

_PORTS = {"http": 80, "https": 443}
_HEAD_TIMEOUT = 30.0  # seconds from the dial to the head of the answer
_RECORD = 64 * 1024


class Location(NamedTuple):
    """The parts of a URL."""

    secure: bool
    address: Address
    authority: str
    target: str

    @classmethod
    def parse(cls, url: str) -> Location:
        """Read an http or https URL. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("expected a URL that begins with http:// or https://")
        address = Address(parse_host(parts.hostname), parts.port or _PORTS[parts.scheme])
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not target.isascii() or any(character <= " " for character in target):
            raise ValueError("expected a URL of visible ASCII characters")
        return cls(parts.scheme == "https", address, parts.netloc.rpartition("@")[2], target)


def fetch_to(outbound: Outbound, location: Location, out: BinaryIO) -> int:
    """Get the location and write the body to `out`; gives the status. Raises GproxyError."""
    with deadline(_HEAD_TIMEOUT, DialError(f"{location.address}: no answer in time", reason="timeout")):
        stream: Stream = outbound.dial(location.address, session("tcp", location.address))
        try:
            if location.secure:
                stream = _Secure(stream, str(location.address.host))
            buffered = Buffered(stream)
            buffered.sendall(_request(location))
            head = _final_head(buffered)
        except BaseException:
            stream.close()
            raise
    try:
        _copy_body(buffered, head, out)
    finally:
        buffered.close()
    return head.status


def _request(location: Location) -> bytes:
    fields = Fields([])
    fields.add(b"Host", location.authority.encode("idna" if not location.authority.isascii() else "ascii"))
    fields.add(b"User-Agent", b"gproxy")
    fields.add(b"Accept", b"*/*")
    fields.add(b"Connection", b"close")
    return RequestHead(b"GET", location.target.encode(), 1, fields).encode()


def _final_head(stream: Buffered) -> ResponseHead:
    while True:
        head = stream.decode(decode_response, MAX_HEAD)
        if head.status >= 200:
            return head


def _copy_body(stream: Buffered, head: ResponseHead, out: BinaryIO) -> None:
    body = response_body(head, b"GET", bare=True)
    while not body.complete:
        data = stream.recv()
        if not data:
            if not body.whole_at_end():
                raise ProtocolError("the answer was cut off")
            break
        out.write(body.feed(data)[0])
    out.flush()


class _Secure:
    """TLS over a stream, as a client that verifies. For one greenlet: what it sends and receives takes turns."""

    def __init__(self, inner: Stream, name: str) -> None:
        self._inner = inner
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._shake_hands()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
                continue
            except ssl.SSLError as error:
                self._flush()
                raise DialError(f"TLS: {getattr(error, 'verify_message', '') or error.reason}", reason="tls") from error
            self._flush()
            return

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._inner.sendall(self._outgoing.read())

    def _feed(self) -> None:
        data = self._inner.recv()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def recv(self) -> bytes:
        while True:
            try:
                return self._tls.read(_RECORD)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise ProtocolError(f"TLS: {error.reason}") from error

    def take(self) -> bytes:
        return b""

    def sendall(self, data: Buffer, /) -> None:
        self._tls.write(data)
        self._flush()

    def close_write(self) -> None:
        self._inner.close_write()

    def close(self) -> None:
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def bare(self) -> int | None:
        return None

    def record(self) -> Record | None:
        return None

    def held(self) -> bool:
        return self._inner.held()

    def bound(self) -> Address | None:
        return self._inner.bound()
