"""Service bindings, types SVCB and HTTPS (RFC 9460): addresses are hinted at beside those of A and AAAA.

+----------+--------+-----+--------+-------+-----
| priority | target | key | length | value | ...      keys in ascending order
+----------+--------+-----+--------+-------+-----
|    2     |  name  |  2  |   2    |
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from gproxy.base.address import IP, ip_from_packed
from gproxy.base.errors import ProtocolError
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message
from gproxy.wire.dns.name import skip_name

MANDATORY: Final = 0
IPV4_HINT: Final = 4
IPV6_HINT: Final = 6

_PARAMETER = struct.Struct("!HH")
_PRIORITY: Final = 2


def without_hints(message: Message, *, ipv4: bool = False, ipv6: bool = False) -> Message:
    """The same message without hints of IPv4 or IPv6 addresses. Raises ProtocolError for a bad record."""
    keys = ([IPV4_HINT] if ipv4 else []) + ([IPV6_HINT] if ipv6 else [])
    if all(record.type not in (types.SVCB, types.HTTPS) for record in message.answer + message.additional):
        return message
    answer, additional = (
        tuple(
            [
                record._replace(data=without_keys(record.data, keys))
                if record.type in (types.SVCB, types.HTTPS)
                else record
                for record in section
            ]
        )
        for section in (message.answer, message.additional)
    )
    return replace(message, answer=answer, additional=additional)


def without_keys(data: bytes, keys: Collection[int]) -> bytes:
    """A record's data without these parameters; what is gone isn't mandatory either. Raises ProtocolError."""
    at = skip_name(data, _PRIORITY)
    kept = [data[:at]]
    while at < len(data):
        if at + _PARAMETER.size > len(data):
            raise ProtocolError("a parameter that is cut off")
        key, length = _PARAMETER.unpack_from(data, at)
        end = at + _PARAMETER.size + length
        if end > len(data):
            raise ProtocolError("a parameter that is cut off")
        if key == MANDATORY:
            kept.append(_mandatory(data[at + _PARAMETER.size : end], keys))
        elif key not in keys:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def hints_of(data: bytes) -> Iterator[IP]:
    """The addresses that a record's data hints at. Raises ProtocolError."""
    at = skip_name(data, _PRIORITY)
    while at < len(data):
        if at + _PARAMETER.size > len(data):
            raise ProtocolError("a parameter that is cut off")
        key, length = _PARAMETER.unpack_from(data, at)
        at += _PARAMETER.size
        size = {IPV4_HINT: 4, IPV6_HINT: 16}.get(key)
        if at + length > len(data) or (size is not None and length % size):
            raise ProtocolError("a parameter that is cut off")
        if size is not None:
            yield from (ip_from_packed(data[each : each + size]) for each in range(at, at + length, size))
        at += length


def _mandatory(value: bytes, keys: Collection[int]) -> bytes:
    if len(value) % 2:
        raise ProtocolError("a bad list of mandatory parameters")
    left = b"".join([value[at : at + 2] for at in range(0, len(value), 2) if _number(value, at) not in keys])
    return _PARAMETER.pack(MANDATORY, len(left)) + left if left else b""


def _number(value: bytes, at: int) -> int:
    return int.from_bytes(value[at : at + 2], "big")
