"""A small HTTP client over an outbound: enough to see whether a way works."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit

from gproxy.base.address import Address, parse_host
from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Outbound, Stream
from gproxy.cli.pipe import session
from gproxy.net.buffered import Buffered
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import Authorities, TlsOutbound
from gproxy.wire.http1.body import response_body
from gproxy.wire.http1.head import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_response

_PORTS = {"http": 80, "https": 443}
_HEAD_TIMEOUT = 30.0  # seconds from the dial to the head of the answer
_SYSTEMS = Authorities()


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


def fetch_to(outbound: Outbound, location: Location, out: BinaryIO, authorities: Authorities = _SYSTEMS) -> int:
    """Get the location and write the body to `out`; gives the status. Raises GproxyError.

    `authorities`: whom to believe if the location is an https one.
    """
    with deadline(_HEAD_TIMEOUT, DialError(f"{location.address}: no answer in time", reason="timeout")):
        stream: Stream = outbound.dial(location.address, session("tcp", location.address))
        try:
            if location.secure:
                stream = _secured(stream, location, authorities)
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


def _secured(stream: Stream, location: Location, authorities: Authorities) -> Stream:
    from gproxy.layers.tls.client import TlsClient
    from gproxy.layers.tls.trust import Trust

    # The end of a body may be the end of the stream, which anybody on the way can bring about.
    options = TlsOutbound(enabled=True, alpn=("http/1.1",))
    return TlsClient(options, location.address.host, Trust.of(authorities), strict=True).open(stream)


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
