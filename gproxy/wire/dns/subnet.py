"""The client-subnet option of EDNS: from where a question comes, so that the answer can be one nearby (RFC 7871).

    0        2               3              4
    +--------+---------------+--------------+-----------------------------------------+
    | family | source prefix | scope prefix | address, as many octets as the prefix has |
    +--------+---------------+--------------+-----------------------------------------+

Family 1 is IPv4, 2 is IPv6. The bits behind the prefix are zero. In queries the scope is 0; in answers it says for how
large a network the answer is good.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from gproxy.base.errors import ProtocolError
from gproxy.wire.cursor import Cursor
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns

Network = IPv4Network | IPv6Network

MAX_SUBNET = 4 + 16
"""Octets of the longest option."""

_HEAD = struct.Struct("!HBB")


class Subnet(NamedTuple):
    """What the option says."""

    network: Network
    scope: int = 0


def parse_subnet(text: str) -> Network:
    """The network that a configuration names: one in CIDR notation, or an address alone. Raises ValueError."""
    return ip_network(text, strict=False)


def encode_subnet(subnet: Subnet) -> bytes:
    """The option's data. A scope that no prefix has raises ValueError."""
    network, scope = subnet
    if not 0 <= scope <= network.max_prefixlen:
        raise ValueError(f"not a prefix length: {scope}")
    octets = (network.prefixlen + 7) // 8
    family = 1 if network.version == 4 else 2
    return _HEAD.pack(family, network.prefixlen, scope) + network.network_address.packed[:octets]


def decode_subnet(cursor: Cursor) -> Subnet:
    """Read the option's data. Raises ProtocolError, also for bits behind the prefix."""
    family, source, scope = cursor.u16(), cursor.u8(), cursor.u8()
    if family not in (1, 2):
        raise ProtocolError(f"a client subnet of family {family}")
    size = 4 if family == 1 else 16
    if max(source, scope) > 8 * size:
        raise ProtocolError("a client subnet whose prefix is too long")
    octets = cursor.take((source + 7) // 8)
    try:
        network: Network = (IPv4Network if family == 1 else IPv6Network)((octets.ljust(size, b"\0"), source))
    except ValueError as error:
        raise ProtocolError("a client subnet with bits behind its prefix") from error
    return Subnet(network, scope)


def subnet_of(edns: Edns | None) -> Subnet | None:
    """The client subnet that a message names, if it does. Raises ProtocolError for a bad or a second one."""
    found = [data for code, data in edns.options if code == types.CLIENT_SUBNET] if edns is not None else []
    if not found:
        return None
    if len(found) > 1 or not _HEAD.size <= len(found[0]) == _HEAD.size + (found[0][2] + 7) // 8:
        raise ProtocolError("a bad client subnet")
    return decode_subnet(Cursor(found[0]))


def with_subnet(edns: Edns | None, network: Network) -> Edns:
    """The same with this client subnet, and no other."""
    edns = without_subnet(edns) or Edns()
    return edns._replace(options=(*edns.options, (types.CLIENT_SUBNET, encode_subnet(Subnet(network)))))


def without_subnet(edns: Edns | None) -> Edns | None:
    """The same without a client subnet."""
    if edns is None or all(code != types.CLIENT_SUBNET for code, _ in edns.options):
        return edns
    return edns._replace(options=tuple([option for option in edns.options if option[0] != types.CLIENT_SUBNET]))
