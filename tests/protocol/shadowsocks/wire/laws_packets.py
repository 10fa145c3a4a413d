"""The laws of Decodes, for what is sealed in packets: these have no end but their own."""

from __future__ import annotations

import struct
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.protocol.shadowsocks.wire import packets, packets2022
from gproxy.wire.cursor import Cursor
from gproxy.wire.socksaddr import encode_address
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
PORT_0 = Address(V4.host, 0)
TIME = 1_750_000_000
SESSION = b"sess-ion"
LIMIT = 65_507

times, sessions, payloads = st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=8), st.binary(max_size=40)
places = addresses.filter(lambda address: address.port > 0)


def whole(read, cursor: Cursor):
    found = read(bytes(cursor.data), cursor.at)
    cursor.at = len(cursor.data)
    return found


def plain(payload: bytes, address: Address) -> bytes:
    return encode_address(address) + payload


def request(time: int, payload: bytes, target: Address, padding: int = 0, kind: int = 0) -> bytes:
    return struct.pack(">BQH", kind, time, padding) + bytes(padding) + plain(payload, target)


def answer(time: int, session: bytes, payload: bytes, source: Address, padding: int = 0, kind: int = 1) -> bytes:
    return struct.pack(">BQ8sH", kind, time, session, padding) + bytes(padding) + plain(payload, source)


DECODES = [
    Law(
        "shadowsocks-packet",
        partial(whole, packets.split),
        [(plain(b"payload", address), (b"payload", address)) for address in (V4, V6, NAME)]
        + [(plain(b"", V4), (b"", V4))],
        LIMIT,
        wrong=[b"\2" + bytes(20), b"\3\0\0\x35", plain(b"", PORT_0)],
        encode=lambda value: plain(*value),
        values=st.tuples(payloads, places),
        closed_by_end=True,
    ),
    Law(
        "shadowsocks-2022-packet-request",
        partial(whole, packets2022.read_request),
        [
            (request(TIME, b"payload", V4), (TIME, b"payload", V4)),
            (request(TIME, b"", V6, 900), (TIME, b"", V6)),
            (request(0, b"x", NAME, 1), (0, b"x", NAME)),
        ],
        LIMIT,
        wrong=[
            request(TIME, b"", V4, kind=1),
            request(TIME, b"", V4, kind=255),
            request(TIME, b"", PORT_0),
            request(TIME, b"", V4)[:11] + b"\2" + bytes(6),
        ],
        encode=lambda value: request(*value),
        canonical=False,
        values=st.tuples(times, payloads, places),
        closed_by_end=True,
    ),
    Law(
        "shadowsocks-2022-packet-answer",
        partial(whole, packets2022.read_answer),
        [
            (answer(TIME, SESSION, b"payload", V4), (TIME, SESSION, b"payload", V4)),
            (answer(TIME, bytes(8), b"", V6, 900), (TIME, bytes(8), b"", V6)),
            (answer(0, SESSION, b"x", NAME, 1), (0, SESSION, b"x", NAME)),
        ],
        LIMIT,
        wrong=[answer(TIME, SESSION, b"", V4, kind=0), answer(TIME, SESSION, b"", V4, kind=2)],
        encode=lambda value: answer(*value),
        canonical=False,
        values=st.tuples(times, sessions, payloads, places),
        closed_by_end=True,
    ),
]
