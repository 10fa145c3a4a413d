"""gproxy.protocol.http.rewrite: RFC 9110 section 7.6.1."""

from __future__ import annotations

import pytest

from gproxy.protocol.http.rewrite import forward_request, forward_response, persists, upgrades
from gproxy.wire.cursor import Cursor
from gproxy.wire.http1 import decode_request, decode_response, parse_absolute


def request(lines=b"Host: a.test\r\n", target=b"http://a.test/x", method=b"GET", minor=1):
    return decode_request(Cursor(b"%s %s HTTP/1.%d\r\n%s\r\n" % (method, target, minor, lines)))


def response(lines=b"", status=200, minor=1):
    return decode_response(Cursor(b"HTTP/1.%d %d OK\r\n%s\r\n" % (minor, status, lines)))


def forwarded(head, upgrade=False, close=False):
    return forward_request(head, parse_absolute(head.target), upgrade=upgrade, close=close)


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        (b"Host: other.test\r\n", b"Host: a.test\r\n"),
        (b"hOST: a.test:80\r\n", b"hOST: a.test\r\n"),
        (b"B: 1\r\nHost: a\r\na: 2\r\nB: 3\r\n", b"B: 1\r\nHost: a.test\r\na: 2\r\nB: 3\r\n"),
        (b"Host: a\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n", b"Host: a.test\r\n"),
        (b"Host: a\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\nProxy-Authenticate: z\r\n", b"Host: a.test\r\n"),
        (
            b"Host: a\r\nConnection: X-One, x-two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n",
            b"Host: a.test\r\nX-Three: 3\r\n",
        ),
        (
            b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
            b"Host: a.test\r\nHTTP2-Settings: x\r\n",
        ),
        (b"Host: a\r\nTE: gzip\r\nTrailer: Sum\r\n", b"Host: a.test\r\nTrailer: Sum\r\n"),
        (b"Host: a\r\nTE: trailers, gzip\r\n", b"Host: a.test\r\nTE: trailers\r\nConnection: TE\r\n"),
        (
            b"Host: a\r\nVia: 1.1 x\r\nExpect: 100-continue\r\n",
            b"Host: a.test\r\nVia: 1.1 x\r\nExpect: 100-continue\r\n",
        ),
        # Whoever names the framing as hop-by-hop wants the server to read another message than the proxy.
        (
            b"Host: a\r\nConnection: Content-Length, Host\r\nContent-Length: 5\r\n",
            b"Host: a.test\r\nContent-Length: 5\r\n",
        ),
        (
            b"Host: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            b"Host: a.test\r\nTransfer-Encoding: chunked\r\n",
        ),
    ],
)
def test_request_fields(lines, left):
    assert forwarded(request(lines)) == b"GET /x HTTP/1.1\r\n" + left + b"\r\n"


def test_requests_of_http_1_0_get_a_host_and_no_expectation():
    assert forwarded(request(b"X: y\r\nExpect: 100-continue\r\n", minor=0), close=True) == (
        b"GET /x HTTP/1.1\r\nHost: a.test\r\nX: y\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "target", "origin"),
    [
        (b"GET", b"http://a.test", b"/"),
        (b"OPTIONS", b"http://a.test", b"*"),
        (b"OPTIONS", b"http://a.test/", b"/"),
        (b"GET", b"http://a.test?q", b"/?q"),
    ],
)
def test_request_targets(method, target, origin):
    assert forwarded(request(method=method, target=target)).startswith(b"%s %s HTTP/1.1\r\n" % (method, origin))


@pytest.mark.parametrize(
    ("method", "before", "after"),
    [(b"OPTIONS", b"7", b"6"), (b"GET", b"7", b"7"), (b"OPTIONS", b"x", b"x"), (b"OPTIONS", b"00", b"0")],
)
def test_max_forwards_counts_down_for_options(method, before, after):
    lines = b"Host: a.test\r\nMax-Forwards: %s\r\n"
    assert lines % after in forwarded(request(lines % before, method=method))


def test_an_upgrade_is_passed_on():
    head = request(b"Upgrade: WebSocket\r\nHost: a\r\nConnection: x, upgrade\r\nX: 1\r\n")
    assert upgrades(head)
    assert forwarded(head, upgrade=True) == (
        b"GET /x HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("lines", "minor"),
    [
        (b"Host: a\r\nUpgrade: websocket\r\n", 1),
        (b"Host: a\r\nConnection: upgrade\r\n", 1),
        (b"Host: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n", 1),
        (b"Host: a\r\nConnection: upgrade\r\nUpgrade: websocket, H2C\r\n", 1),
        (b"Host: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", 0),
    ],
)
def test_what_is_no_upgrade(lines, minor):
    assert not upgrades(request(lines, minor=minor))


@pytest.mark.parametrize(
    ("lines", "minor", "keeps"),
    [
        (b"", 1, True),
        (b"Connection: keep-alive\r\n", 1, True),
        (b"Connection: x, Close\r\n", 1, False),
        (b"Proxy-Connection: close\r\n", 1, False),
        (b"", 0, False),
        (b"Connection: keep-alive\r\n", 0, False),
    ],
)
def test_persistence(lines, minor, keeps):
    assert persists(request(b"Host: a\r\n" + lines, minor=minor)) is keeps
    assert persists(response(lines, minor=minor)) is keeps


def test_response_fields():
    hop = b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: Basic\r\n"
    lines = b"Server: s\r\n%sTrailer: T\r\n" % hop
    assert forward_response(response(lines), close=False) == b"HTTP/1.1 200 OK\r\nServer: s\r\nTrailer: T\r\n\r\n"
    assert forward_response(response(minor=0), close=True) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def test_response_framing():
    chunked, sized = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n"
    assert forward_response(response(chunked), close=False) == b"HTTP/1.1 200 OK\r\n" + chunked + b"\r\n"
    assert forward_response(response(chunked), close=False, unchunk=True) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert forward_response(response(sized), close=False, unchunk=True) == b"HTTP/1.1 200 OK\r\n" + sized + b"\r\n"
    assert forward_response(response(sized, 204), close=False, bodiless=True) == b"HTTP/1.1 204 OK\r\n\r\n"


def test_switching_protocols():
    lines = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n"
    assert forward_response(response(lines, 101), close=False, bodiless=True) == (
        b"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    )
