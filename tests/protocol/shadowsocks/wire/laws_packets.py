"""The laws of Decodes, for the heads of the 2022 edition's packets."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.protocol.shadowsocks.wire import packets2022
from gproxy.wire.socksaddr import encode_address
from tests.laws.registry import Law
from tests.wire.laws_socksaddr import addresses

V4, V6 = Address(IPv4Address("192.0.2.1"), 443), Address(IPv6Address("2001:db8::1"), 53)
NAME = Address("example.com", 80)
TIME = 1_750_000_000
SESSION = b"sess-ion"

times, sessions = st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=8)


def request(time: int, target: Address, padding: int = 0, kind: int = 0) -> bytes:
    return struct.pack(">BQH", kind, time, padding) + bytes(padding) + encode_address(target)


def answer(time: int, session: bytes, source: Address, padding: int = 0, kind: int = 1) -> bytes:
    return struct.pack(">BQ8sH", kind, time, session, padding) + bytes(padding) + encode_address(source)


DECODES = [
    Law(
        "shadowsocks-2022-packet-request",
        packets2022.decode_request,
        [
            (request(TIME, V4), (TIME, V4)),
            (request(TIME, V6, 900), (TIME, V6)),
            (request(0, NAME, 1), (0, NAME)),
        ],
        packets2022.MOST_HEAD,
        wrong=[request(TIME, V4, kind=1), request(TIME, V4, kind=255), request(TIME, V4)[:11] + b"\x02" + bytes(6)],
        encode=lambda value: request(*value),
        canonical=False,
        values=st.tuples(times, addresses),
    ),
    Law(
        "shadowsocks-2022-packet-answer",
        packets2022.decode_answer,
        [
            (answer(TIME, SESSION, V4), (TIME, SESSION, V4)),
            (answer(TIME, bytes(8), V6, 900), (TIME, bytes(8), V6)),
            (answer(0, SESSION, NAME, 1), (0, SESSION, NAME)),
        ],
        packets2022.MOST_HEAD,
        wrong=[answer(TIME, SESSION, V4, kind=0), answer(TIME, SESSION, V4, kind=2)],
        encode=lambda value: answer(*value),
        canonical=False,
        values=st.tuples(times, sessions, addresses),
    ),
]
