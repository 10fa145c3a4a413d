from __future__ import annotations

import pytest

from gproxy.wire.http2.head import Request, Response, read_request, read_response

GET = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/x")]


def test_a_request() -> None:
    assert read_request([*GET, (b"te", b"trailers")]) == Request(
        b"GET", b"a.test", b"/x", [(b"te", b"trailers")], b"https"
    )


def test_an_authority_that_stands_in_host() -> None:
    lines = [GET[0], GET[1], GET[3], (b"host", b"b.test")]
    assert read_request(lines) == Request(b"GET", b"b.test", b"/x", [(b"host", b"b.test")], b"https")


def test_connect_has_an_authority_alone() -> None:
    connect = [(b":method", b"CONNECT"), (b":authority", b"a.test:443")]
    assert read_request(connect) == Request(b"CONNECT", b"a.test:443", b"", [], b"")
    assert read_request([*connect, (b":path", b"/")]) is None
    assert read_request(connect[:1]) is None


@pytest.mark.parametrize(
    "lines",
    [
        GET[1:],
        [*GET[:3], (b":path", b"x")],
        GET[:3],
        [*GET, GET[0]],
        [(b"first", b"1"), *GET],
        [*GET, (b":status", b"200")],
        [*GET, (b"Upper", b"1")],
        [*GET, (b"", b"1")],
        [*GET, (b"connection", b"close")],
        [*GET, (b"transfer-encoding", b"chunked")],
        [*GET, (b"x", b"a\r\nb: c")],
        [*GET, (b"x", b"a\0")],
    ],
)
def test_requests_that_break_the_rules(lines: list[tuple[bytes, bytes]]) -> None:
    assert read_request(lines) is None


def test_an_answer() -> None:
    assert read_response([(b":status", b"204"), (b"x", b"1")]) == Response(204, [(b"x", b"1")])


@pytest.mark.parametrize(
    "lines",
    [[], [(b"x", b"1")], [(b":status", b"20")], [(b":status", b"099")], [(b":status", b"2x0")], [(b":path", b"/")]],
)
def test_answers_that_break_the_rules(lines: list[tuple[bytes, bytes]]) -> None:
    assert read_response(lines) is None
