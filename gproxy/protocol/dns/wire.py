"""DNS over HTTPS (RFC 8484): what a request asks, and what an answer may be kept for.

GET /dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB      base64url, without padding
POST /dns-query      Content-Type: application/dns-message      the message as it is
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from gproxy.base.errors import ProtocolError
from gproxy.wire.dns.message import HEAD, MAX_MESSAGE
from gproxy.wire.dns.prepared import prepare

KIND: Final = b"application/dns-message"

MAX_TARGET: Final = len("dns=") + (MAX_MESSAGE * 4 + 2) // 3 + 1024

_URL_SAFE: Final = bytes.maketrans(b"-_+/", b"+/-_")


class Refusal(ProtocolError):
    """A request that gets a status and no answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, reason="http")
        self.http = status


def read_request(method: bytes, target: bytes, kinds: list[bytes], place: bytes) -> bytes | None:
    """The query that a request's target holds; None if it is in the body. `kinds`: its Content-Type, `place`: the path.

    Raises Refusal.
    """
    path, _, parameters = target.partition(b"?")
    if path != place:
        raise Refusal(404, "an HTTP request for another path")
    if method == b"GET":
        return _from_parameters(parameters)
    if method != b"POST":
        raise Refusal(405, "an HTTP request of another method")
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != KIND:
        raise Refusal(415, "a body of another kind than application/dns-message")
    return None


def _from_parameters(parameters: bytes) -> bytes:
    found = [value for name, _, value in (each.partition(b"=") for each in parameters.split(b"&")) if name == b"dns"]
    if len(found) != 1 or not found[0]:
        raise Refusal(400, "expected one parameter `dns`")
    text = found[0].rstrip(b"=")
    try:
        return check_query(base64.b64decode(text.translate(_URL_SAFE) + b"=" * (-len(text) % 4), validate=True))
    except binascii.Error:
        raise Refusal(400, "the parameter `dns` is not base64url") from None


def check_query(query: bytes) -> bytes:
    """The query, if it can be one. Raises Refusal."""
    if len(query) > MAX_MESSAGE:
        raise Refusal(413, f"a DNS message of more than {MAX_MESSAGE} octets")
    if len(query) < HEAD or query[2] & 0x80:
        raise Refusal(400, "not a DNS query")
    return query


def max_age(answer: bytes) -> int:
    """For how many seconds an answer may be kept: RFC 8484 section 5.1."""
    try:
        prepared = prepare(answer)
    except ProtocolError:
        return 0
    return prepared.ttl if prepared.lasting else 0
