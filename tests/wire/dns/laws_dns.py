"""The laws of Decodes, for DNS: names, messages, answers that are prepared, client subnets."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import strategies as st

from gproxy.base.errors import ProtocolError
from gproxy.wire.cursor import Cursor
from gproxy.wire.dns import types
from gproxy.wire.dns.message import HEAD, MAX_MESSAGE, Edns, Message, make_query, parse, parse_query
from gproxy.wire.dns.name import encode_name, read_name
from gproxy.wire.dns.prepared import prepare
from gproxy.wire.dns.subnet import MAX_SUBNET, Subnet, decode_subnet, encode_subnet
from tests.laws.registry import Law
from tests.wire.dns.samples import USUAL, answer, messages, names, soa


def decode_name(cursor: Cursor) -> str:
    """A name at the end of a message."""
    message = bytes(HEAD) + cursor.rest()
    name, end = read_name(message, HEAD)
    if end != len(message):
        raise ProtocolError("bytes behind a name")
    return name


def decode_message(cursor: Cursor) -> Message:
    return parse(cursor.rest())


def decode_query(cursor: Cursor) -> Message:
    return parse_query(cursor.rest())


def decode_prepared(cursor: Cursor) -> tuple[bytes, int, bool, bool, int]:
    """An answer, as it is given again."""
    prepared = prepare(cursor.rest())
    again = prepared.answer(0, prepared.question, 0, prepared.ttl)
    assert prepare(again).question == prepared.question
    return again, prepared.ttl, prepared.negative, prepared.lasting, prepared.rcode


USUAL_AGAIN = (
    b"\0\0\x80\x80\0\1\0\4\0\0\0\0\3www\7example\3com\0\0\1\0\1"
    b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\x11\3cdn\7example\3net\0"
    + b"".join(b"\xc0\x2d\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2" + bytes((last,)) for last in (1, 2, 3))
)
NOTHING_AGAIN = (
    b"\0\0\x80\x83\0\1\0\0\0\1\0\0\1a\0\0\1\0\1\0\0\6\0\1\0\0\1\x2c\0\x1f"
    b"\2ns\0\5admin\0\0\0\0\1\0\0\x1c\x20\0\0\x0e\x10\0\1\x51\x80\0\0\1\x2c"
)
QUERY = make_query("a.example", types.AAAA, edns=Edns(options=((types.PADDING, bytes(9)),)))

v4_networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda it: ip_network(it, strict=False))
v6_networks = st.tuples(st.integers(2**32, 2**128 - 1), st.integers(0, 128)).map(
    lambda it: ip_network((it[0].to_bytes(16, "big"), it[1]), strict=False)
)
subnets = st.builds(Subnet, st.one_of(v4_networks, v6_networks), st.integers(0, 32))

DECODES = [
    Law(
        "dns-name",
        decode_name,
        [
            (b"\0", ""),
            (b"\3www\7example\0", "www.example"),
            (b"\1.\2\\\xff\0", "\\..\\\\\\255"),
            (encode_name(".".join(["x" * 63] * 3 + ["x" * 61])), ".".join(["x" * 63] * 3 + ["x" * 61])),
        ],
        limit=MAX_MESSAGE,
        wrong=[
            b"\x40a",
            b"\xc0\x0c",
            b"\xc0\x0d",
            b"\1a\xc0\x0c",
            b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 3 + b"\0",
        ],
        encode=encode_name,
        values=names,
        closed_by_end=True,
    ),
    Law(
        "dns-message",
        decode_message,
        [(USUAL.encode(), USUAL), (QUERY, parse(QUERY)), (Message().encode(), Message())],
        limit=MAX_MESSAGE,
        wrong=[USUAL.encode() + b"\0", QUERY[:4] + b"\0\2" + QUERY[6:]],
        encode=Message.encode,
        values=messages,
        closed_by_end=True,
    ),
    Law(
        "dns-query",
        decode_query,
        [(QUERY, parse(QUERY))],
        limit=MAX_MESSAGE,
        wrong=[USUAL.encode(), b"\0\0\x28\0" + QUERY[4:]],
        encode=Message.encode,
        closed_by_end=True,
    ),
    Law(
        "dns-prepared",
        decode_prepared,
        [
            (USUAL.encode(), (USUAL_AGAIN, 60, False, True, 0)),
            (
                answer("a", types.A, rcode=types.NXDOMAIN, authority=(soa(""),)).encode(),
                (
                    NOTHING_AGAIN,
                    300,
                    True,
                    True,
                    3,
                ),
            ),
        ],
        limit=MAX_MESSAGE,
        wrong=[QUERY, USUAL.encode() + b"\0"],
        closed_by_end=True,
    ),
    Law(
        "dns-subnet",
        decode_subnet,
        [
            (b"\0\1\x18\0\xc0\0\2", Subnet(ip_network("192.0.2.0/24"))),
            (b"\0\1\0\0", Subnet(ip_network("0.0.0.0/0"))),
            (b"\0\1\x19\x10\xc0\0\2\x80", Subnet(ip_network("192.0.2.128/25"), 16)),
            (b"\0\2\x20\x30\x20\1\x0d\xb8", Subnet(ip_network("2001:db8::/32"), 48)),
        ],
        limit=MAX_SUBNET,
        wrong=[b"\0\3\0\0", b"\0\0\0\0", b"\0\1\x21\0", b"\0\1\0\x21", b"\0\1\x17\0\xc0\0\3"],
        encode=encode_subnet,
        values=subnets,
    ),
]
