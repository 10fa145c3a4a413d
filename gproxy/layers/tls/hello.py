"""A client's first words, looked at before anybody answers them."""

from __future__ import annotations

from gproxy.base.errors import ProtocolError
from gproxy.base.iface import Stream
from gproxy.wire.clienthello import ClientHello, decode_client_hello
from gproxy.wire.cursor import Cursor, Incomplete

ACME = b"acme-tls/1"
"""The application protocol of an authority that looks at a proof: RFC 8737."""

_ALERT = b"\x15\x03\x03\x00\x02\x02"  # a record with a fatal alert, without its description
INTERNAL_ERROR = _ALERT + b"\x50"
UNRECOGNIZED_NAME = _ALERT + b"\x70"
NO_APPLICATION_PROTOCOL = _ALERT + b"\x78"


def peek_hello(stream: Stream) -> tuple[bytes, ClientHello | None]:
    """All that was read, and what it says; None if nothing can make it a hello. Raises ProtocolError at an end."""
    ahead = b""
    while True:
        data = stream.recv()
        if not data:
            raise ProtocolError(
                "the stream ended inside the TLS handshake" if ahead else "the stream ended before it began",
                reason="truncated" if ahead else "empty",
            )
        ahead = ahead + data if ahead else data
        try:
            return ahead, decode_client_hello(Cursor(ahead))
        except Incomplete:
            continue
        except ProtocolError:
            return ahead, None
