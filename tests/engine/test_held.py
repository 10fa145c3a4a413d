"""Sessions under limits, from the arrival to the end: what gproxy.limit.limits promises is kept by the rooms here."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.clock import now
from gproxy.base.errors import DialError, Limited
from gproxy.base.iface import Outbound, Stream
from gproxy.base.session import Session
from gproxy.engine.admission import Admission
from gproxy.engine.boundary import Boundary
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.engine.table import Table
from gproxy.limit.ledger import Ledger
from gproxy.limit.limits import Limit, Limits
from gproxy.limit.memory import Memory
from gproxy.observe.meter import Meter
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.engine.stand_ins import FakeDecider, FakeOutbound
from tests.support.clock import HeldClock, held_clock
from tests.support.packets import MemoryPackets
from tests.support.pipe import PipeEnd, pipe
from tests.support.wait import wait_until

__all__ = ["held_clock"]

pytestmark = pytest.mark.usefixtures("no_leaks")

TARGET = Address("x.test", 80)
A, B = Address(IPv4Address("192.0.2.1"), 7001), Address(IPv4Address("192.0.2.2"), 7002)


class Note:
    """A Reply that keeps what it was told."""

    awaited = True

    def __init__(self) -> None:
        self.said: list[object] = []

    def accept(self, bound: Address | None = None) -> None:
        self.said.append("yes")

    def reject(self, why: object) -> None:
        self.said.append(why)


class House:
    """An inbound whose clients say at once who they are, and where they want to go."""

    def __init__(self, *limits: Limit) -> None:
        self.limits = Limits(limits, Ledger(Memory()))
        self.limits.join()
        self.table, self.meter = Table(), Meter()
        self.admission = Admission(None, self.limits)
        self.boundary = Boundary("in", self.table, self.meter, admission=self.admission)
        self.out = FakeOutbound(lambda target, session: self.dial())
        self.replies: list[Note] = []
        self.far: list[PipeEnd] = []
        self.decider = FakeDecider(self.decide)
        self.group = Group("test")
        self.outbound = "out"

    def dial(self) -> Stream:
        near, far = pipe()
        self.far.append(far)
        return near

    def decide(self, session: Session) -> Outbound:
        session.outbound = self.outbound
        return self.out

    def come(self, user: str = "bob", source: str = "192.0.2.7") -> PipeEnd:
        client, stream = pipe()
        reply = Note()
        self.replies.append(reply)

        def accept(stream: Stream, session: Session) -> None:
            session.user, session.target = user, TARGET
            RoutingDispatcher(self.decider, self.meter).stream(session, stream, reply)

        self.group.spawn(self.boundary.stream, self.admission.streams(accept), stream, (source, 4000), None)
        sleep(0)
        return client

    def send(self, accept: Callable[..., None] | None = None) -> MemoryPackets:
        conn = MemoryPackets()
        dispatcher = RoutingDispatcher(self.decider, self.meter)
        self.group.spawn(
            self.boundary.packets,
            self.admission.packets(accept or (lambda conn, session: dispatcher.packets(session, conn))),
            conn,
            A,
            B,
        )
        sleep(0)
        return conn

    def end(self) -> None:
        self.table.end_all("killed")
        assert self.group.join(30), "not all sessions end"
        for far in self.far:
            far.close()
        gc.collect()  # the house and its decider know each other

    def words(self) -> dict[str, int]:
        return dict(self.meter.statuses)


def test_who_comes_too_often_gets_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    house = House(Limit("few", each=("source",), max_connections=1))
    caplog.set_level(logging.INFO, "gproxy.session")
    first = house.come()
    assert house.replies[0].said == ["yes"]
    assert house.come().recv() == b""
    assert house.replies[1].said == []
    assert house.words() == {"limited-connections": 1}
    told = [record.name for record in caplog.records]
    assert told == ["gproxy.limit"], "the limit tells, not each of a flood"
    first.close()
    house.far[0].close()
    wait_until(lambda: not len(house.table), "the session does not end")
    house.come()
    assert house.replies[2].said == ["yes"]
    house.end()


def test_a_user_is_told_no() -> None:
    house = House(Limit("few", each=("user",), max_connections=1))
    house.come("bob")
    house.come("eve")
    house.come("bob")
    assert [reply.said for reply in house.replies[:2]] == [["yes"], ["yes"]]
    (why,) = house.replies[2].said
    assert isinstance(why, Limited)
    assert why.word == "limited-connections"
    assert len(house.far) == 2
    house.end()
    house.come("bob")
    assert house.replies[3].said == ["yes"], "what was taken was given back"
    house.end()


def test_an_outbound_has_its_limit_too() -> None:
    house = House(Limit("few", outbounds=frozenset({"slow"}), max_connections=1))
    house.outbound = "slow"
    house.come()
    house.come()
    house.outbound = "out"
    house.come()
    assert ["yes"] == house.replies[0].said == house.replies[2].said
    assert isinstance(house.replies[1].said[0], Limited)
    house.end()


def test_a_dial_that_fails_gives_back_what_was_taken() -> None:
    house = House(Limit("few", each=("user",), max_connections=1))
    house.out.error = DialError("refused", reason="refused")
    for _ in range(3):
        house.come()
    assert [type(reply.said[0]) for reply in house.replies] == [DialError] * 3
    house.end()


def test_a_handshake_is_over_when_it_is_known_who_comes() -> None:
    house = House(Limit("shy", max_handshakes=1))
    house.come()
    house.come()
    assert [reply.said for reply in house.replies] == [["yes"], ["yes"]]
    silent = house.send(lambda conn, session: conn.recv_from())
    assert house.come().recv() == b""
    silent.close()
    wait_until(lambda: len(house.table) == 2, "it does not end")
    house.come()
    assert house.replies[-1].said == ["yes"]
    house.end()


def test_streams_within_a_stream_are_connections() -> None:
    house = House(Limit("few", max_connections=3, max_handshakes=2))
    link: list[Session] = []

    def carry(stream: Stream, session: Session) -> None:
        session.carries = True
        link.append(session)
        for _ in range(3):
            house.group.spawn(house.boundary.branch, lambda stream, _: stream.recv(), pipe()[0], session)
        stream.recv()

    client, stream = pipe()
    house.group.spawn(house.boundary.stream, house.admission.streams(carry), stream, ("192.0.2.7", 4000), None)
    wait_until(lambda: house.words() == {"limited-connections": 1}, "the third one is let in")
    assert len(house.table) == 3
    client.close()
    house.end()


def test_bytes_are_moved_at_the_rate() -> None:
    house = House(Limit("slow", each=("user",), up=1e6, burst=1.0))
    client = house.come()
    client.sendall(b"x" * 100)
    wait_until(lambda: bool(house.far), "nobody dials")
    assert house.far[0].recv() == b"x" * 100
    ledger = house.limits._ledger
    row = ledger.row(b"limit\0slow\0bob")
    ledger.use(row, now())
    assert ledger._own[row.at + 1] == 100
    house.end()


def test_datagrams_beyond_the_rate_are_lost(held_clock: HeldClock) -> None:
    house = House(Limit("slow", up=1000.0, down=500.0, burst=1000.0))
    conn = house.send()
    for number in range(3):
        conn.deliver(b"%d" % number * 400, B)
    wait_until(lambda: bool(house.out.upstreams), "nobody dials")
    upstream = house.out.upstreams[0]
    assert [data[:1] for data, _ in upstream.wait_sent(2)] == [b"0", b"1"]
    held_clock.advance(0.4)
    conn.deliver(b"3" * 400, B)
    assert [data[:1] for data, _ in upstream.wait_sent(3)] == [b"0", b"1", b"3"]
    for number in range(3):
        upstream.deliver(b"%d" % number * 400, B)
    assert [data[:1] for data, _ in conn.wait_sent(2)] == [b"0", b"1"]
    sleep(0)
    assert len(conn.wait_sent(2)) == 2
    house.end()


def test_udp_sessions_are_limited_at_each_stage() -> None:
    house = House(Limit("few", max_sessions=1), Limit("way", outbounds=frozenset({"out"}), max_connections=1))
    conn = house.send()
    conn.deliver(b"hello", B)
    wait_until(lambda: bool(house.out.upstreams), "nobody dials")
    second = house.send()
    wait_until(lambda: second.closed, "it is let in")
    assert house.words() == {"limited-sessions": 1}
    conn.close()
    wait_until(lambda: not len(house.table), "it does not end")
    third = house.send()
    third.deliver(b"hello", B)
    wait_until(lambda: len(house.out.upstreams) == 2, "what was taken was not given back")
    house.end()
