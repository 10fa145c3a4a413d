"""DHCP as far as it tells who answers names: RFC 2131, RFC 2132, RFC 3397.

op 1 | htype 1 | hlen 6 | hops 0 | transaction 4 | secs 2 | flags 2 | four addresses, 16
hardware address, 16 | server's name, 64 | file, 128 | 63 82 53 63 | options
option  code | length | data            0 is padding, 255 the end
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from gproxy.base.address import IP, ip_from_packed, parse_host
from gproxy.base.errors import ProtocolError

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68

OFFER: Final = 2
ACK: Final = 5

_DISCOVER: Final = 1
_HEAD: Final = struct.Struct("!BBBBIHH16x16s192x")
_COOKIE: Final = b"\x63\x82\x53\x63"
_ETHERNET: Final = 1
_BROADCAST: Final = 0x8000
_LARGEST: Final = 1472

_SERVERS, _DOMAIN, _LEASE, _KIND, _WANTED, _SIZE, _SEARCH, _END = 6, 15, 51, 53, 55, 57, 119, 255
_MOST_SERVERS: Final = 8
_MOST_DOMAINS: Final = 6
_MOST_LABELS: Final = 128


@dataclass(frozen=True, slots=True)
class Told:
    """What a server has told. `lease`: seconds for which that is so; 0 if it did not say."""

    transaction: int
    kind: int
    servers: tuple[IP, ...]
    search: tuple[str, ...]
    lease: int


def encode_discover(transaction: int, mac: bytes) -> bytes:
    """Ask who is there, on Ethernet, and what they would tell; answers shall be broadcast."""
    options = bytes((_KIND, 1, _DISCOVER, _WANTED, 4, _SERVERS, _DOMAIN, _LEASE, _SEARCH, _SIZE, 2))
    head = _HEAD.pack(1, _ETHERNET, len(mac), 0, transaction, 0, _BROADCAST, mac)
    return head + _COOKIE + options + _LARGEST.to_bytes(2, "big") + bytes((_END,))


def read_answer(data: bytes) -> Told:
    """What a server has answered. Raises ProtocolError."""
    if len(data) < _HEAD.size + len(_COOKIE) or data[0] != 2 or data[_HEAD.size : _HEAD.size + 4] != _COOKIE:
        raise ProtocolError("not an answer of a DHCP server")
    options = _options(data, _HEAD.size + 4)
    kind = options.get(_KIND, b"")
    if len(kind) != 1:
        raise ProtocolError("a DHCP message that doesn't say what it is")
    servers = options.get(_SERVERS, b"")
    if len(servers) % 4:
        raise ProtocolError("DHCP: addresses that are cut off")
    search = _search(options.get(_SEARCH, b"")) or _domains([options.get(_DOMAIN, b"").rstrip(b"\0")])
    lease = options.get(_LEASE, b"")
    return Told(
        int.from_bytes(data[4:8], "big"),
        kind[0],
        tuple(ip_from_packed(servers[at : at + 4]) for at in range(0, len(servers), 4))[:_MOST_SERVERS],
        search,
        int.from_bytes(lease, "big") if len(lease) == 4 else 0,
    )


def _options(data: bytes, at: int) -> dict[int, bytes]:
    """The options; one that comes several times is one that was too long (RFC 3396)."""
    options: dict[int, bytes] = {}
    while at < len(data) and data[at] != _END:
        if not data[at]:
            at += 1
            continue
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise ProtocolError("a DHCP option that is cut off")
        code, end = data[at], at + 2 + data[at + 1]
        options[code] = options.get(code, b"") + data[at + 2 : end]
        at = end
    return options


def _search(data: bytes) -> tuple[str, ...]:
    """Domains with pointers, which count from the option's beginning."""
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < _MOST_DOMAINS:
        labels, at = _labels(data, at)
        found.append(b".".join(labels))
    return _domains(found)


def _labels(data: bytes, at: int) -> tuple[list[bytes], int]:
    labels: list[bytes] = []
    end = -1
    for _ in range(_MOST_LABELS):
        if at >= len(data):
            raise ProtocolError("DHCP: a domain that is cut off")
        length = data[at]
        if length >= 0xC0:
            if at + 2 > len(data):
                raise ProtocolError("DHCP: a domain that is cut off")
            target = (length & 0x3F) << 8 | data[at + 1]
            end = at + 2 if end < 0 else end
            if target >= at:
                raise ProtocolError("DHCP: a pointer that leads forwards")
            at = target
        elif not length:
            return labels, at + 1 if end < 0 else end
        else:
            labels.append(data[at + 1 : at + 1 + length])
            at += 1 + length
    raise ProtocolError("DHCP: a domain without an end")


def _domains(texts: list[bytes]) -> tuple[str, ...]:
    """Those of them that are domains."""
    found: list[str] = []
    for text in texts:
        try:
            host = parse_host(text.decode("ascii"))
        except ValueError:
            continue
        if isinstance(host, str):
            found.append(host)
    return tuple(found)
