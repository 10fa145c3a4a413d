"""A small HTTP client over an outbound: enough to see whether a way works."""

from __future__ import annotations

from typing import BinaryIO

from gproxy.base.errors import DialError
from gproxy.base.iface import Outbound
from gproxy.cli.pipe import session
from gproxy.layers.tls.get import get
from gproxy.rt.deadline import deadline
from gproxy.schema.tls import Authorities
from gproxy.wire.http1.location import Location

_HEAD_TIMEOUT = 30.0  # seconds from the dial to the head of the answer
_SYSTEMS = Authorities()


def fetch_to(outbound: Outbound, location: Location, out: BinaryIO, authorities: Authorities = _SYSTEMS) -> int:
    """Get the location and write the body to `out`; gives the status. Raises GproxyError.

    `authorities`: whom to believe if the location is an https one.
    """
    with deadline(_HEAD_TIMEOUT, DialError(f"{location.address}: no answer in time", reason="timeout")):
        fields = {"User-Agent": "gproxy", "Accept": "*/*"}
        stream, answer = get(outbound, location, session("tcp", location.address), fields, authorities)
    try:
        out.writelines(answer.pieces())
        out.flush()
    finally:
        stream.close()
    return answer.head.status
