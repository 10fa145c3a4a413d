"""The laws of a Decode, for a TLS client's first words."""

from __future__ import annotations

from gproxy.wire.clienthello import MAX_CLIENT_HELLO, MOST, MOST_RECORDS, ClientHello, decode_client_hello
from tests.laws.registry import Law


def sized(data: bytes, octets: int = 2) -> bytes:
    """A vector: its length, and itself."""
    return len(data).to_bytes(octets, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + sized(data)


def host(name: bytes) -> bytes:
    return extension(0, sized(b"\0" + sized(name)))


def alpn(*names: bytes) -> bytes:
    return extension(16, sized(b"".join(sized(name, 1) for name in names)))


def versions(*numbers: int) -> bytes:
    return extension(43, sized(b"".join(number.to_bytes(2, "big") for number in numbers), 1))


def message(*extensions: bytes, session: bytes = bytes(32), block: bool = True) -> bytes:
    """A hello's message; without a `block` of extensions, as clients wrote it before there were any."""
    body = b"\x03\x03" + bytes(range(32)) + sized(session, 1) + sized(b"\x13\x01\x13\x02") + b"\1\0"
    return b"\1" + sized(body + (sized(b"".join(extensions)) if block else b""), 3)


def records(data: bytes, size: int = MOST) -> bytes:
    """The message cut into records of so many octets."""
    return b"".join(b"\x16\x03\x01" + sized(data[at : at + size]) for at in range(0, len(data), size))


FULL = message(b"\x5a\x5a\0\0", host(b"Site.test"), alpn(b"h2", b"http/1.1"), versions(0x5A5A, 0x0304, 0x0303))
NAMED = ClientHello("site.test", (94, 103), (b"h2", b"http/1.1"), (0x5A5A, 0x0304, 0x0303))
PADDED = message(host(b"a"), extension(21, bytes(MOST - 95)))


def _changed(at: int, octets: bytes) -> bytes:
    data = records(FULL)
    return data[:at] + octets + data[at + len(octets) :]


DECODES = [
    Law(
        "client-hello",
        decode_client_hello,
        [
            (records(FULL), NAMED),
            (records(FULL, 3), NAMED),
            (records(FULL, 97), NAMED),
            (records(message()), ClientHello(versions=(0x0303,))),
            (records(message(block=False, session=b"")), ClientHello(versions=(0x0303,))),
            (records(PADDED), ClientHello("a", (90, 91), versions=(0x0303,))),
        ],
        MAX_CLIENT_HELLO,
        wrong=[
            b"GET / HTTP/1.1\r\n",
            b"\x80\x2e\x01",  # SSL 2
            b"\x15\x03\x01\x00\x02\x02\x28",  # an alert
            b"\x16\x03\x01\x00\x00",  # an empty record
            b"\x16\x03\x01\x40\x01",  # one that is too long
            b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # a server's hello
            b"\x16\x03\x01\x00\x04\x01\x00\x3f\xfd",  # longer than is read
            b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",  # an empty message
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x00\x00",  # more in the record than the message has
            b"\x16\x03\x01\x00\x05\x01\x00\x00\x20\x03" + b"\x16\x03\x01\x00\x20",  # and in the second one
            records(FULL, 2)[: 7 * MOST_RECORDS],
            records(message(host(b"a"), host(b"b"))),
            records(message(host(b""))),
            records(message(host(b"a" * 256))),
            records(message(host(b"a b"))),
            records(message(host("bücher".encode()))),
            records(message(extension(0, sized(b"\1" + sized(b"a"))))),  # no host name
            records(message(extension(0, sized(b"\0" + sized(b"a") + b"\0" + sized(b"b"))))),  # two of them
            records(message(extension(0, b"\0"))),
            records(message(alpn(b"h2", b""))),
            records(message(extension(16, b"\0\3\2h2h"))),
            records(message(versions())),
            records(message(extension(43, b"\3\3\4\3"))),
            records(message(extension(43, b"\2\3\4\3"))),
            records(message() + b"\0"),
            _changed(5 + 4 + 34, b"\xff"),  # a session that ends behind the message
            _changed(5 + 4 + 34 + 33, b"\xff\xff"),  # suites that do
            _changed(5 + 4 + 34 + 33 + 6 + 2, b"\x00\x00"),  # extensions that end before it
        ],
    ),
]
