"""gproxy.protocol.http.outbound: the test is the proxy server."""

from __future__ import annotations

import logging

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError
from gproxy.base.wiring import OutboundWiring
from gproxy.protocol.http import OUTBOUND, outbound
from gproxy.protocol.http.options import HttpOutboundOptions
from gproxy.protocol.http.wire import encode_basic
from gproxy.schema.fields import Port, Secret
from tests.support.pipe import pipe
from tests.support.playbook import converse, new_session

pytestmark = pytest.mark.usefixtures("no_leaks")

NAME, V6 = Address("example.com", 443), Address.parse("[2001:db8::1]:80")
CONNECT = b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: Keep-Alive\r\n\r\n"
YES = b"HTTP/1.1 200 Connection established\r\n\r\n"


def make(connect, **options):
    options = HttpOutboundOptions(type="http", server="proxy.example", server_port=Port(8080), **options)
    return OUTBOUND.build(options, OutboundWiring("out", connect, None, logging.getLogger("test")))


def dialing(target=NAME, chunk=0, **options):
    def run(stream):
        return make(lambda session: stream, **options).dial(target, new_session())

    return converse(run, chunk=chunk)


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("yes", [YES, b"HTTP/1.0 200\r\nX: y\r\n\r\n", b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n"])
def test_connect_and_what_follows_the_answer(chunk, yes):
    talk = dialing(chunk=chunk) << CONNECT
    talk >> b"HTTP/1.1 100 Continue\r\n\r\n" + yes + b"220 hello"
    stream = talk.result()
    heard = b""
    while len(heard) < 9:
        heard += stream.recv()
    assert heard == b"220 hello"
    stream.sendall(b"EHLO")
    talk << b"EHLO"
    stream.close()


def test_an_address_in_brackets():
    talk = (
        dialing(V6)
        << b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nProxy-Connection: Keep-Alive\r\n\r\n"
    )
    talk >> YES
    talk.result().close()


@pytest.mark.parametrize(
    ("options", "request_head"),
    [
        (
            {"username": "us\xe9r", "password": Secret("p:w")},
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: Keep-Alive\r\n"
            b"Proxy-Authorization: " + encode_basic("us\xe9r", "p:w") + b"\r\n\r\n",
        ),
        (
            {"path": "/tunnel?a=b"},
            b"CONNECT /tunnel?a=b HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: Keep-Alive\r\n\r\n",
        ),
        (
            {"headers": {"host": ("front.example",), "X-Token": ("1", "2"), "User-Agent": ("me",)}},
            (
                b"CONNECT example.com:443 HTTP/1.1\r\nHost: front.example\r\n"
                b"X-Token: 1\r\nX-Token: 2\r\nUser-Agent: me\r\nProxy-Connection: Keep-Alive\r\n\r\n"
            ),
        ),
        (
            {"headers": {"Proxy-Connection": ("close",)}},
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nProxy-Connection: close\r\n\r\n",
        ),
    ],
)
def test_options_shape_the_request(options, request_head):
    talk = dialing(**options) << request_head
    talk >> YES
    talk.result().close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
def test_every_other_answer_is_a_refusal(answer):
    talk = dialing() << CONNECT
    talk >> answer
    error = talk.error()
    assert isinstance(error, DialError)
    assert error.reason == "declined"
    assert talk._theirs.closed


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_that_ends_or_breaks_off_declines(said):
    for how in ("end", "abort"):
        talk = dialing() << CONNECT
        talk >> said
        getattr(talk, how)()
        error = talk.error()
        assert isinstance(error, DialError)
        assert error.reason == "declined"
        assert talk._theirs.closed


def test_the_status_is_told_and_the_password_is_not():
    talk = dialing(username="u", password=Secret("secret")) >> b"HTTP/1.1 407 no secret\r\n\r\n"
    assert "407" in str(talk.error())
    assert "secret" not in str(talk.error())


def test_a_silent_server_times_out(monkeypatch):
    monkeypatch.setattr(outbound, "HANDSHAKE_TIMEOUT", 0.05)
    talk = dialing() << CONNECT
    error = talk.error()
    assert isinstance(error, DialError)
    assert error.reason == "timeout"
    assert talk._theirs.closed


def test_a_server_that_can_not_be_reached():
    def connect(session):
        raise DialError("no", reason="refused")

    with pytest.raises(DialError) as refusal:
        make(connect).dial(NAME, new_session())
    assert refusal.value.reason == "refused"


def test_no_datagrams():
    near, _ = pipe()
    http = make(lambda session: near)
    assert http.networks == {"tcp"}
    with pytest.raises(DialError):
        http.dial_packet(NAME, new_session())
    http.close()
