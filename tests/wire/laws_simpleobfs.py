"""The laws of Decodes, for both disguises of simple-obfs."""

from __future__ import annotations

from gproxy.wire.cursor import Cursor
from gproxy.wire.http1.head import MAX_HEAD
from gproxy.wire.simpleobfs import (
    GREETING,
    MAX_CLIENT_HELLO,
    MOST,
    ClientHello,
    Disguise,
    decode_client_hello,
    decode_greeting,
    decode_switch,
    decode_upgrade,
    encode_client_hello,
    encode_greeting,
    encode_switch,
    encode_upgrade,
)
from tests.laws.registry import Law

RANDOM, SESSION = bytes(range(32)), b"s" * 32
HELLO = encode_client_hello(b"example.com", RANDOM, SESSION, b"ticket")
GREETED = encode_greeting(RANDOM, SESSION)
LONGEST = encode_client_hello(b"x" * 255, RANDOM, SESSION, bytes(MOST))

UPGRADE = encode_upgrade(Disguise(b"example.com", b"curl/7.1.1"), bytes(16), 3)
SWITCH = encode_switch(b"nginx/1.1.1", b"Thu, 01 Jan 1970 00:00:00 GMT", b"key")
OF_SIMPLE_OBFS = (
    b"GET / HTTP/1.1\r\nHost: www.bing.com:8388\r\nUser-Agent: curl/7.18.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: gIT8nGUVZHoFB2kYVAgr2Q==\r\nContent-Length: 117\r\n\r\n"
)


def _changed(data: bytes, at: int, octets: bytes) -> bytes:
    return data[:at] + octets + data[at + len(octets) :]


DECODES = [
    Law(
        "obfs-client-hello",
        decode_client_hello,
        [
            (HELLO, ClientHello(SESSION, b"example.com", b"ticket")),
            (encode_client_hello(b"a", RANDOM, SESSION, b""), ClientHello(SESSION, b"a", b"")),
            (LONGEST, ClientHello(SESSION, b"x" * 255, bytes(MOST))),
        ],
        MAX_CLIENT_HELLO,
        wrong=[
            b"GET / HTTP/1.1\r\n",
            b"\x05",
            _changed(HELLO, 1, b"\x02"),
            _changed(HELLO, 3, b"\x00\x10"),  # too short for all that is before the extensions
            _changed(HELLO, 3, b"\xff\xff"),
            _changed(HELLO, 5, b"\x02"),  # a server's hello
            _changed(HELLO, 7, b"\xff"),  # its two lengths differ
            _changed(HELLO, 43, b"\x00"),  # no session
            _changed(HELLO, 76, b"\x00\x02"),  # other cipher suites
            _changed(HELLO, 136, b"\x00\x01"),  # a length of extensions that is not that of the record
            _changed(HELLO, 138, b"\x00\x00"),  # another extension before the ticket
            _changed(HELLO, 140, b"\xff\xff"),  # a ticket that ends behind the record
            _changed(HELLO, 150, b"\xff\xff"),  # a server's name that does
        ],
    ),
    Law(
        "obfs-greeting",
        decode_greeting,
        [(GREETED, SESSION)],
        GREETING,
        wrong=[
            b"HTTP/1.1 200 OK",
            b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
            _changed(GREETED, 4, b"\x5a"),
            _changed(GREETED, 43, b"\x00"),
            _changed(GREETED, 96, b"\x17"),
            _changed(GREETED, 101, b"\x02"),
        ],
    ),
    Law(
        "obfs-upgrade",
        decode_upgrade,
        [(UPGRADE, decode_upgrade(Cursor(UPGRADE))), (OF_SIMPLE_OBFS, decode_upgrade(Cursor(OF_SIMPLE_OBFS)))],
        MAX_HEAD,
        wrong=[
            b"\x16\x03\x01\x00",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n",
            b"GET / HTTP/1.0\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
        ],
    ),
    Law(
        "obfs-switch",
        decode_switch,
        [(SWITCH, decode_switch(Cursor(SWITCH)))],
        MAX_HEAD,
        wrong=[b"HTTP/1.1 400 Bad Request\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\x16\x03\x01"],
    ),
]
