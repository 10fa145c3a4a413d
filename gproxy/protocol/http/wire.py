"""What HTTP proxies say beyond HTTP itself.

    Proxy-Authorization: Basic base64( user-id ":" password )

are Basic credentials (RFC 7617), and a tunnel is asked for by (RFC 9110 section 9.3.6)

    CONNECT example.com:443 HTTP/1.1

which any 2xx status grants.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64

from gproxy.base.address import Address
from gproxy.wire.http1 import Fields, RequestHead

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def encode_basic(username: str, password: str) -> bytes:
    """The value of an authorization field."""
    return b"Basic " + b64encode(f"{username}:{password}".encode())


def decode_basic(value: bytes) -> tuple[bytes, bytes] | None:
    """The user-id and the password of an authorization field's value; None if it holds none."""
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        name, colon, password = a2b_base64(token.strip(b" "), strict_mode=True).partition(b":")
    except NotBase64:
        return None
    return (name, password) if colon else None


def encode_connect(target: Address, extra: Fields, host: bytes = b"", path: bytes = b"") -> bytes:
    """A CONNECT request with `extra` fields; `host` replaces the Host field and `path` the request target."""
    authority = str(target).encode("ascii")
    fields = Fields([(b"host", b"Host", host or authority), *extra])
    return RequestHead(b"CONNECT", path or authority, 1, fields).encode()
