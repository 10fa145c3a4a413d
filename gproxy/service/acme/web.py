"""HTTP to authorities and to those who set DNS records: one request on a connection, bounded in time and space."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from gproxy import __version__
from gproxy.base.address import UNSPECIFIED, Address, parse_host
from gproxy.base.clock import wall
from gproxy.base.errors import DialError, ProtocolError, TooLarge
from gproxy.base.iface import Dialer, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.client import TlsClient
from gproxy.layers.tls.trust import Trust
from gproxy.net.buffered import Buffered
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsOutbound
from gproxy.wire.http1.body import response_body
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_response

_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = f"gproxy/{__version__}"

# How long one request may take, from the name's resolution to the last byte of the answer, in seconds. An authority
# that checks something within a request answers after some seconds.
PATIENCE: Final = 30.0

MOST: Final = 256 * 1024
"""Bytes of an answer's body: chains have some thousand."""

_MOST_INTERIM: Final = 8

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered. Names of fields are in small letters; of repeated ones the last counts."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    def retry_after(self) -> float:
        """In how many seconds to ask again, if that was said; else 0."""
        text = self.fields.get("retry-after", "")
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - wall())
        except (ValueError, OverflowError):
            return 0.0


Ask = Callable[[str, str, bytes, Mapping[str, str]], Response]
"""A request: method, URL, body and fields. Raises GproxyError."""


class Web:
    """Requests by a dialer, to whom `trust` says may be believed."""

    def __init__(self, dialer: Dialer, trust: Trust) -> None:
        self._dialer = dialer
        self._trust = trust
        self._secure: dict[str, TlsClient] = {}  # by host: they remember their last session

    def ask(self, method: str, url: str, body: bytes, fields: Mapping[str, str]) -> Response:
        """See Ask."""
        try:
            parts = urlsplit(url)
            address = Address(parse_host(parts.hostname or ""), parts.port or _PORTS[parts.scheme])
        except (ValueError, KeyError) as error:
            raise ProtocolError(f"not a URL for HTTP: {url}") from error
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = _request(method, target, parts.netloc.rpartition("@")[2], body, fields)
        with deadline(PATIENCE, DialError(f"{parts.netloc}: no answer in time", reason="timeout")):
            stream = self._connect(address, secure=parts.scheme == "https")
            try:
                stream.sendall(head + body)
                return _response(Buffered(stream), method)
            finally:
                stream.close()

    def _connect(self, address: Address, *, secure: bool) -> Stream:
        session = Session(next(_numbers), "tcp", "acme", UNSPECIFIED, address)

        def dial(session: Session) -> Stream:
            return self._dialer.dial(address, session)

        if not secure:
            return dial(session)
        host = str(address.host)
        if host not in self._secure:
            options = TlsOutbound(enabled=True, alpn=("http/1.1",))
            self._secure[host] = TlsClient(options, address.host, self._trust)
        return self._secure[host].connecting(dial)(session)


def _request(method: str, target: str, authority: str, body: bytes, more: Mapping[str, str]) -> bytes:
    fields = Fields([])
    fields.add(b"Host", authority.encode())
    fields.add(b"User-Agent", _NAME.encode())
    fields.add(b"Accept-Language", b"en")
    for name, value in more.items():
        fields.add(name.encode(), value.encode())
    if body:
        fields.add(b"Content-Length", b"%d" % len(body))
    fields.add(b"Connection", b"close")
    return RequestHead(method.encode(), target.encode(), 1, fields).encode()


def _response(stream: Buffered, method: str) -> Response:
    head = _final_head(stream)
    body = response_body(head, method.encode(), bare=True)
    read = bytearray()
    while not body.complete:
        data = stream.recv()
        if not data:
            if not body.whole_at_end():
                raise ProtocolError("an answer that was cut off", reason="truncated")
            break
        read += body.feed(data)[0]
        if len(read) > MOST:
            raise TooLarge(f"an answer of more than {MOST} bytes", reason="body")
    fields = {name.decode("latin-1"): value.decode("latin-1") for name, _, value in head.fields}
    return Response(head.status, fields, bytes(read))


def _final_head(stream: Buffered) -> ResponseHead:
    for _ in range(_MOST_INTERIM):
        head = stream.decode(decode_response, MAX_HEAD)
        if head.status >= 200:
            return head
    raise ProtocolError("an answer that does not come to its point")
