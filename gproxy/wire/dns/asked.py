"""A client's query as whoever serves it has to know it, without reading the whole message.

id | flags | 1 | 0 | 0 | 0 or 1 | name type class | 00 41 size ttl length options
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from gproxy.base.defaults import DNS_DATAGRAM
from gproxy.wire.dns import types
from gproxy.wire.dns.message import (
    CHECKING_DISABLED,
    HEAD,
    LEAST_SIZE,
    RECURSION_AVAILABLE,
    RECURSION_DESIRED,
    RESPONSE,
    Edns,
    encode_opt,
)
from gproxy.wire.dns.name import MAX_LABEL, MAX_NAME

_ONE_QUESTION: Final = b"\0\1\0\0\0\0"
_OPT: Final = b"\0\0\x29"
_OPT_HEAD: Final = 11
_REMEMBERED: Final = 16  # several look at a query, one after another

# RFC 8482 section 4.2: an answer to ANY that is short and stops further ones. Its time to live is that of a few hours.
_HINFO: Final = struct.pack("!HHHLH", 0xC00C, types.HINFO, types.IN, 3789, 9) + b"\x07RFC8482\0"


class Asked(NamedTuple):
    """Of a query with one question and at most an OPT record.

    `end`: where the question ends. `size`: the longest datagram that the client takes, as far as we send such ones.
    `edns`: there is an OPT record, and `options`: it holds something. `lower`: the name has no capital letters.
    """

    type: int
    end: int
    size: int
    edns: bool
    options: bool
    lower: bool


@lru_cache(_REMEMBERED)
def read_asked(query: bytes) -> Asked | None:
    """What a query is about; None for a message of any other kind."""
    if len(query) < HEAD + 5 or query[2] & 0xF8 or query[4:10] != _ONE_QUESTION:
        return None
    at = HEAD
    try:
        while length := query[at]:
            if length > MAX_LABEL:
                return None
            at += length + 1
    except IndexError:
        return None
    if at - HEAD >= MAX_NAME:
        return None
    end = at + 5
    name = query[HEAD:at]
    lower = name == name.lower()
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    if query[10:12] == b"\0\0":
        return Asked(kind, end, LEAST_SIZE, False, False, lower) if end == len(query) else None
    if query[10:12] != b"\0\1" or query[end : end + 3] != _OPT or len(query) < end + _OPT_HEAD:
        return None
    size = min(max(int.from_bytes(query[end + 3 : end + 5], "big"), LEAST_SIZE), DNS_DATAGRAM)
    options = int.from_bytes(query[end + 9 : end + 11], "big")
    if end + _OPT_HEAD + options != len(query):
        return None
    return Asked(kind, end, size, True, options > 0, lower)


def size_of(asked: Asked | None) -> int:
    """The longest datagram for who sent this."""
    return LEAST_SIZE if asked is None else asked.size


def without_subnet(query: bytes, asked: Asked) -> bytes:
    """The query without its client-subnet option (RFC 7871), if it has one."""
    if not asked.options:
        return query
    kept = b""
    at = asked.end + _OPT_HEAD
    while at + 4 <= len(query):
        code, size = int.from_bytes(query[at : at + 2], "big"), int.from_bytes(query[at + 2 : at + 4], "big")
        if code != types.CLIENT_SUBNET:
            kept += query[at : at + 4 + size]
        at += 4 + size
    if at != len(query):  # it can't be read, and is answered so
        return query
    return query[: asked.end + 9] + len(kept).to_bytes(2, "big") + kept


def minimal_any(query: bytes, asked: Asked) -> bytes:
    """The answer to a question for all that there is of a name: RFC 8482."""
    flags = int.from_bytes(query[2:4], "big") & (RECURSION_DESIRED | CHECKING_DISABLED) | RESPONSE | RECURSION_AVAILABLE
    opt = encode_opt(Edns(DNS_DATAGRAM)) if asked.edns else b""
    counts = b"\0\1\0\1\0\0\0\1" if opt else b"\0\1\0\1\0\0\0\0"
    return query[:2] + flags.to_bytes(2, "big") + counts + query[HEAD : asked.end] + _HINFO + opt


def sent_to_tcp(query: bytes, asked: Asked) -> bytes:
    """An answer with nothing but the word that it is cut off: who really asked comes back by TCP."""
    flags = int.from_bytes(query[2:4], "big") & (RECURSION_DESIRED | CHECKING_DISABLED) | RESPONSE | RECURSION_AVAILABLE
    opt = encode_opt(Edns(DNS_DATAGRAM)) if asked.edns else b""
    counts = b"\0\1\0\0\0\0\0\1" if opt else b"\0\1\0\0\0\0\0\0"
    return query[:2] + (flags | 0x0200).to_bytes(2, "big") + counts + query[HEAD : asked.end] + opt
