"""gproxy.layers.tls.handshake: what comes in one piece with the handshake's end, and what is not a handshake at all."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from gproxy.base.errors import ProtocolError
from gproxy.layers.tls.handshake import Handshake
from tests.layers.tls.lab import Both, client, server
from tests.layers.tls.test_layer import read
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_however_the_messages_come(chunk):
    with Both(server(), client(), lambda: pipe(chunk=chunk)) as both:
        both.far.sendall(b"hello")
        assert read(both.near, 5) == b"hello"


@pytest.mark.parametrize(
    ("words", "reason"),
    [(b"", "empty"), (b"\x16\x03", "truncated"), (b"HTTP/1.1 400", "tls"), (b"\x16\x02\0\0\1\0", "tls")],
)
def test_what_is_no_handshake(words, reason):
    near, far = pipe()
    far.sendall(words)
    far.close_write()
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_connect_state()
    with pytest.raises(ProtocolError) as caught:
        Handshake(connection, near).run()
    assert caught.value.reason == reason
