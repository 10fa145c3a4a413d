"""Answers that gproxy makes itself, from what it knows without asking a server."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from gproxy.base.address import IP
from gproxy.dns.iface import Ask
from gproxy.dns.servers.asked import question_of
from gproxy.wire.dns import types
from gproxy.wire.dns.name import encode_name

_HEAD = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHHIH")  # a pointer to the question's name, type, class, ttl, length
_NAME: Final = 0xC00C
_FLAGS: Final = 0x8580  # an answer, with authority, RD and RA

TTL: Final = 600
"""Seconds that a configured or a written-down address is good for; as in sing-box."""


def with_addresses(ask: Ask, addresses: Iterable[IP], ttl: int = TTL) -> bytes:
    """Those addresses that are of the type in question: NOERROR, even if there are none."""
    version = {types.A: 4, types.AAAA: 6}.get(ask.type)
    return _answer(ask, [ip.packed for ip in addresses if ip.version == version], ttl)


def with_names(ask: Ask, names: Iterable[str], ttl: int = TTL) -> bytes:
    """Names, for a question for PTR."""
    return _answer(ask, [encode_name(name) for name in names], ttl)


def with_nothing(ask: Ask, rcode: int = types.NOERROR) -> bytes:
    """No records: there are none of this type, or what the code says."""
    return _HEAD.pack(0, _FLAGS | rcode, 1, 0, 0, 0) + question_of(ask)


def _answer(ask: Ask, datas: list[bytes], ttl: int) -> bytes:
    records = [_RECORD.pack(_NAME, ask.type, types.IN, ttl, len(data)) + data for data in datas]
    return b"".join((_HEAD.pack(0, _FLAGS, 1, len(records), 0, 0), question_of(ask), *records))


def address_in(name: str) -> str:
    """The text of the address that a name below in-addr.arpa or ip6.arpa stands for; empty if it is none."""
    if name.endswith(".in-addr.arpa"):
        octets = name.removesuffix(".in-addr.arpa").split(".")
        good = len(octets) == 4 and all(each.isascii() and each.isdigit() and len(each) <= 3 for each in octets)
        return ".".join(reversed(octets)) if good else ""
    if name.endswith(".ip6.arpa"):
        digits = name.removesuffix(".ip6.arpa").replace(".", "")
        if len(digits) == 32 and len(name) == 63 + len(".ip6.arpa"):
            return ":".join(digits[::-1][at : at + 4] for at in range(0, 32, 4))
    return ""
