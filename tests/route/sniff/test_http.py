"""gproxy.route.sniff.http; its laws are in laws_sniff.py."""

from __future__ import annotations

import contextlib
import time

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.base.session import Sniffed
from gproxy.route.sniff.found import MOST
from gproxy.route.sniff.http import sniff_http
from gproxy.wire.cursor import Cursor, Incomplete
from tests.route.sniff.first import HTTP


def test_the_rest_of_the_request_is_not_looked_at() -> None:
    cursor = Cursor(HTTP + b"\0body\n")
    assert sniff_http(cursor) == Sniffed("http", "site.test")
    assert cursor.left() == 6


@pytest.mark.parametrize("start", [b"", b"G", b"GET", b"GET ", b"GET /a", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nno"])
def test_a_beginning_may_become_a_request(start: bytes) -> None:
    with pytest.raises(Incomplete):
        sniff_http(Cursor(start))


@pytest.mark.parametrize("start", [b"\x16", b"\0", b"{", b"GET\t", b"GET /\x7f", b"GET /\n", b"hello there\r\n"])
def test_other_protocols_are_not_waited_for(start: bytes) -> None:
    with pytest.raises(ProtocolError):
        sniff_http(Cursor(start))


def test_the_longest_head() -> None:
    line = b"GET / HTTP/1.1\r\nHost: site.test\r\nA: "
    head = line + b"b" * (MOST - len(line) - 4) + b"\r\n\r\n"
    assert sniff_http(Cursor(head)).domain == "site.test"
    with pytest.raises(ProtocolError):
        sniff_http(Cursor(line + b"b" * MOST + b"\r\n\r\n"))


@pytest.mark.parametrize(
    "lines",
    [b"A:" + b" \t" * 7000 + b"\x01\r\n", b"A:b\r\n" * 2500, b"A: " + b"b " * 7000 + b"\x01\r\n", b"\n\r" * 7000],
    ids=["white", "many", "words", "ends"],
)
def test_the_work_grows_with_the_bytes_alone(lines: bytes) -> None:
    began = time.process_time()
    with contextlib.suppress(ProtocolError):
        sniff_http(Cursor(b"GET / HTTP/1.1\r\n" + lines + b"\r\n"))
    assert time.process_time() - began < 0.5
