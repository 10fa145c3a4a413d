"""gproxy.wire.clienthello on what a real client says; the laws of its decoder are in laws_clienthello.py."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from gproxy.base.errors import ProtocolError, TooLarge
from gproxy.wire.clienthello import (
    MAX_CLIENT_HELLO,
    MOST,
    RECORD_HEAD,
    Habits,
    decode_client_hello,
    read_client_hello,
    read_habits,
)
from gproxy.wire.cursor import Cursor
from tests.wire.laws_clienthello import FULL, NAMED, PADDED, extension, host, message, records, sized


def openssl(name: bytes = b"", *protocols: bytes, most: int = SSL.TLS1_3_VERSION) -> bytes:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(most)
    if protocols:
        context.set_alpn_protos(list(protocols))
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    if name:
        connection.set_tlsext_host_name(name)
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(MAX_CLIENT_HELLO)


def test_openssls_own() -> None:
    raw = openssl(b"WWW.Site.test", b"h2", b"http/1.1")
    hello = decode_client_hello(Cursor(raw))
    assert hello.server_name == "www.site.test"
    assert hello.alpn == (b"h2", b"http/1.1")
    assert hello.versions == (0x0304, 0x0303)
    start, end = (RECORD_HEAD + at for at in hello.name_at)
    assert raw[start:end] == b"WWW.Site.test"


def test_one_that_names_nobody() -> None:
    hello = decode_client_hello(Cursor(openssl(most=SSL.TLS1_2_VERSION)))
    assert (hello.server_name, hello.name_at, hello.alpn) == ("", (0, 0), ())
    assert hello.versions == (0x0303,)


def test_the_longest() -> None:
    assert len(PADDED) == MOST
    longer = message(host(b"a"), extension(21, bytes(MOST - 94)))
    with pytest.raises(TooLarge):
        decode_client_hello(Cursor(records(longer)))


def test_a_message_without_records() -> None:
    assert read_client_hello(FULL) == NAMED
    with pytest.raises(ProtocolError, match="its lengths"):
        read_client_hello(FULL[:60])


def test_habits() -> None:
    own = message(extension(10, sized(b"\0\x1d\0\x17")), extension(13, sized(b"\4\3")), extension(0x5A5A, b""))
    assert read_habits(own) == Habits((0x1301, 0x1302), (10, 13, 0x5A5A), (0x1D, 0x17), (0x0403,))
    assert read_habits(message(block=False)) == Habits((0x1301, 0x1302))
    habits = read_habits(openssl(b"site.test")[RECORD_HEAD:])
    assert {0, 10, 13, 43, 51} <= set(habits.extensions)
    assert 0x1301 in habits.suites


@pytest.mark.parametrize("wrong", [extension(10, b"\0\3\0\1\2"), extension(13, b"\0\4\4\3"), extension(10, b"\0")])
def test_habits_that_are_none(wrong: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_habits(message(wrong))
    with pytest.raises(ProtocolError):
        read_habits(message()[:40])
