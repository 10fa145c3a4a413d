"""Databases as others write them, made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from gproxy.route.formats.binary import prefixed, uvarint


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return uvarint(number << 3) + uvarint(value)
    return uvarint(number << 3 | 2) + prefixed(value)


def geosite_dat(lists: Mapping[str, Sequence[tuple[int, str, Sequence[str]]]]) -> bytes:
    """v2ray's geosite.dat: by code, domains as a type, a value and attributes."""
    out = b""
    for code, domains in lists.items():
        entry = field(1, code.encode())
        for kind, value, attributes in domains:
            has = b"".join(field(3, field(1, each.encode()) + field(2, 1)) for each in attributes)
            entry += field(2, (field(1, kind) if kind else b"") + field(2, value.encode()) + has)
        out += field(1, entry)
    return out


def geoip_dat(lists: Mapping[str, Sequence[str]], inverted: Sequence[str] = ()) -> bytes:
    """v2ray's geoip.dat: by code, prefixes."""
    out = b""
    for code, prefixes in lists.items():
        entry = field(1, code.encode())
        for network in map(ip_network, prefixes):
            entry += field(2, field(1, network.network_address.packed) + field(2, network.prefixlen))
        out += field(1, entry + (field(3, 1) if code in inverted else b""))
    return out
