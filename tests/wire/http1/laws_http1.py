"""The laws of Decodes, for HTTP/1."""

from __future__ import annotations

from hypothesis import strategies as st

from gproxy.wire.cursor import Cursor
from gproxy.wire.http1 import MAX_HEAD, Fields, RequestHead, ResponseHead, decode_request, decode_response
from gproxy.wire.http1.body import MAX_CHUNK_LINE, MAX_TRAILERS, decode_chunk_head
from gproxy.wire.http1.head import TOKEN, decode_trailers
from tests.laws.registry import Law


def fields(*pairs: tuple[bytes, bytes]) -> Fields:
    return Fields([(name.lower(), name, value) for name, value in pairs])


def trailers(cursor: Cursor) -> Fields:
    return decode_trailers(cursor, MAX_TRAILERS)


def encode_request(head: RequestHead) -> bytes:
    """As its sender wrote it: what gproxy itself sends is always HTTP/1.1."""
    return head.encode().replace(b" HTTP/1.1\r\n", b" HTTP/1.%d\r\n" % head.minor, 1)


def encode_response(head: ResponseHead) -> bytes:
    return b"HTTP/1.%d" % head.minor + head.encode()[8:]


def encode_trailers(value: Fields) -> bytes:
    return value.encode() + b"\r\n"


CONNECT = (
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nUser-Agent: curl/7.88.1\r\n"
    b"Proxy-Connection: Keep-Alive\r\n\r\n"
)
GET = b"GET http://example.com/?a=b HTTP/1.1\r\nhost: example.com\r\nX: \r\nAccept: */*;q=\xe9\r\n\r\n"

tokens = st.text([chr(octet) for octet in TOKEN], min_size=1, max_size=20).map(str.encode)
texts = st.text([chr(octet) for octet in (9, *range(0x20, 0x7F), *range(0x80, 0x100))], max_size=40)
values = texts.map(lambda text: text.encode("latin-1").strip(b" \t"))
many_fields = st.lists(st.tuples(tokens, values), max_size=8).map(lambda pairs: fields(*pairs))
targets = st.text([chr(octet) for octet in range(0x21, 0x7F) if octet != 0x23], min_size=1, max_size=60)
reasons = texts.map(lambda text: text.encode("latin-1"))

DECODES = [
    Law(
        "http1-request",
        decode_request,
        [
            (
                CONNECT,
                RequestHead(
                    b"CONNECT",
                    b"example.com:443",
                    1,
                    fields(
                        (b"Host", b"example.com:443"),
                        (b"User-Agent", b"curl/7.88.1"),
                        (b"Proxy-Connection", b"Keep-Alive"),
                    ),
                ),
            ),
            (
                GET,
                RequestHead(
                    b"GET",
                    b"http://example.com/?a=b",
                    1,
                    fields((b"host", b"example.com"), (b"X", b""), (b"Accept", b"*/*;q=\xe9")),
                ),
            ),
        ],
        limit=MAX_HEAD + 2,
        wrong=[
            b"\x16\x03\x01",
            b"\x05\x01\x00",
            b" GET",
            b"\r\n\r\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\na: b\n",
            b"GET / HTTP/1.1\r\na: \0",
            b"GET /\r\n",
            b"\n",
            b"GET /" + b"a" * MAX_HEAD,
        ],
        encode=encode_request,
        values=st.builds(RequestHead, tokens, targets.map(str.encode), st.integers(0, 1), many_fields),
    ),
    Law(
        "http1-response",
        decode_response,
        [
            (b"HTTP/1.1 200 OK\r\n\r\n", ResponseHead(1, 200, b"OK", fields())),
            (
                b"HTTP/1.1 407 \r\nServer: \xff\r\n\r\n",
                ResponseHead(1, 407, b"", fields((b"Server", b"\xff"))),
            ),
        ],
        limit=MAX_HEAD,
        wrong=[
            b"\x15\x03\x01",
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 20\r\n",
            b"HTTP/1.1 200 OK\n",
            b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        ],
        encode=encode_response,
        values=st.builds(ResponseHead, st.integers(0, 1), st.integers(100, 999), reasons, many_fields),
    ),
    Law(
        "http1-chunk-head",
        decode_chunk_head,
        [(b"5\r\n", 5), (b"FFFFFFFFFFFFFFFF\r\n", 2**64 - 1), (b'0;a=b;c="d"\r\n', 0)],
        limit=MAX_CHUNK_LINE,
        wrong=[
            b"\r\n",
            b"g\r\n",
            b"5 \r\n",
            b"0x5\r\n",
            b"5\n",
            b"5;a\rb\r\n",
            b"1" * 17 + b"\r\n",
            b"a;" + b"b" * 300,
        ],
        encode=b"%x\r\n".__mod__,
        values=st.integers(0, 2**64 - 1),
        canonical=False,
    ),
    Law(
        "http1-trailers",
        trailers,
        [
            (b"\r\n", fields()),
            (b"Checksum: 1\r\nX: y\r\n\r\n", fields((b"Checksum", b"1"), (b"X", b"y"))),
        ],
        limit=MAX_TRAILERS,
        wrong=[b" a: b", b"a: b\n", b"a: b\r\nc: d\n", b"a: b\r,\n", b"\n", b"a\r\n\r\n", b"\0"],
        encode=encode_trailers,
        values=many_fields,
    ),
]
