"""A small HTTP client over an outbound: enough to see whether a way works."""

from __future__ import annotations

from typing import BinaryIO

from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound, Stream
from gproxy.cli.pipe import session
from gproxy.net.request import request
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import Authorities, TlsOutbound
from gproxy.wire.http1.location import Location

_HEAD_TIMEOUT = 30.0  # seconds from the dial to the head of the answer
_SYSTEMS = Authorities()


def fetch_to(outbound: Outbound, location: Location, out: BinaryIO, authorities: Authorities = _SYSTEMS) -> int:
    """Get the location and write the body to `out`; gives the status. Raises GproxyError.

    `authorities`: whom to believe if the location is an https one.
    """
    with deadline(_HEAD_TIMEOUT, DialError(f"{location.address}: no answer in time", reason="timeout")):
        stream: Stream = outbound.dial(location.address, session("tcp", location.address))
        try:
            if location.secure:
                stream = _secured(stream, location, authorities)
            answer = request(stream, "GET", location, {"User-Agent": "gproxy", "Accept": "*/*"})
        except BaseException:
            stream.close()
            raise
    try:
        out.writelines(answer.pieces())
        out.flush()
    finally:
        stream.close()
    return answer.head.status


def _secured(stream: Stream, location: Location, authorities: Authorities) -> Stream:
    from gproxy.layers.tls.client import TlsClient
    from gproxy.layers.tls.trust import Trust

    # The end of a body may be the end of the stream, which anybody on the way can bring about.
    options = TlsOutbound(enabled=True, alpn=("http/1.1",))
    return TlsClient(options, location.address.host, Trust.of(authorities), strict=True).open(stream)
