r"""The Trojan protocol: trojan-gfw.github.io/trojan/protocol. All of it is said inside TLS.

+-----------------------+------+---------+----------------+------+----------
| hex(SHA224(password)) | CRLF | command | SOCKS5 address | CRLF | payload
+-----------------------+------+---------+----------------+------+----------
|          56           |  2   |    1    |    variable    |  2   |

Hexadecimal digits are in lower case. Command 1 is CONNECT: what follows is the target's. Command 3 is UDP ASSOCIATE:
what follows is datagrams, and so is what comes back. Command 0x7f, an extension of trojan-go's, is a link of streams by
smux, whatever its address; each of them begins with a request, without CRLF.

+----------------+--------+------+----------
| SOCKS5 address | length | CRLF | datagram
+----------------+--------+------+----------
|    variable    |   2    |  2   |  length

The address is where the datagram goes to, or where it comes from.

A server says nothing to a request: its first byte is the target's. Nor does it say anything to what is none: that goes
on, as it came, to a server of another kind.
"""

from __future__ import annotations

from hashlib import sha224
from typing import NamedTuple

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError, Unsupported
from gproxy.wire.cursor import Cursor, Incomplete
from gproxy.wire.socksaddr import MAX_ADDRESS, decode_address, encode_address

CONNECT, UDP_ASSOCIATE, MULTIPLEX = 1, 3, 0x7F

KEY_SIZE = 56
MAX_OPENING = KEY_SIZE + 2
"""Octets of the key and its CRLF."""

MAX_REQUEST = 1 + MAX_ADDRESS + 2
"""Octets of the longest request, after the key."""

MAX_PACKET = MAX_ADDRESS + 2 + 2 + 65535
"""Octets of the longest packet."""

_CRLF = b"\r\n"
_DIGITS = b"0123456789abcdef"


class Request(NamedTuple):
    """What a client asks for: CONNECT, UDP_ASSOCIATE or MULTIPLEX."""

    command: int
    target: Address


class Packet(NamedTuple):
    """A datagram, and where it goes to or comes from."""

    address: Address
    payload: bytes


def key_of(password: str) -> bytes:
    """What a client says for its password."""
    return sha224(password.encode()).hexdigest().encode()


def decode_key(cursor: Cursor) -> bytes:
    """Read a client's key and the CRLF after it. Raises ProtocolError at the first octet that is none of theirs."""
    key = bytes(cursor.data[cursor.at : cursor.at + KEY_SIZE])
    if key.translate(None, _DIGITS):
        raise ProtocolError("not Trojan")
    cursor.at += len(key)
    if len(key) < KEY_SIZE:
        raise Incomplete
    _crlf(cursor)
    return key


def encode_key(key: bytes) -> bytes:
    """Write a client's key."""
    return key + _CRLF


def decode_request(cursor: Cursor) -> Request:
    """Read what follows the key. Raises Unsupported for a command or an address type, ProtocolError for the rest."""
    request = Request(_command(cursor, (CONNECT, UDP_ASSOCIATE, MULTIPLEX)), decode_address(cursor))
    _crlf(cursor)
    return request


def decode_stream_request(cursor: Cursor) -> Request:
    """Read what a link's stream is for. Raises Unsupported for a command or an address type, ProtocolError for the
    rest.
    """
    return Request(_command(cursor, (CONNECT, UDP_ASSOCIATE)), decode_address(cursor))


def _command(cursor: Cursor, known: tuple[int, ...]) -> int:
    command = cursor.u8()
    if command not in known:
        raise Unsupported(f"Trojan command {command}", reason="command")
    return command


def encode_stream_request(request: Request) -> bytes:
    """Write what a link's stream is for. A domain longer than 255 octets raises ValueError."""
    return bytes((request.command,)) + encode_address(request.target)


def encode_request(request: Request) -> bytes:
    """Write what follows the key. A domain longer than 255 octets raises ValueError."""
    return encode_stream_request(request) + _CRLF


def decode_packet(cursor: Cursor) -> Packet:
    """Read a packet. Raises Unsupported for an unknown address type, ProtocolError for a bad domain or no CRLF."""
    address = decode_address(cursor)
    size = cursor.u16()
    _crlf(cursor)
    return Packet(address, cursor.take(size))


def encode_packet(packet: Packet) -> bytes:
    """Write a packet. Too long a datagram or domain raises an OverflowError or ValueError."""
    return encode_address(packet.address) + encode_length(len(packet.payload)) + packet.payload


def encode_length(size: int) -> bytes:
    """What stands between a packet's address and its datagram."""
    return size.to_bytes(2, "big") + _CRLF


def _crlf(cursor: Cursor) -> None:
    there = cursor.take(min(2, cursor.left()))
    if not _CRLF.startswith(there):
        raise ProtocolError("no CRLF where Trojan has one")
    if len(there) < 2:
        raise Incomplete
