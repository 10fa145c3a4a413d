"""HTTP to authorities and to those who set DNS records: one request on a connection, bounded in time and space."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from gproxy import __version__
from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.clock import wall
from gproxy.base.errors import DialError, ProtocolError
from gproxy.base.iface import Dialer, Stream
from gproxy.base.session import Session
from gproxy.layers.tls.client import TlsClient
from gproxy.layers.tls.trust import Trust
from gproxy.net.request import request
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import TlsOutbound
from gproxy.wire.http1.location import Location

_OURS: Final = {"User-Agent": f"gproxy/{__version__}", "Accept-Language": "en"}

# How long one request may take, from the name's resolution to the last byte of the answer, in seconds. An authority
# that checks something within a request answers after some seconds.
PATIENCE: Final = 30.0

MOST: Final = 256 * 1024
"""Bytes of an answer's body: chains have some thousand."""

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
            location = Location.parse(url)
        except ValueError as error:
            raise ProtocolError(f"not a URL for HTTP: {url}") from error
        with deadline(PATIENCE, DialError(f"{location.authority}: no answer in time", reason="timeout")):
            stream = self._connect(location.address, secure=location.secure)
            try:
                answer = request(stream, method, location, {**_OURS, **fields}, body)
                said = {name.decode("latin-1"): value.decode("latin-1") for name, _, value in answer.head.fields}
                return Response(answer.head.status, said, answer.read(MOST))
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
