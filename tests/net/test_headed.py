"""A head that waits for company; what every Stream keeps is in tests/conformance."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from gproxy.net.headed import Headed
from tests.conformance.records import PlainOpener, PlainSealer, records
from tests.conformance.streams import unix_pair
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_the_head_leaves_together_with_the_first_payload_and_once(make: type) -> None:
    near, far = pipe()
    stream = Headed(near, b"head ")
    assert stream.held()
    assert far.unread == b""
    stream.sendall(make(b"payload"))
    assert not stream.held()
    assert far.recv() == b"head payload"
    stream.sendall(make(b"more"))
    assert far.recv() == b"more"


def test_nothing_says_the_head_alone() -> None:
    near, far = pipe()
    stream = Headed(near, b"head")
    stream.sendall(b"")
    stream.sendall(b"")
    assert far.unread == b"head"


def test_the_head_leaves_before_the_peer_is_waited_for() -> None:
    near, far = pipe()
    far.sendall(b"answer")
    stream = Headed(near, b"head")
    assert stream.recv() == b"answer"
    assert far.unread == b"head"


def test_the_head_leaves_before_the_end() -> None:
    near, far = pipe()
    Headed(near, b"head").close_write()
    assert (far.recv(), far.recv()) == (b"head", b"")


def test_a_head_for_nobody() -> None:
    near, far = pipe()
    far.close()
    stream = Headed(near, b"head")
    stream.close_write()
    with pytest.raises(StreamClosed):
        stream.sendall(b"payload")
    stream.close()
    assert near.closed


def test_a_close_says_nothing_more() -> None:
    near, far = pipe()
    Headed(near, b"head").close()
    assert far.recv() == b""
    near, far = pipe()
    Headed(near, b"head").abort()
    assert near.aborted


def test_it_is_bare_once_the_head_is_said() -> None:
    near, far = unix_pair()
    stream = Headed(near, b"head")
    assert stream.bare() is None
    stream.sendall(b"")
    assert stream.bare() == near.bare() is not None
    near.close()
    far.close()


def test_records_beneath_it_are_the_relays_once_the_head_is_said() -> None:
    near, far = unix_pair()
    stream = Headed(Framed(near, PlainOpener(), PlainSealer()), b"head")
    assert stream.record() is None
    stream.sendall(b"")
    assert far.recv() == records(b"head")
    assert stream.record() is not None
    near.close()
    far.close()


def test_a_head_beneath_it_waits_for_its_own_and_both_leave_as_one() -> None:
    near, far = pipe()
    stream = Headed(Framed(near, PlainOpener(), PlainSealer(b"outer "), held=True), b"inner ")
    stream.sendall(b"payload")
    assert far.recv() == records(b"outer inner payload")
    inner = Framed(near, PlainOpener(), PlainSealer(b"outer"), held=True)
    stream = Headed(inner, b"")
    assert stream.held()


def test_the_rest_is_the_stream_beneath() -> None:
    address = Address(IPv4Address("192.0.2.1"), 1)
    stream = Headed(Buffered(pipe(bound=address)[0], b"ahead"), b"head")
    assert stream.take() == b"ahead"
    assert stream.bound() == address
