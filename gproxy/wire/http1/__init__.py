"""HTTP/1.x messages (RFC 9110, RFC 9112): heads, request targets and body framing, decoded strictly and without I/O.

A proxy that reads a message otherwise than the server behind it lets requests be smuggled. So what the RFCs leave to
the recipient's kindness is refused here: a message is either unambiguous, or an error.
"""

from __future__ import annotations

from gproxy.wire.http1.body import Body, Chunked, Sized, UntilEnd, request_body, response_body
from gproxy.wire.http1.head import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_LINE,
    Field,
    Fields,
    RequestHead,
    ResponseHead,
    decode_request,
    decode_response,
)
from gproxy.wire.http1.target import AbsoluteTarget, check_host, parse_absolute, parse_authority

__all__ = [
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_LINE",
    "AbsoluteTarget",
    "Body",
    "Chunked",
    "Field",
    "Fields",
    "RequestHead",
    "ResponseHead",
    "Sized",
    "UntilEnd",
    "check_host",
    "decode_request",
    "decode_response",
    "parse_absolute",
    "parse_authority",
    "request_body",
    "response_body",
]
