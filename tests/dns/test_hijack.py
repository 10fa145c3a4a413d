from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.defaults import QUERIES_OF_ONE, UDP_INBOX
from gproxy.base.errors import StreamClosed
from gproxy.base.iface import Buffer, Prompt, Soon
from gproxy.dns import hijack as room
from gproxy.dns.hijack import Hijack, HijackedPackets, HijackedStream
from gproxy.rt.group import Group
from gproxy.wire.dns.message import Edns, parse
from tests.support.names import FakeNames, addresses, framed, query_for
from tests.support.playbook import new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

SERVER = Address(IPv4Address("9.9.9.9"), 53)
OTHER = Address("dns.example", 53)
SESSION = new_session()
QUERY, SLOW = query_for("example.org"), query_for("slow.example.org")


@pytest.fixture
def names() -> Iterator[FakeNames]:
    names = FakeNames()
    yield names
    names.go.set()


@pytest.fixture
def stream(names: FakeNames) -> Iterator[HijackedStream]:
    stream = Hijack(names).dial(SERVER, SESSION)
    assert isinstance(stream, HijackedStream)
    yield stream
    stream.close()


@pytest.fixture
def packets(names: FakeNames) -> Iterator[HijackedPackets]:
    conn = Hijack(names).dial_packet(SERVER, SESSION)
    assert isinstance(conn, HijackedPackets)
    yield conn
    conn.close()


def answer_to(query: bytes) -> bytes:
    names = FakeNames()
    names.go.set()
    return names.exchange(query, SESSION)


# -- streams ----------------------------------------------------------------------------------------------------------


def test_questions_on_a_stream_in_pieces(stream: HijackedStream, names: FakeNames) -> None:
    said = framed(QUERY, query_for("big.example.org"))
    stream.sendall(said[:3])
    stream.sendall(memoryview(said)[3:])
    assert stream.recv() == framed(answer_to(QUERY), answer_to(query_for("big.example.org")))
    assert names.sessions == [SESSION] * 2


def test_answers_come_when_they_are_there(stream: HijackedStream, names: FakeNames) -> None:
    stream.sendall(framed(SLOW, QUERY))
    assert stream.recv() == framed(answer_to(QUERY))
    names.go.set()
    assert stream.recv() == framed(answer_to(SLOW))


def test_who_has_ended_still_gets_all(stream: HijackedStream, names: FakeNames) -> None:
    stream.sendall(framed(SLOW))
    stream.close_write()
    names.go.set()
    assert stream.recv() == framed(answer_to(SLOW))
    assert stream.recv() == stream.recv() == b""
    with pytest.raises(StreamClosed):
        stream.sendall(b"x")


def test_questions_without_end_wait_for_their_answers_to_be_taken(stream: HijackedStream, names: FakeNames) -> None:
    count = 3 * QUERIES_OF_ONE
    with Group("test") as group:
        group.spawn(stream.sendall, framed(*[SLOW] * count))
        wait_until(lambda: stream._questions.full, "it is never full")
        assert stream._questions._working == QUERIES_OF_ONE
        names.go.set()
        wait_until(lambda: len(names.queries) == QUERIES_OF_ONE, "they are not answered")
        heard = b""
        while len(heard) < count * len(framed(answer_to(SLOW))):
            heard += stream.recv()
        assert heard == framed(*[answer_to(SLOW)] * count)


def test_closing_wakes_both_sides(stream: HijackedStream) -> None:
    ended: list[str] = []

    def call(run: object) -> None:
        assert callable(run)
        try:
            run()
        except StreamClosed as error:
            ended.append(error.reason)

    with Group("test") as group:
        group.spawn(call, stream.recv)
        group.spawn(call, lambda: stream.sendall(framed(*[SLOW] * 100)))
        wait_until(lambda: stream._questions.full, "it is never full")
        stream.close()
        wait_until(lambda: ended == ["local", "local"], "somebody waits for ever")


def test_a_long_silence_is_the_end(stream: HijackedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "DNS_IDLE", 0.05)
    assert stream.recv() == b""


def test_silence_while_a_question_is_in_work_is_none(
    stream: HijackedStream, names: FakeNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "DNS_IDLE", 0.01)
    stream.sendall(framed(SLOW))
    with Group("test") as group:
        heard: list[bytes] = []
        group.spawn(lambda: heard.append(stream.recv()))
        assert not group.join(0.05)
        assert not stream._ended
        names.go.set()
        wait_until(lambda: heard == [framed(answer_to(SLOW))], "the answer is lost")


# -- datagrams --------------------------------------------------------------------------------------------------------


def test_a_datagram_is_answered_from_where_it_was_sent(packets: HijackedPackets, names: FakeNames) -> None:
    packets.send_to(QUERY, SERVER)
    packets.send_to(memoryview(SLOW), OTHER)
    assert packets.recv_from() == (answer_to(QUERY), SERVER)
    names.go.set()
    assert packets.recv_from() == (answer_to(SLOW), OTHER)
    assert names.sessions == [SESSION] * 2


