r"""The PROXY protocol, versions 1 and 2: how a proxy tells the next server who its client is.

HAProxy's `doc/proxy-protocol.txt`. The header comes before the first byte of the payload, and both versions begin with
something that no other protocol begins with.

Version 1 is one line of text, 107 octets at most with its end:

    PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n
    PROXY UNKNOWN anything\r\n

Version 2 is binary:

    +---------------------------+---------+----------+--------+----------------------------------------+-------------+
    | \r\n\r\n\0\r\nQUIT\n      | ver cmd | fam prot | length | addresses                              | TLVs        |
    +---------------------------+---------+----------+--------+----------------------------------------+-------------+
    | 12                        | 4b  4b  | 4b  4b   | 2      | IPv4 12, IPv6 36, unix 216, unspec 0   | the rest    |

    cmd 0 = LOCAL (the proxy speaks for itself), 1 = PROXY.  fam 0 = unspec, 1 = IPv4, 2 = IPv6, 3 = unix.
    prot 0 = unspec, 1 = stream, 2 = datagram.  IP addresses: source, destination, source port, destination port.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from gproxy.base.address import IP, Address, ip_from_packed, parse_ip, parse_port
from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.base.session import Network
from gproxy.wire.cursor import Cursor, Incomplete

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
MAX_V1 = 107
# What a version 2 header may carry after its 16 fixed octets. The addresses take 216 at most; the largest TLV that is
# in use is a client certificate, and HAProxy itself needs the whole header in one buffer of 16 KiB.
MAX_V2_BODY = 8192
MAX_HEADER = len(SIGNATURE) + 4 + MAX_V2_BODY

_PREFIX_V1 = b"PROXY "
_ADDRESS_LENGTH = {0: 0, 1: 12, 2: 36, 3: 216}
_NETWORKS: dict[int, Network] = {1: "tcp", 2: "udp"}


class ProxyHeader(NamedTuple):
    """What a header told. Both addresses are None where it named none: the connection's own addresses stand then."""

    source: Address | None = None
    destination: Address | None = None
    network: Network = "tcp"


NOBODY = ProxyHeader()
"""A header without addresses: LOCAL, UNKNOWN, unspecified, or a unix socket's."""


def decode_proxy_header(cursor: Cursor) -> ProxyHeader:
    """Read a header of either version. Raises ProtocolError for anything else, as early as it can be told."""
    first = cursor.u8()
    cursor.at -= 1
    if first == _PREFIX_V1[0]:
        return decode_v1(cursor)
    return decode_v2(cursor)


def decode_v1(cursor: Cursor) -> ProxyHeader:
    """Read a version 1 line. Raises ProtocolError, and TooLarge for a line past 107 octets."""
    _expect(cursor, _PREFIX_V1)
    line = cursor.until(b"\r\n", MAX_V1 - len(_PREFIX_V1) - 2)
    fields = line.split(b" ")
    if fields[0] == b"UNKNOWN":
        return NOBODY
    if len(fields) != 5 or fields[0] not in (b"TCP4", b"TCP6"):
        raise ProtocolError("a PROXY line must have the form `PROXY TCP4|TCP6 source destination port port`")
    try:
        family, source, destination, source_port, destination_port = (field.decode("ascii") for field in fields)
        return ProxyHeader(
            Address(_ip_of(family, source), _canonical_port(source_port)),
            Address(_ip_of(family, destination), _canonical_port(destination_port)),
        )
    except ValueError as error:
        raise ProtocolError(f"bad PROXY line: {error}") from error


def decode_v2(cursor: Cursor) -> ProxyHeader:
    """Read a version 2 header and skip its TLVs. Raises ProtocolError, and TooLarge for an oversized one."""
    _expect(cursor, SIGNATURE)
    version_command, family_protocol, length = cursor.u8(), cursor.u8(), cursor.u16()
    family, protocol = family_protocol >> 4, family_protocol & 15
    if version_command not in (0x20, 0x21):
        raise ProtocolError(f"PROXY version and command 0x{version_command:02x}")
    if family not in _ADDRESS_LENGTH or protocol > 2:
        raise ProtocolError(f"PROXY address family and protocol 0x{family_protocol:02x}")
    if length > MAX_V2_BODY:
        raise TooLarge(f"PROXY header of {length} octets")
    body = cursor.take(length)
    if version_command == 0x20:  # LOCAL: whatever follows is to be skipped, even an address block that is too short
        return NOBODY
    if length < _ADDRESS_LENGTH[family]:
        raise ProtocolError("PROXY header too short for its addresses")
    if family not in (1, 2) or protocol == 0:
        return NOBODY
    return _ip_header(body, 4 if family == 1 else 16, _NETWORKS[protocol])


def encode_v1(source: Address | None, destination: Address | None) -> bytes:
    """Write a version 1 line for a TCP connection. Without two IP addresses it says UNKNOWN."""
    pair = _same_family(source, destination)
    if pair is None:
        return b"PROXY UNKNOWN\r\n"
    one, other = pair
    family = "TCP4" if one.host.version == 4 else "TCP6"
    return f"PROXY {family} {one.host} {other.host} {one.port} {other.port}\r\n".encode("ascii")


def encode_v2(source: Address | None, destination: Address | None, network: Network = "tcp") -> bytes:
    """Write a version 2 header. Without two IP addresses its family is unspecified."""
    pair = _same_family(source, destination)
    if pair is None:
        return SIGNATURE + b"\x21\x00\x00\x00"
    one, other = pair
    family = 1 if one.host.version == 4 else 2
    body = one.host.packed + other.host.packed + one.port.to_bytes(2, "big") + other.port.to_bytes(2, "big")
    fixed = bytes((0x21, family << 4 | (1 if network == "tcp" else 2))) + len(body).to_bytes(2, "big")
    return SIGNATURE + fixed + body


def _expect(cursor: Cursor, opening: bytes) -> None:
    """Use up `opening`, or refuse the first octet that differs without waiting for the others."""
    there = cursor.take(min(len(opening), cursor.left()))
    if not opening.startswith(there):
        raise ProtocolError("no PROXY protocol header")
    if len(there) < len(opening):
        raise Incomplete


def _ip_header(body: bytes, size: int, network: Network) -> ProxyHeader:
    ports = 2 * size
    return ProxyHeader(
        Address(ip_from_packed(body[:size]), int.from_bytes(body[ports : ports + 2], "big")),
        Address(ip_from_packed(body[size:ports]), int.from_bytes(body[ports + 2 : ports + 4], "big")),
        network,
    )


def _ip_of(family: str, text: str) -> IP:
    if (":" in text) != (family == "TCP6") or "%" in text:
        raise ValueError(f"not an address of {family}: {text!r}")
    return parse_ip(text)


def _canonical_port(text: str) -> int:
    port = parse_port(text)
    if text != str(port):
        raise ValueError(f"not a port number in canonical form: {text!r}")
    return port


class _End(NamedTuple):
    host: IP
    port: int


def _same_family(source: Address | None, destination: Address | None) -> tuple[_End, _End] | None:
    """Both ends in one address family, IPv4 becoming IPv4-mapped where they differ; None where one is no IP address."""
    if source is None or destination is None or isinstance(source.host, str) or isinstance(destination.host, str):
        return None
    one, other = _End(source.host, source.port), _End(destination.host, destination.port)
    if one.host.version == other.host.version:
        return one, other
    return _as_ipv6(one), _as_ipv6(other)


def _as_ipv6(end: _End) -> _End:
    ip = end.host
    return _End(IPv6Address(b"\0" * 10 + b"\xff\xff" + ip.packed), end.port) if isinstance(ip, IPv4Address) else end
