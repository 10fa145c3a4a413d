"""Netlink, as far as facts about clients and this machine are asked for: linux/netlink.h and what builds on it.

    message:   length 4 | type 2 | flags 2 | sequence 4 | port 4 | body, padded to a multiple of 4
    attribute: length 2 | type 2 | value, padded to a multiple of 4

Numbers are in the machine's own order. Whatever breaks off is where a reader stops: nothing here raises for what comes
from outside.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from gproxy.base.address import IP, ip_from_packed

ROUTE, SOCK_DIAG, GENERIC = 0, 4, 16
"""Protocols of netlink: links, addresses, routes and neighbours; sockets; everything that has no number of its own."""

REQUEST, DUMP = 0x1, 0x301
"""Flags of a request: for one answer, and for all there are."""

ERROR, DONE = 2, 3
"""Types of messages that end an answer."""

NEW_LINK, GET_LINK = 16, 18
NEW_ADDRESS, GET_ADDRESS = 20, 22
NEW_ROUTE, GET_ROUTE = 24, 26
NEW_NEIGHBOUR, GET_NEIGHBOUR = 28, 30
SOCKET_BY_FAMILY = 20
CONTROL = 16
"""Types of messages."""

LOCAL_ROUTE = 2
"""The type of a route to an address of this machine."""

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_KIND = 0x3FFF  # of an attribute's type; what is above says how it is built
_FAMILY = {4: 2, 6: 10}

# inet_diag_req_v2 and inet_diag_msg of linux/inet_diag.h; the ports between them are in network order.
_DIAG_REQUEST = struct.Struct("=BBBxI")
_DIAG_PORTS = struct.Struct("!HH")
_DIAG_REST = struct.Struct("=I8s")
_DIAG_ANSWER = struct.Struct("=II")
_DIAG_SIZE = 72
_ANY_STATE = 0xFFFFFFFF

_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_GENERIC = struct.Struct("=BBxx")

_NO_MAC = 0x20 | 0x01  # states of a neighbour: failed, incomplete


def message(kind: int, flags: int, body: bytes, sequence: int = 1) -> bytes:
    """A message of its own."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The messages of one datagram: type, sequence, body."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            return
        yield kind, sequence, data[at + _HEADER.size : at + length]
        at += _padded(length)


