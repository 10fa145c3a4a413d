"""URLs of the schemes http and https (RFC 9110 section 4.2), taken apart for a request."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from gproxy.base.address import Address, parse_host

_PORTS: Final = {"http": 80, "https": 443}


class Location(NamedTuple):
    """Where a request goes, and what it says of that."""

    secure: bool  # by TLS
    address: Address
    authority: str  # for the field Host, in ASCII
    target: str  # for the request line

    @classmethod
    def parse(cls, url: str) -> Location:
        """Read a URL; what stands before an `@` is left out. Raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("expected a URL that begins with http:// or https://")
        address = Address(parse_host(parts.hostname), parts.port or _PORTS[parts.scheme])
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not target.isascii() or any(character <= " " or character == "\x7f" for character in target):
            raise ValueError("expected a URL of visible ASCII characters")
        authority = parts.netloc.rpartition("@")[2]
        if not authority.isascii():
            authority = authority.encode("idna").decode("ascii")
        return cls(parts.scheme == "https", address, authority, target)
