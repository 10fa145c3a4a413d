"""Request targets (RFC 9112 section 3.2).

    origin-form     /where?q=now                    to an origin server; a proxy has no use for it
    absolute-form   http://example.com/where?q=now  to a proxy
    authority-form  example.com:443                 CONNECT, and nothing else
    asterisk-form   *                               OPTIONS, of the server itself

No form may hold userinfo: RFC 9110 section 4.2.4 has it treated as an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from gproxy.base.address import MAX_DOMAIN, Address
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.http1.head import RequestHead

# A domain with its port; also the bound of what is remembered of hostile input.
_MAX_AUTHORITY = MAX_DOMAIN + len(":65535")
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\])(?::[0-9]{0,5})?")
# RFC 3986 section 3.2.2 in full: a Host field that is not used must still be one.
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.~!$&'()*+,;=_%-]+\]|[0-9A-Za-z.~!$&'()*+,;=_%-]*)(?::[0-9]*)?")
_PATH_OR_QUERY = re.compile(rb"[/?]")
# WebSocket clients that treat the proxy like any other server say ws; the request is the same.
_PLAIN_SCHEMES = frozenset((b"http", b"ws"))
_DEFAULT_PORT = 80


@dataclass(slots=True)
class AbsoluteTarget:
    """An absolute-form target: where to connect, what the Host field says there, and the origin-form for the server.

    The origin-form is empty if nothing follows the authority: that is `*` to OPTIONS and `/` to all other methods.
    """

    address: Address
    authority: bytes
    origin: bytes


@lru_cache(4096)
def _parse(text: bytes, default_port: int | None) -> Address:
    address = Address.parse(text.decode("ascii"), default_port)
    if address.port == 0:
        raise ValueError("port 0")
    return address


def parse_authority(text: bytes, default_port: int | None = None) -> Address:
    """The address that an authority names; without a default the port must be there. Raises ProtocolError."""
    if len(text) > _MAX_AUTHORITY or not _AUTHORITY.fullmatch(text):
        raise ProtocolError("not a host and port")
    if default_port is not None:
        text = text.removesuffix(b":")  # RFC 3986 section 3.2.3: an empty port is the default
    try:
        return _parse(text, default_port)
    except ValueError as error:
        raise ProtocolError("not a host and port") from error


def parse_absolute(target: bytes) -> AbsoluteTarget:
    """Take an absolute-form target apart. Raises ProtocolError, and Unsupported (reason `scheme`) for other schemes."""
    scheme, mark, rest = target.partition(b"://")
    if not mark or not scheme.isalnum():
        raise ProtocolError("a request target that is no absolute URI")
    if scheme.lower() not in _PLAIN_SCHEMES:
        raise Unsupported("only http URIs can be forwarded", reason="scheme")
    cut = _PATH_OR_QUERY.search(rest)
    at = cut.start() if cut else len(rest)
    authority, origin = rest[:at], rest[at:]
    if origin.startswith(b"?"):
        origin = b"/" + origin
    return AbsoluteTarget(parse_authority(authority, _DEFAULT_PORT), authority, origin)


def check_host(head: RequestHead) -> None:
    """Hold RFC 9112 section 3.2: one valid Host field, which only HTTP/1.0 may leave out. Raises ProtocolError."""
    hosts = head.fields.values(b"host")
    if len(hosts) > 1:
        raise ProtocolError("more than one Host field")
    if not hosts and head.minor:
        raise ProtocolError("no Host field")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise ProtocolError("not a Host field")