def error_of(body: bytes) -> int:
    """The number that an ERROR or a DONE carries: of errno.h, or 0."""
    return -int(struct.unpack_from("=i", body)[0]) if len(body) >= 4 else 0


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute with its padding."""
    return (_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value).ljust(_padded(4 + len(value)), b"\0")


def attributes(body: bytes, at: int = 0) -> dict[int, bytes]:
    """The attributes from `at` on, by type; of two of a type the last."""
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size or at + length > len(body):
            break
        found[kind & _KIND] = body[at + _ATTRIBUTE.size : at + length]
        at += _padded(length)
    return found


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _number(value: bytes | None) -> int:
    return int(struct.unpack("=I", value)[0]) if value is not None and len(value) == 4 else 0


def _ip(value: bytes | None) -> IP | None:
    return ip_from_packed(value) if value is not None and len(value) in {4, 16} else None


def _text(value: bytes | None) -> str:
    return (value or b"").split(b"\0")[0].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class SocketFacts:
    """What sock_diag tells of a socket of this machine."""

    port: int  # its own
    peer_port: int  # 0: it is not connected
    user_id: int
    inode: int
    address: IP | None  # its own


def find_socket(protocol: int, local: IP, port: int, remote: IP, remote_port: int) -> bytes:
    """The body of SOCKET_BY_FAMILY for the socket of these two addresses. In a dump ports of 0 stand for all.

    `protocol` is IP's number of it: 6 TCP, 17 UDP. Both addresses are of one family.
    """
    head = _DIAG_REQUEST.pack(_FAMILY[local.version], protocol, 0, _ANY_STATE)
    addresses = local.packed.ljust(16, b"\0") + remote.packed.ljust(16, b"\0")
    return head + _DIAG_PORTS.pack(port, remote_port) + addresses + _DIAG_REST.pack(0, b"\xff" * 8)


def read_socket(body: bytes) -> SocketFacts | None:
    """The answer to `find_socket`."""
    if len(body) < _DIAG_SIZE:
        return None
    port, peer_port = _DIAG_PORTS.unpack_from(body, 4)
    user_id, inode = _DIAG_ANSWER.unpack_from(body, 64)
    address = body[8:12] if body[0] == _FAMILY[4] else body[8:24]
    return SocketFacts(port, peer_port, user_id, inode, ip_from_packed(address))


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """A route."""

    kind: int  # LOCAL_ROUTE, or another
    interface: int  # index of a link; 0: none
    to_all: bool  # whether it is for every address
    priority: int
    table: int


MAIN_TABLE = 254

UNICAST = 1
"""The type of a route that leads elsewhere."""


def find_route(to: IP) -> bytes:
    """The body of GET_ROUTE for the route to an address."""
    bits = len(to.packed) * 8
    return _ROUTE.pack(_FAMILY[to.version], bits, 0, 0, 0, 0, 0, 0, 0) + attribute(1, to.packed)


def all_routes(version: int) -> bytes:
    """The body of GET_ROUTE, in a dump, for all of a family: 4 or 6."""
    return _ROUTE.pack(_FAMILY[version], 0, 0, 0, MAIN_TABLE, 0, 0, 0, 0)


def read_route(body: bytes) -> RouteFacts | None:
    """The body of NEW_ROUTE."""
    if len(body) < _ROUTE.size:
        return None
    _, to_bits, _, _, table, _, _, kind, _ = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    link = found.get(4)
    if link is None and 9 in found:  # several ways: the first one, whose index follows its own length and flags
        link = found[9][4:8]
    return RouteFacts(kind, _number(link), to_bits == 0, _number(found.get(6)), _number(found.get(15)) or table)


def find_neighbour(ip: IP, interface: int) -> bytes:
    """The body of GET_NEIGHBOUR for one neighbour on a link."""
    return _NEIGHBOUR.pack(_FAMILY[ip.version], interface, 0, 0, 0) + attribute(1, ip.packed)


def all_neighbours() -> bytes:
    """The body of GET_NEIGHBOUR, in a dump, for both families."""
    return _NEIGHBOUR.pack(0, 0, 0, 0, 0)


def read_neighbour(body: bytes) -> tuple[IP, str] | None:
    """The body of NEW_NEIGHBOUR: its address, and its MAC address in lower case with colons, if that is known."""
    if len(body) < _NEIGHBOUR.size:
        return None
    state = _NEIGHBOUR.unpack_from(body)[2]
    found = attributes(body, _NEIGHBOUR.size)
    ip, mac = _ip(found.get(1)), found.get(2, b"")
    if ip is None or len(mac) != 6 or state & _NO_MAC:
        return None
    return ip, mac.hex(":")


def all_links() -> bytes:
    """The body of GET_LINK, in a dump."""
    return _LINK.pack(0, 0, 0, 0, 0)


def read_link(body: bytes) -> tuple[int, str] | None:
    """The body of NEW_LINK: its index and its name."""
    if len(body) < _LINK.size:
        return None
    name = _text(attributes(body, _LINK.size).get(3))
    return (_LINK.unpack_from(body)[2], name) if name else None


def all_addresses() -> bytes:
    """The body of GET_ADDRESS, in a dump, for both families."""
    return _ADDRESS.pack(0, 0, 0, 0, 0)


def read_address(body: bytes) -> tuple[int, IPv4Address | IPv6Address, int] | None:
    """The body of NEW_ADDRESS: the link's index, the machine's address on it, and how many bits all there share."""
    if len(body) < _ADDRESS.size:
        return None
    _, bits, _, _, index = _ADDRESS.unpack_from(body)
    found = attributes(body, _ADDRESS.size)
    raw = found.get(2, found.get(1, b""))  # on a point-to-point link the second is the peer's
    if len(raw) not in {4, 16} or bits > len(raw) * 8:
        return None
    return index, IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw), bits


def find_family(name: str) -> bytes:
    """The body of a message of type CONTROL: which number has this family of the generic protocol."""
    return _GENERIC.pack(3, 1) + attribute(2, name.encode() + b"\0")


def read_family(body: bytes) -> int:
    """The answer to `find_family`; 0 if it tells none."""
    number = attributes(body, _GENERIC.size).get(1, b"")
    return int(struct.unpack("=H", number)[0]) if len(number) == 2 else 0


@dataclass(frozen=True, slots=True)
class Wifi:
    """A wireless network that a link is part of. A name that is no UTF-8 has replacement characters."""

    ssid: str
    bssid: str  # lower-case with colons


_GET_INTERFACES, _NEW_INTERFACE, _GET_SCAN, _NEW_SCAN = 5, 7, 32, 34


def wireless_links() -> bytes:
    """The body, in a dump, of a message to the family `nl80211`: all wireless links."""
    return _GENERIC.pack(_GET_INTERFACES, 0)


def read_wireless_link(body: bytes) -> int:
    """The answer to `wireless_links`: the index of a link; 0 if it tells none."""
    return _number(attributes(body, _GENERIC.size).get(3)) if body[:1] == bytes([_NEW_INTERFACE]) else 0


def networks_of(interface: int) -> bytes:
    """The body, in a dump, of a message to the family `nl80211`: the networks that a link has met."""
    return _GENERIC.pack(_GET_SCAN, 0) + attribute(3, struct.pack("=I", interface))


def read_network(body: bytes) -> Wifi | None:
    """The answer to `networks_of`: one that the link is part of, and none of the others."""
    if body[:1] != bytes([_NEW_SCAN]):
        return None
    met = attributes(attributes(body, _GENERIC.size).get(47, b""))
    if _number(met.get(9)) not in {1, 2} or 9 not in met or len(met.get(1, b"")) != 6:  # associated, or joined ad hoc
        return None
    return Wifi(_ssid(met.get(6, b"")), met[1].hex(":"))


def _ssid(elements: bytes) -> str:
    """The name of a network among the elements of its beacon: number 0, of IEEE 802.11 section 9.4.2."""
    at = 0
    while at + 2 <= len(elements):
        kind, length = elements[at], elements[at + 1]
        if kind == 0:
            return elements[at + 2 : at + 2 + length].decode(errors="replace")
        at += 2 + length
    return ""
