"""gproxy.layers.tls.hello: read as far as it goes, and nothing of it lost."""

from __future__ import annotations

import pytest

from gproxy.base.errors import ProtocolError
from gproxy.layers.tls.hello import peek_hello
from gproxy.wire.clienthello import MAX_CLIENT_HELLO, MOST
from tests.support.pipe import pipe
from tests.wire.laws_clienthello import FULL, NAMED, PADDED, records

pytestmark = pytest.mark.usefixtures("no_leaks")


def peek(data, chunk=0):
    near, far = pipe(chunk=chunk)
    far.sendall(data)
    far.close_write()
    return peek_hello(near)


@pytest.mark.parametrize("chunk", [1, 100, 0])
def test_a_hello_and_what_came_with_it(chunk):
    ahead, hello = peek(records(FULL, 50), chunk)
    assert (ahead, hello) == (records(FULL, 50), NAMED)
    ahead, hello = peek(records(FULL) + b"more")
    assert (ahead, hello) == (records(FULL) + b"more", NAMED)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x00", records(FULL, 1), bytes(9)])
def test_what_is_none(data):
    ahead, hello = peek(data, 1)
    assert hello is None
    assert data.startswith(ahead)
    assert len(ahead) <= MAX_CLIENT_HELLO


def test_the_longest_is_read():
    assert len(PADDED) == MOST
    assert peek(records(PADDED), 1000)[1] is not None


def test_a_hello_that_is_cut_anywhere():
    data = records(FULL, 20)
    for end in range(len(data)):
        with pytest.raises(ProtocolError) as caught:
            peek(data[:end])
        assert caught.value.reason == ("truncated" if end else "empty")
