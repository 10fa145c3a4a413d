"""Small databases in MaxMind's format, made by hand: https://maxmind.github.io/MaxMind-DB/, with records of 24 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_SEPARATOR = 16


class _U16(int):
    """A number of 16 bits."""


class _U64(int):
    """A number of 64 bits."""


def mmdb(kind: str, networks: Mapping[str, Any], languages: Sequence[str] = ()) -> bytes:
    """A database of this type: from networks, none inside another, to records of text, numbers, lists and tables."""
    tree: list[list[Any]] = [[None, None]]
    data = b""
    for text, record in networks.items():
        network = ip_network(text)
        bits = f"{int(network.network_address):0{network.max_prefixlen}b}"[: network.prefixlen]
        if network.version == 4:
            bits = "0" * 96 + bits
        node = 0
        for bit in map(int, bits[:-1]):
            if tree[node][bit] is None:
                tree.append([None, None])
                tree[node][bit] = len(tree) - 1
            node = tree[node][bit]
        tree[node][int(bits[-1])] = -1 - len(data)  # a place among the data
        data += _value(record)
    count = len(tree)
    packed = b"".join(_pointer(side, count).to_bytes(3, "big") for node in tree for side in node)
    about = {
        "binary_format_major_version": _U16(2), "binary_format_minor_version": _U16(0), "build_epoch": _U64(1),
        "database_type": kind, "description": {}, "ip_version": _U16(6), "languages": list(languages),
        "node_count": count, "record_size": _U16(24),
    }  # fmt: skip
    return packed + bytes(_SEPARATOR) + data + _MARKER + _value(about)


def _pointer(side: int | None, count: int) -> int:
    if side is None:
        return count
    return side if side >= 0 else count + _SEPARATOR - 1 - side


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return _head(2, len(raw)) + raw
    if isinstance(value, dict):
        return _head(7, len(value)) + b"".join(_value(each) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(map(_value, value))
    number: bytes = value.to_bytes((value.bit_length() + 7) // 8, "big")
    kind = 5 if isinstance(value, _U16) else 9 if isinstance(value, _U64) or len(number) > 4 else 6
    return _head(kind, len(number)) + number


def _head(kind: int, size: int) -> bytes:
    assert size < 29 + 256, "small ones only"
    first = min(size, 29)
    more = bytes([size - 29]) if size >= 29 else b""
    return (bytes([kind << 5 | first]) if kind <= 7 else bytes([first, kind - 7])) + more
