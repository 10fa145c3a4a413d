"""A web server is asked for something, over TLS where its location says so."""

from __future__ import annotations

from collections.abc import Mapping

from gproxy.base.iface import Dialer, Stream
from gproxy.base.session import Session
from gproxy.net.request import Answer, request
from gproxy.schema.tls import Authorities, TlsOutbound
from gproxy.wire.http1.location import Location


def get(
    dialer: Dialer, location: Location, session: Session, fields: Mapping[str, str], authorities: Authorities
) -> tuple[Stream, Answer]:
    """The answer as far as its head, and the stream that the body comes on, which is the caller's to close.

    `authorities`: whom to believe if the location is an https one. Raises GproxyError; nothing is left open then, nor
    when a deadline is over.
    """
    stream = dialer.dial(location.address, session)
    try:
        if location.secure:
            stream = _secured(stream, location, authorities)
        return stream, request(stream, "GET", location, fields)
    except BaseException:
        stream.close()
        raise


def _secured(stream: Stream, location: Location, authorities: Authorities) -> Stream:
    from gproxy.layers.tls.client import TlsClient
    from gproxy.layers.tls.trust import Trust

    # The end of a body may be the end of the stream, which anybody on the way can bring about.
    options = TlsOutbound(enabled=True, alpn=("http/1.1",))
    return TlsClient(options, location.address.host, Trust.of(authorities), strict=True).open(stream)
