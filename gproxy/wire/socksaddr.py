"""The SOCKS5 address: RFC 1928 section 5. Shadowsocks, Trojan and others write their targets the same way.

+------+------------------------+------+
| ATYP | address                | port |
+------+------------------------+------+
|  1   | 4, 16, or 1 + length   |  2   |

ATYP 1: four octets of IPv4.  ATYP 4: sixteen octets of IPv6.
ATYP 3: one octet with the length of a domain, then the domain without a final NUL. Clients also put the text of
an IP address there, which is an IP address all the same, and names in UTF-8, which are taken in their ASCII form.
"""

from __future__ import annotations

from functools import lru_cache

from gproxy.base.address import Address, Host, ip_from_packed, parse_host
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.cursor import Cursor

IPV4 = 1
DOMAIN = 3
IPV6 = 4

MAX_ADDRESS = 1 + 1 + 255 + 2
"""Octets of the longest address: type, length, domain, port."""

# Targets repeat, and an answer from the cache costs a tenth of making the objects anew.
_REMEMBERED = 4096


def decode_address(cursor: Cursor) -> Address:
    """Read one address. Raises Unsupported for an unknown address type, ProtocolError for a bad domain."""
    kind = cursor.u8()
    if kind == IPV4:
        return address_from_packed(cursor.take(6))
    if kind == DOMAIN:
        host = host_from_name(cursor.take(cursor.u8()))
        return Address(host, cursor.u16())
    if kind == IPV6:
        return address_from_packed(cursor.take(18))
    raise Unsupported(f"address type {kind}", reason="address")


def encode_address(address: Address) -> bytes:
    """Write one address. A domain longer than 255 octets raises ValueError."""
    host, port = address
    if isinstance(host, str):
        name = host.encode("ascii")
        return bytes((DOMAIN, len(name))) + name + port.to_bytes(2, "big")
    return (b"\x01" if host.version == 4 else b"\x04") + host.packed + port.to_bytes(2, "big")


@lru_cache(_REMEMBERED)
def address_from_packed(raw: bytes) -> Address:
    """The address of 4 or 16 octets of IP and two of port, both in network order; IPv4-mapped IPv6 is unwrapped."""
    return Address(ip_from_packed(raw[:-2]), int.from_bytes(raw[-2:], "big"))


@lru_cache(_REMEMBERED)
def host_from_name(raw: bytes) -> Host:
    """The host that a client wrote as text: a domain or the literal of an IP address. Raises ProtocolError."""
    try:
        return parse_host(raw.decode("utf-8"))
    except ValueError as error:  # UnicodeDecodeError is one of them
        raise ProtocolError(f"not a domain: {raw!r}") from error
