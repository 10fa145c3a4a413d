"""The messages of SOCKS 4, 4a and 5.

SOCKS5 is RFC 1928, its password RFC 1929. SOCKS4 and 4a are only in the notes of their authors (Koblas; Lee).

    SOCKS4   request   04 | command 1 | port 2 | IPv4 4 | user id … 00          reply   00 | code 1 | port 2 | IPv4 4
    SOCKS4a  request   the same with IPv4 0.0.0.x (x not 0), then   domain … 00

    SOCKS5   greeting  05 | count 1 | methods                                   answer  05 | method 1
             password  01 | length 1 | name | length 1 | password               answer  01 | status 1 (0 = welcome)
             request   05 | command 1 | 00 | address (wire.socksaddr)           reply   05 | code 1 | 00 | address
             datagram  00 00 | fragment 1 | address | payload                   both ways
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from gproxy.base.address import UNSPECIFIED, Address
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import address_from_packed, decode_address, encode_address, host_from_name

CONNECT, BIND, UDP_ASSOCIATE = 1, 2, 3
NO_AUTH, PASSWORD, NO_METHOD = 0, 2, 0xFF
GRANTED4, REJECTED4 = 90, 91

# Neither text of SOCKS4 has a limit; user ids are login names, and the domains of 4a fit in 255 octets as in SOCKS5.
MAX_TEXT = 255
MAX_MESSAGE = 1024
"""Octets that are read at most to find the end of one message; the longest is 8 + 256 + 256 (SOCKS4a)."""

_HEAD_IPV4 = b"\0\0\0\x01"


class Request(NamedTuple):
    """What a client asks for. The user id is SOCKS4's."""

    command: int
    target: Address
    userid: bytes = b""


class Answer(NamedTuple):
    """What a server says to a request: its code, and its own address for what it opened."""

    code: int
    bound: Address = UNSPECIFIED


# -- SOCKS4 ----------------------------------------------------------------------------------------------------------


def decode_request4(cursor: Cursor) -> Request:
    """Read a SOCKS4 or 4a request. Raises ProtocolError for a bad domain, TooLarge for an endless text."""
    _expect(cursor, 4, "a SOCKS4 request")
    command = cursor.u8()
    port, ip = cursor.take(2), cursor.take(4)
    userid = cursor.until(b"\0", MAX_TEXT)
    if ip[:3] == b"\0\0\0" and ip[3]:
        host = host_from_name(cursor.until(b"\0", MAX_TEXT))
        return Request(command, Address(host, int.from_bytes(port, "big")), userid)
    return Request(command, address_from_packed(ip + port), userid)


def encode_request4(command: int, target: Address, userid: bytes = b"") -> bytes:
    """Write a SOCKS4 request, or a SOCKS4a one for everything that is no IPv4 address: IPv6 goes as its text."""
    host, port = target
    head = bytes((4, command)) + port.to_bytes(2, "big")
    if isinstance(host, IPv4Address):
        return head + host.packed + userid + b"\0"
    return head + b"\0\0\0\x01" + userid + b"\0" + str(host).encode("ascii") + b"\0"


def decode_reply4(cursor: Cursor) -> Answer:
    """Read a SOCKS4 reply. Its first octet is 0; some servers repeat the version instead."""
    version, code = cursor.u8(), cursor.u8()
    if version not in (0, 4):
        raise ProtocolError(f"a SOCKS4 reply of version {version}")
    port, ip = cursor.take(2), cursor.take(4)
    return Answer(code, address_from_packed(ip + port))


def encode_reply4(code: int, bound: Address = UNSPECIFIED) -> bytes:
    """Write a SOCKS4 reply. It has no room for an address other than IPv4: zeros stand for those."""
    host, port = bound
    if isinstance(host, IPv4Address):
        return bytes((0, code)) + port.to_bytes(2, "big") + host.packed
    return bytes((0, code, 0, 0, 0, 0, 0, 0))


# -- SOCKS5 ----------------------------------------------------------------------------------------------------------


def decode_greeting(cursor: Cursor) -> bytes:
    """Read the methods that a client offers, one octet each."""
    _expect(cursor, 5, "a SOCKS5 greeting")
    return cursor.take(cursor.u8())


def encode_greeting(method: int) -> bytes:
    """Offer one method."""
    return bytes((5, 1, method))


def decode_method(cursor: Cursor) -> int:
    """Read which method the server chose."""
    _expect(cursor, 5, "a SOCKS5 greeting's answer")
    return cursor.u8()


def encode_method(method: int) -> bytes:
    """Choose a method, or none with NO_METHOD."""
    return bytes((5, method))


def decode_password(cursor: Cursor) -> tuple[bytes, bytes]:
    """Read a user name and a password. RFC 1929 wants an octet of each at least, yet clients do send empty ones."""
    _expect(cursor, 1, "a SOCKS5 password message")
    name = cursor.take(cursor.u8())
    return name, cursor.take(cursor.u8())


def encode_password(name: bytes, password: bytes) -> bytes:
    """Write a user name and a password, 255 octets each at most: ValueError beyond."""
    return bytes((1, len(name))) + name + bytes((len(password),)) + password


def decode_welcome(cursor: Cursor) -> bool:
    """Read whether the password was right."""
    _expect(cursor, 1, "a SOCKS5 password answer")
    return cursor.u8() == 0


def encode_welcome(welcome: bool) -> bytes:
    """Say whether the password was right."""
    return b"\x01\x00" if welcome else b"\x01\x01"


def decode_request5(cursor: Cursor) -> Request:
    """Read a SOCKS5 request. Raises Unsupported for an unknown address type, ProtocolError for a bad domain."""
    version, command, _reserved = cursor.take(3)
    if version != 5:
        raise ProtocolError(f"a SOCKS5 request of version {version}")
    return Request(command, decode_address(cursor))


def encode_request5(command: int, target: Address) -> bytes:
    """Write a SOCKS5 request."""
    return bytes((5, command, 0)) + encode_address(target)


def decode_reply5(cursor: Cursor) -> Answer:
    """Read a SOCKS5 reply. A refusal ends with its code: nothing after it matters, and some servers leave it away."""
    _expect(cursor, 5, "a SOCKS5 reply")
    code = cursor.u8()
    if code:
        return Answer(code)
    cursor.u8()
    return Answer(code, decode_address(cursor))


def encode_reply5(code: int, bound: Address = UNSPECIFIED) -> bytes:
    """Write a SOCKS5 reply."""
    return bytes((5, code, 0)) + encode_address(bound)


def decode_datagram(cursor: Cursor) -> Address:
    """Read the head of a UDP datagram; the payload is what is left. Raises Unsupported for a fragment."""
    data, at = cursor.data, cursor.at
    if data[at : at + 4] == _HEAD_IPV4 and len(data) >= at + 10:  # nearly every datagram, in half the time
        cursor.at = at + 10
        return address_from_packed(bytes(data[at + 4 : at + 10]))
    if cursor.take(3)[2]:
        raise Unsupported("a fragment of a SOCKS5 datagram", reason="fragment")
    return decode_address(cursor)


def encode_datagram_head(address: Address) -> bytes:
    """Write what stands before a datagram's payload."""
    return b"\0\0\0" + encode_address(address)


def _expect(cursor: Cursor, version: int, what: str) -> None:
    got = cursor.u8()
    if got != version:
        raise ProtocolError(f"{what} of version {got}")
