"""The promises of a PacketConn (gproxy/base/iface.py)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Prompt
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.packets import PAIRS, STREAMED, PacketPair
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

CONTENT = random.Random(3).randbytes(65536)


class Late(Exception):
    """A deadline of a test."""


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[PacketPair]:
    pair = PAIRS[request.param]()
    yield pair
    pair.close()


def outcome(into: list[Any], call: Callable[..., Any], *args: Any) -> None:
    try:
        into.append(call(*args))
    except StreamClosed as error:
        into.append(error)


@pytest.mark.parametrize("size", [0, 1, 1472, 9000, 60_000])
def test_datagrams_keep_their_borders_both_ways(pair: PacketPair, size: int) -> None:
    pair.say(CONTENT[:size])
    pair.say(b"next")
    data, address = pair.conn.recv_from()
    assert (bytes(data), address) == (CONTENT[:size], pair.address)
    assert bytes(pair.conn.recv_from()[0]) == b"next"
    pair.conn.send_to(CONTENT[:size], pair.address)
    pair.conn.send_to(b"next", pair.address)
    assert pair.hear() == CONTENT[:size]
    assert pair.hear() == b"next"


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_every_buffer_can_be_sent(pair: PacketPair, make: Callable[[bytes], Any]) -> None:
    pair.conn.send_to(make(b"payload"), pair.address)
    assert pair.hear() == b"payload"


def test_the_callers_buffer_is_not_kept(pair: PacketPair) -> None:
    buffer = bytearray(b"payload")
    pair.conn.send_to(buffer, pair.address)
    buffer[:] = b"changed!"
    assert pair.hear() == b"payload"


def test_a_datagram_is_the_callers_until_the_next_call(pair: PacketPair) -> None:
    other = PAIRS["ipv4"]()
    pair.say(b"mine")
    data, _ = pair.conn.recv_from()
    other.say(b"of another connection")
    other.conn.recv_from()
    other.close()
    assert bytes(data) == b"mine"


def test_one_that_is_too_large_is_lost_in_silence(pair: PacketPair) -> None:
    pair.conn.send_to(CONTENT[: pair.too_large], pair.address)
    pair.conn.send_to(b"the next one arrives", pair.address)
    assert pair.hear() == b"the next one arrives"


def test_closing_wakes_the_reader(pair: PacketPair) -> None:
    got: list[Any] = []
    with Group("test") as group:
        group.spawn(outcome, got, pair.conn.recv_from)
        sleep(0)
        assert not got
        pair.conn.close()
        assert group.join(30)
    assert isinstance(got[0], StreamClosed)


def test_after_the_close_nothing_works(pair: PacketPair) -> None:
    pair.say(b"unread")
    pair.conn.close()
    pair.conn.close()
    with pytest.raises(StreamClosed):
        pair.conn.recv_from()
    with pytest.raises(StreamClosed):
        pair.conn.send_to(b"x", pair.address)


def test_a_deadline_leaves_it_whole(pair: PacketPair) -> None:
    for _ in range(3):
        with pytest.raises(Late), deadline(0.001, Late()):
            pair.conn.recv_from()
    pair.say(b"after all")
    assert bytes(pair.conn.recv_from()[0]) == b"after all"


def test_a_reader_that_dies_loses_nothing(pair: PacketPair) -> None:
    with Group("test") as group:
        reader = group.spawn(pair.conn.recv_from)
        sleep(0)
        reader.kill()
    pair.say(b"for the next one")
    assert bytes(pair.conn.recv_from()[0]) == b"for the next one"


def test_many_in_a_row(pair: PacketPair) -> None:
    for number in range(100):
        pair.say(b"%d" % number)
        pair.conn.send_to(b"%d" % number, pair.address)
    assert [bytes(pair.conn.recv_from()[0]) for _ in range(100)] == [b"%d" % number for number in range(100)]
    assert [pair.hear() for _ in range(100)] == [b"%d" % number for number in range(100)]


class Taker:
    """Takes what it is offered, but for what begins with a no."""

    def __init__(self, pair: PacketPair) -> None:
        conn = pair.conn
        assert isinstance(conn, Prompt)
        pair.say(b"first")  # some hear who their client is before there is a connection
        assert bytes(conn.recv_from()[0]) == b"first"
        self.taken: list[tuple[bytes, Address]] = []
        self.conn = conn
        conn.offer(self.take)

    def take(self, data: Buffer, address: Address) -> bool:
        if bytes(data[:2]) == b"no":
            return False
        self.taken.append((bytes(data), address))
        return True

    def wait(self, count: int) -> list[bytes]:
        """What was taken, when it is so many."""
        wait_until(lambda: len(self.taken) >= count, lambda: f"{self.taken}")
        return [data for data, _ in self.taken]


@pytest.fixture(params=sorted(set(PAIRS) - STREAMED))
def prompt_pair(request: pytest.FixtureRequest) -> Iterator[PacketPair]:
    pair = PAIRS[request.param]()
    yield pair
    pair.close()


@pytest.mark.parametrize("name", sorted(STREAMED))
def test_what_travels_on_a_stream_is_not_prompt(name: str) -> None:
    pair = PAIRS[name]()
    assert not isinstance(pair.conn, Prompt)
    pair.close()


def test_datagrams_are_taken_where_they_arrive(prompt_pair: PacketPair) -> None:
    taker = Taker(prompt_pair)
    for number in range(100):
        prompt_pair.say(b"%d" % number)
    assert taker.wait(100) == [b"%d" % number for number in range(100)]
    assert {address for _, address in taker.taken} == {prompt_pair.address}
    assert taker.conn.prompt(prompt_pair.address)
    taker.conn.send_to(b"answer", prompt_pair.address)
    assert prompt_pair.hear() == b"answer"


def test_what_is_not_taken_is_for_the_reader(prompt_pair: PacketPair) -> None:
    taker = Taker(prompt_pair)
    got: list[Any] = []
    with Group("test") as group:
        group.spawn(outcome, got, taker.conn.recv_from)
        sleep(0)
        for word in (b"yes", b"no, thanks", b"yes again", b"no, really"):
            prompt_pair.say(word)
        assert taker.wait(2) == [b"yes", b"yes again"]
        assert group.join(30)
    data, address = got[0]
    assert (bytes(data), address) == (b"no, thanks", prompt_pair.address)
    assert bytes(taker.conn.recv_from()[0]) == b"no, really"


def test_after_the_offer_all_are_for_the_reader_again(prompt_pair: PacketPair) -> None:
    taker = Taker(prompt_pair)
    taker.conn.offer(None)
    prompt_pair.say(b"yes")
    assert bytes(taker.conn.recv_from()[0]) == b"yes"
    assert not taker.taken


def test_the_end_is_for_the_reader(prompt_pair: PacketPair) -> None:
    taker = Taker(prompt_pair)
    got: list[Any] = []
    with Group("test") as group:
        group.spawn(outcome, got, taker.conn.recv_from)
        sleep(0)
        taker.conn.close()
        assert group.join(30)
    assert isinstance(got[0], StreamClosed)
    with pytest.raises(StreamClosed):
        taker.conn.recv_from()


def test_a_taker_may_end_it(prompt_pair: PacketPair) -> None:
    taker = Taker(prompt_pair)
    taken: list[bytes] = []

    def close(data: Buffer, address: Address) -> bool:
        taken.append(bytes(data))
        taker.conn.close()
        return True

    taker.conn.offer(close)
    for word in (b"last words", b"too late"):
        prompt_pair.say(word)
    with pytest.raises(StreamClosed):
        taker.conn.recv_from()
    assert taken == [b"last words"]
