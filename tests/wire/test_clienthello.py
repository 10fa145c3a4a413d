"""gproxy.wire.clienthello on what a real client says; the laws of its decoder are in laws_clienthello.py."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from gproxy.base.errors import TooLarge
from gproxy.wire.clienthello import MAX_CLIENT_HELLO, MOST, RECORD_HEAD, decode_client_hello
from gproxy.wire.cursor import Cursor
from tests.wire.laws_clienthello import PADDED, extension, host, message, records


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
