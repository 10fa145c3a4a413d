"""How sniffers answer: as any Decode does. Sniffed: found; Incomplete: perhaps, with more; ProtocolError: no."""

from __future__ import annotations

from gproxy.base.address import parse_host
from gproxy.base.errors import ProtocolError

MOST = 16 * 1024
"""Octets that are looked at: with so many, no sniffer asks for more. sing-box looks at as many."""


def no(protocol: str) -> ProtocolError:
    """It is not this protocol, whatever follows."""
    return ProtocolError(f"not {protocol}", reason="sniff")


def domain_in(text: str) -> str:
    """The domain that a client names, in lower case; empty if what it names is an address, or nothing that could be
    a domain.
    """
    try:
        host = parse_host(text)
    except ValueError:
        return ""
    return host if isinstance(host, str) else ""