def test_it_is_prompt(packets: HijackedPackets, names: FakeNames) -> None:
    taken: list[tuple[Buffer, Address]] = []

    def take(data: Buffer, source: Address) -> bool:
        taken.append((data, source))
        return len(taken) < 3

    assert isinstance(packets, Prompt)
    assert packets.prompt(SERVER)
    packets.offer(take)
    for _ in range(3):
        packets.send_to(QUERY, SERVER)
    assert taken == [(answer_to(QUERY), SERVER)] * 3
    assert packets.recv_from() == (answer_to(QUERY), SERVER)
    assert len(names.queries) == 1


def test_what_needs_no_greenlet_comes_when_it_is_ready(
    packets: HijackedPackets, names: FakeNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready: list[Callable[[], object]] = []

    class Promptly(Soon):
        def soon(self, tell: Callable[[], object], /) -> bool:
            ready.append(tell)
            return True

        def __call__(self) -> bytes:
            return answer_to(QUERY)

    monkeypatch.setattr(names, "begin", lambda query, session: Promptly())
    heard: list[tuple[Buffer, Address]] = []
    packets.offer(lambda data, source: heard.append((data, source)) is None)
    for to in (SERVER, OTHER):
        packets.send_to(QUERY, to)
    assert packets._working == 2
    assert not heard
    for tell in ready:
        tell()
    wait_until(lambda: len(heard) == 2, "nothing is sent")
    assert heard == [(answer_to(QUERY), SERVER), (answer_to(QUERY), OTHER)]
    assert not packets._working


def test_answers_fit_into_what_the_client_takes(packets: HijackedPackets) -> None:
    for size in (512, 1000):
        packets.send_to(query_for("big.example.org", edns=Edns(size=size)), SERVER)
        answer, _ = packets.recv_from()
        assert 300 < len(answer) <= size
        assert parse(bytes(answer)).truncated


def test_work_and_answers_are_bounded(packets: HijackedPackets, names: FakeNames) -> None:
    for _ in range(QUERIES_OF_ONE + 50):
        packets.send_to(SLOW, SERVER)
    for _ in range(UDP_INBOX + 50):
        packets.send_to(QUERY, SERVER)
    assert len(packets._inbox) == UDP_INBOX
    names.go.set()
    wait_until(lambda: not packets._working, "work does not end")
    assert len([query for query in names.queries if query == SLOW]) == QUERIES_OF_ONE


def test_garbage_and_silence_get_nothing(packets: HijackedPackets) -> None:
    for data in (b"", b"x", b"\xff" * 100, query_for("silent.example.org"), QUERY):
        packets.send_to(data, SERVER)
    assert addresses(bytes(packets.recv_from()[0]))
    assert not packets._inbox


def test_closing_ends_the_wait_and_what_is_in_work_is_dropped(packets: HijackedPackets, names: FakeNames) -> None:
    ended: list[str] = []

    def wait() -> None:
        try:
            packets.recv_from()
        except StreamClosed as error:
            ended.append(error.reason)

    with Group("test") as group:
        group.spawn(wait)
        packets.send_to(SLOW, SERVER)
        wait_until(lambda: packets._working == 1, "it is not in work")
        packets.close()
        wait_until(lambda: ended == ["local"], "it waits for ever")
    names.go.set()
    wait_until(lambda: not packets._working, "work does not end")
    assert not packets._inbox
    with pytest.raises(StreamClosed):
        packets.send_to(QUERY, SERVER)


# -- both -------------------------------------------------------------------------------------------------------------


def test_what_one_inbound_was_told_another_is_not(names: FakeNames) -> None:
    hijack = Hijack(names)
    for inbound, asked in (("one", 1), ("one", 1), ("two", 2)):
        conn = hijack.dial_packet(SERVER, new_session(inbound=inbound))
        conn.send_to(QUERY, SERVER)
        assert conn.recv_from() == (answer_to(QUERY), SERVER)
        assert len(names.queries) == asked
        conn.close()


def test_inbounds_without_end_are_no_matter(names: FakeNames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_MOST_DESKS", 3)
    hijack = Hijack(names)
    for number in range(10):
        hijack.dial_packet(SERVER, new_session(inbound=str(number))).close()
    assert len(hijack._desks) <= 3
    hijack.close()


def test_the_clients_subnet_goes_on(packets: HijackedPackets, names: FakeNames) -> None:
    subnet = Edns(options=((8, b"\0\1\x18\0\xc0\0\2"),))
    packets.send_to(query_for("example.org", edns=subnet), SERVER)
    assert parse(names.queries[0]).edns == subnet
