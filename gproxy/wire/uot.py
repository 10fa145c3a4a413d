"""UDP over TCP, versions 1 and 2: datagrams on a stream that was asked for by a host of no network.

A client asks its proxy for a stream to `sp.v2.udp-over-tcp.arpa` (version 2) or `sp.udp-over-tcp.arpa` (version 1). The
proxy says yes as always, and takes what follows for datagrams. Version 2 begins with a request:

+---------+----------------+
| CONNECT | SOCKS5 address |
+---------+----------------+
|    1    |    variable    |

CONNECT not 0: all datagrams, both ways, are the address's, and frames carry none. 0, and version 1: each frame says
where its datagram goes to, or where it comes from. The address in the request is the first one, then.

+------+------------------------+------+--------+----------+     +--------+----------+
| ATYP | address                | port | length | datagram |     | length | datagram |
+------+------------------------+------+--------+----------+     +--------+----------+
|  1   | 4, 16, or 1 + length   |  2   |   2    |  length  |     |   2    |  length  |

ATYP here is 0 for IPv4, 1 for IPv6, 2 for a domain.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from gproxy.base.address import Address
from gproxy.base.errors import Unsupported
from gproxy.wire import socksaddr
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import address_from_packed, host_from_name

Version = Literal[1, 2]

HOSTS: dict[str, Version] = {"sp.udp-over-tcp.arpa": 1, "sp.v2.udp-over-tcp.arpa": 2}
"""The hosts that mean datagrams, with the version that they ask for."""

TARGETS: dict[Version, Address] = {version: Address(host, 0) for host, version in HOSTS.items()}
"""What a client asks its proxy for."""

IPV4 = 0
IPV6 = 1
DOMAIN = 2

MAX_REQUEST = 1 + socksaddr.MAX_ADDRESS
"""Octets of the longest request."""

MAX_FRAME = socksaddr.MAX_ADDRESS + 2 + 65535
"""Octets of the longest frame."""


class Request(NamedTuple):
    """What a client of version 2 says first."""

    connect: bool
    target: Address


class Frame(NamedTuple):
    """A datagram, and where it goes to or comes from."""

    address: Address
    payload: bytes


def version_of(target: Address) -> Version | None:
    """The version that a stream to `target` speaks; None if it carries no datagrams."""
    host = target.host
    return HOSTS.get(host) if isinstance(host, str) else None


def decode_request(cursor: Cursor) -> Request:
    """Read version 2's request. Raises ProtocolError."""
    connect = cursor.u8() != 0
    return Request(connect, socksaddr.decode_address(cursor))


def encode_request(request: Request) -> bytes:
    """Write version 2's request. A domain longer than 255 octets raises ValueError."""
    return (b"\x01" if request.connect else b"\x00") + socksaddr.encode_address(request.target)


def decode_address(cursor: Cursor) -> Address:
    """Read a frame's address. Raises Unsupported for an unknown address type, ProtocolError for a bad domain."""
    kind = cursor.u8()
    if kind == IPV4:
        return address_from_packed(cursor.take(6))
    if kind == IPV6:
        return address_from_packed(cursor.take(18))
    if kind == DOMAIN:
        host = host_from_name(cursor.take(cursor.u8()))
        return Address(host, cursor.u16())
    raise Unsupported(f"address type {kind}", reason="address")


def encode_address(address: Address) -> bytes:
    """Write a frame's address. A domain longer than 255 octets raises ValueError."""
    host, port = address
    if isinstance(host, str):
        name = host.encode("ascii")
        return bytes((DOMAIN, len(name))) + name + port.to_bytes(2, "big")
    return (b"\x00" if host.version == 4 else b"\x01") + host.packed + port.to_bytes(2, "big")


def decode_frame(cursor: Cursor) -> Frame:
    """Read a frame that carries its address. Raises ProtocolError for the address."""
    return Frame(decode_address(cursor), decode_connected(cursor))


def decode_connected(cursor: Cursor) -> bytes:
    """Read a frame without an address: its datagram. There is none that is wrong."""
    return cursor.take(cursor.u16())


def encode_frame(frame: Frame) -> bytes:
    """Write a frame that carries its address. Too long a datagram or domain raises an OverflowError or ValueError."""
    return encode_address(frame.address) + encode_connected(frame.payload)


def encode_connected(payload: bytes) -> bytes:
    """Write a frame without an address. A datagram of more than 65,535 octets raises OverflowError."""
    return len(payload).to_bytes(2, "big") + payload
