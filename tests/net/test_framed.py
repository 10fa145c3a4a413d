"""Records over a stream; what every Stream keeps is in tests/conformance."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Stream
from gproxy.net.buffered import Buffered
from gproxy.net.framed import Framed
from tests.conformance.records import MOST, PlainOpener, PlainSealer, records
from tests.conformance.streams import unix_pair
from tests.support.pipe import pipe

pytestmark = pytest.mark.usefixtures("no_leaks")


def framed(inner: Stream, unopened: bytes = b"", head: bytes = b"") -> Framed:
    return Framed(inner, PlainOpener(), PlainSealer(head), unopened, held=bool(head))


def broken(stream: Framed) -> str:
    """How reading there fails: the same way for ever."""
    with pytest.raises(StreamClosed) as caught:
        stream.recv()
    for _ in range(3):
        with pytest.raises(StreamClosed) as again:
            stream.recv()
        assert (again.value.reason, str(again.value)) == (caught.value.reason, str(caught.value))
    assert stream.take() == b""
    assert stream.record() is None
    return caught.value.reason


def test_one_write_for_all_records() -> None:
    near, far = pipe()
    framed(near).sendall(b"x" * (3 * MOST + 5))
    assert far.unread == records(b"x" * (3 * MOST + 5))


def test_pieces_apart() -> None:
    near, far = pipe()
    framed(near, head=b"head").sendall_apart([b"one", b"", b"two"])
    assert far.unread == records(b"headone", b"two")


def test_nothing_is_no_record() -> None:
    near, far = pipe()
    framed(near).sendall(b"")
    assert far.unread == b""


def test_one_read_gives_all_its_records() -> None:
    near, far = pipe()
    far.sendall(records(b"one ", b"two ", b"three"))
    assert framed(near).recv() == b"one two three"


@given(st.lists(st.binary(max_size=100), max_size=5), st.integers(1, 40))
def test_records_may_come_in_pieces(payloads: list[bytes], chunk: int) -> None:
    near, far = pipe(chunk=chunk)
    far.sendall(records(*payloads))
    far.close_write()
    stream, got = framed(near), b""
    while payload := stream.recv():
        got += payload
    assert got == b"".join(payloads)
    assert stream.recv() == b""


def test_a_record_that_cannot_be_right_breaks_the_stream_for_good() -> None:
    near, far = pipe()
    stream, sealer = framed(near), PlainSealer()
    far.sendall(records(b"genuine", sealer=sealer))
    assert stream.recv() == b"genuine"
    good = records(b"one", sealer=sealer)
    far.sendall(good[:-1] + b"!")
    far.sendall(good)
    assert broken(stream) == "corrupt"
    stream.sendall(b"the other way still works")
    assert far.unread == records(b"the other way still works")


def test_what_is_right_after_what_was_not_is_not_read() -> None:
    """Else somebody on the way could leave out what he likes."""
    near, far = pipe()
    stream = framed(near)
    far.sendall(b"nonsense")
    with pytest.raises(StreamClosed):
        stream.recv()
    far.sendall(records(b"genuine"))
    assert broken(stream) == "corrupt"


def test_an_end_inside_a_record_is_no_orderly_end() -> None:
    near, far = pipe()
    far.sendall(records(b"whole", b"half")[:-1])
    far.close_write()
    stream = framed(near)
    assert stream.recv() == b"whole"
    assert broken(stream) == "truncated"


def test_what_was_read_ahead_comes_first() -> None:
    near, far = pipe()
    sealer = PlainSealer()
    ahead, late = records(b"ahead", sealer=sealer), records(b"late", sealer=sealer)
    stream = framed(near, ahead + late[:3])
    far.sendall(late[3:])
    assert stream.recv() == b"ahead"
    assert stream.recv() == b"late"


def test_take_gives_what_is_complete_and_does_not_wait() -> None:
    near, far = pipe()
    sealer = PlainSealer()
    ahead, between, late = (records(word, sealer=sealer) for word in (b"ahead ", b"between", b"late"))
    stream = framed(Buffered(near, between + late[:5]), ahead)
    assert stream.take() == b"ahead between"
    assert stream.take() == b""
    far.sendall(late[5:])
    assert stream.recv() == b"late"


def test_what_was_taken_may_be_corrupt_too() -> None:
    stream = framed(pipe()[0], b"nonsense")
    with pytest.raises(StreamClosed) as caught:
        stream.take()
    assert caught.value.reason == "corrupt"
    assert broken(stream) == "corrupt"


def test_a_head_leaves_together_with_the_first_payload() -> None:
    near, far = pipe()
    stream = framed(near, head=b"head ")
    assert stream.held()
    assert far.unread == b""
    stream.sendall(b"payload")
    assert not stream.held()
    assert far.recv() == records(b"head payload")


def test_a_head_leaves_before_the_peer_is_waited_for() -> None:
    near, far = pipe()
    stream = framed(near, head=b"head")
    far.sendall(records(b"answer"))
    assert stream.recv() == b"answer"
    assert far.unread == records(b"head")
    assert not stream.held()


def test_a_head_leaves_before_the_end() -> None:
    near, far = pipe()
    stream = framed(near, head=b"head")
    stream.close_write()
    assert (far.recv(), far.recv()) == (records(b"head"), b"")
    assert not stream.held()


def test_a_head_for_nobody() -> None:
    near, far = pipe()
    far.close()
    stream = framed(near, head=b"head")
    stream.close_write()
    stream.close()
    assert near.closed


def test_a_close_says_nothing_more() -> None:
    near, far = pipe()
    framed(near, head=b"head").close()
    assert far.recv() == b""


def test_the_relay_gets_the_descriptor_and_what_is_not_complete() -> None:
    near, far = unix_pair()
    sealer = PlainSealer()
    whole, half = records(b"whole", sealer=sealer), records(b"half", sealer=sealer)[:-1]
    stream = framed(near, whole + half)
    assert stream.take() == b"whole"
    record = stream.record()
    assert record is not None
    assert (record.fd, record.unopened) == (near.bare(), half)
    assert stream.bare() is None
    near.close()
    far.close()


def test_the_relay_does_not_get_it_too_early_or_too_late() -> None:
    near, far = unix_pair()
    stream = framed(near, head=b"head")
    assert stream.record() is None  # a head waits
    stream.sendall(b"")
    assert stream.record() is not None
    far.close_write()
    assert stream.recv() == b""
    assert stream.record() is None  # one direction is over
    near.close()
    far.close()


def test_above_what_is_not_bare_there_is_no_record() -> None:
    near, far = unix_pair()
    assert framed(pipe()[0]).record() is None
    assert framed(Buffered(near, b"ahead")).record() is None
    near.close()
    far.close()


def test_its_address_is_that_of_the_stream_beneath() -> None:
    address = Address(IPv4Address("192.0.2.1"), 1)
    assert framed(pipe(bound=address)[0]).bound() == address


def test_abort_goes_down() -> None:
    near, _ = pipe()
    framed(near).abort()
    assert near.aborted
