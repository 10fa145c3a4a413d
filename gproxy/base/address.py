"""Where a connection goes: an IP address or a domain, with a port.

Addresses are made for every connection, so they are plain tuples, and the parsing of literals is remembered:
`ipaddress` needs microseconds for what a cache answers in a tenth of one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

IP = IPv4Address | IPv6Address
Host = IP | str

# RFC 1035 section 2.3.4: 255 octets on the wire are 253 characters of text; a label has 63 at most.
MAX_DOMAIN = 253
MAX_LABEL = 63

_REMEMBERED = 4096
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# IDNA of 2003, which Python has, writes other names for these than IDNA of 2008 and browsers do: `fass` for `faß`.
_AMBIGUOUS = frozenset("ßς\u200c\u200d")
_DOMAIN_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


@lru_cache(_REMEMBERED)
def parse_ip(text: str) -> IP:
    """The IP address that `text` is a literal of, without a zone and with IPv4-mapped IPv6 unwrapped.

    Raises ValueError when it is none.
    """
    ip = ip_address(text.partition("%")[0] if "%" in text else text)
    if ip.version == 6 and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


@lru_cache(_REMEMBERED)
def ip_from_packed(raw: bytes) -> IP:
    """The IP address of 4 or 16 octets in network order; IPv4-mapped IPv6 is unwrapped."""
    ip: IP = IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)
    if ip.version == 6 and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


@lru_cache(_REMEMBERED)
def parse_host(text: str) -> Host:
    """The IP or the lower-case domain that `text` names, in ASCII or internationalised form.

    Raises ValueError when it is neither.
    """
    if text[:1] == "[" and text[-1:] == "]":
        return parse_ip(text[1:-1])
    try:
        return parse_ip(text)
    except ValueError:
        return _parse_domain(text)


def _parse_domain(text: str) -> str:
    if not text.isascii():
        if not _AMBIGUOUS.isdisjoint(text):
            raise ValueError(f"not the same name to everybody, write it as `xn--…`: {text!r}")
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"not a domain name: {text!r}") from error
    name = text.lower().removesuffix(".")
    if not name or len(name) > MAX_DOMAIN or not _DOMAIN_CHARACTERS.issuperset(name):
        raise ValueError(f"neither an IP address nor a domain name: {text!r}")
    labels = name.split(".")
    if any(not label or len(label) > MAX_LABEL for label in labels):
        raise ValueError(f"not a domain name: {text!r}")
    # No top-level domain is a number (RFC 3696 section 2). `1.2.3.300` is a mistyped address, and `0x7f000001` is one
    # that the system's resolver would read as 127.0.0.1, past every rule for addresses.
    if _NUMBER.fullmatch(labels[-1]):
        raise ValueError(f"neither an IP address nor a domain name: {text!r}")
    return name


class Address(NamedTuple):
    """A destination or a source. A `str` host is a lower-case domain, anything else an IP address object."""

    host: Host
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int | None = None) -> Address:
        """Read `host:port`, `[ipv6]:port` or, with a default port, a bare host. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or (":" in host and host[:1] != "["):  # no port: a bare host, or a bare IPv6 literal
            if default_port is None:
                raise ValueError(f"no port in {text!r}")
            return cls(parse_host(text), default_port)
        if host[:1] == "[" and host[-1:] != "]":
            if default_port is None or text[-1:] != "]":
                raise ValueError(f"no closing bracket or port in {text!r}")
            return cls(parse_host(text), default_port)
        return cls(parse_host(host), parse_port(port))

    @property
    def is_domain(self) -> bool:
        return isinstance(self.host, str)

    def __str__(self) -> str:
        host = self.host
        if isinstance(host, str) or host.version == 4:
            return f"{host}:{self.port}"
        return f"[{host}]:{self.port}"


def parse_port(text: str) -> int:
    """A port number, 0 to 65535, in plain ASCII digits. Raises ValueError."""
    if text.isascii() and text.isdigit() and len(text) <= 5:
        port = int(text)
        if port <= 65535:
            return port
    raise ValueError(f"not a port number: {text!r}")


UNSPECIFIED = Address(IPv4Address(0), 0)
"""What is reported where no address is known: 0.0.0.0, port 0."""
