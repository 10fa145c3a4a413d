from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import DialError, GproxyError, Rejected, StreamClosed
from gproxy.base.iface import Outbound, Stream
from gproxy.base.session import Session
from gproxy.engine.dispatcher import RoutingDispatcher
from gproxy.engine.table import Table
from gproxy.observe.meter import Meter
from gproxy.relay import Terms
from gproxy.relay.idle import SWEEPER
from gproxy.route.action import Sniff
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.conformance.streams import tcp_pair
from tests.engine.stand_ins import FakeDecider, FakeOutbound
from tests.route.sniff.first import HTTP
from tests.support.clock import HeldClock
from tests.support.packets import MemoryPackets
from tests.support.pipe import pipe
from tests.support.playbook import new_session
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

TARGET = Address("example.com", 443)
BOUND = Address(IPv4Address("192.0.2.1"), 50000)


class Note:
    """A Reply that keeps what it was told."""

    def __init__(self, *, awaited: bool = True) -> None:
        self.awaited = awaited
        self.said: list[object] = []

    def accept(self, bound: Address | None = None) -> None:
        self.said.append(("accept", bound))

    def reject(self, why: GproxyError) -> None:
        self.said.append(why)


class Case:
    """One session, between a client and a server that the test plays."""

    def __init__(
        self,
        decide: Callable[[Session], Outbound] | None = None,
        pair: Callable[[], tuple[Stream, Stream]] = pipe,
        terms: Terms | None = None,
        user: str | None = None,
        sniff: Sniff | None = None,
    ) -> None:
        self.client, self.stream = pair()
        self.upstream, self.server = pipe(bound=BOUND) if pair is pipe else pair()
        self.out = FakeOutbound(lambda target, session: self.upstream)
        self.reply = Note()
        self.meter = Meter()
        self.session = new_session()
        self.session.target = TARGET
        self.session.user = user
        self.decider = FakeDecider(decide or self._decide, sniff)
        self._dispatcher = RoutingDispatcher(self.decider, self.meter, *([terms] if terms else []))  # type: ignore[arg-type]
        self.table = Table()
        self._group = Group("test")
        self._group.spawn(self._run)
        sleep(0)

    def _decide(self, session: Session) -> Outbound:
        session.outbound = "out"
        return self.out

    def _run(self) -> None:
        self.table.add(self.session)
        try:
            self._dispatcher.stream(self.session, self.stream, self.reply)
        finally:
            self.stream.close()  # as the boundary does

    def end(self) -> None:
        assert self._group.join(30), "the session does not end"
        self.client.close()
        self.server.close()
        self.upstream.close()


def test_the_way_of_a_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case()
    case.client.sendall(b"question")
    assert case.server.recv() == b"question"
    case.server.sendall(b"the answer")
    case.server.close_write()
    assert case.client.recv() == b"the answer"
    case.client.close_write()
    case.end()
    assert case.reply.said == [("accept", BOUND)]
    assert case.out.dialled == [TARGET]
    assert (case.meter.up, case.meter.down, case.meter.statuses) == (8, 10, {"ok": 1})
    assert caplog.records[0].getMessage().endswith(" ok")
    assert case.upstream.closed  # type: ignore[attr-defined]


def test_a_user_s_traffic_is_put_on_an_account_while_it_moves() -> None:
    case = Case(user="ada")
    case.client.sendall(b"question")
    assert case.server.recv() == b"question"
    SWEEPER.sweep()
    inbound = case.session.inbound
    assert case.meter.take_traffic() == [[inbound, "ada", 8, 0, 0, 0, 1, 0]]
    case.server.sendall(b"the answer")
    assert case.client.recv() == b"the answer"
    case.server.close_write()
    case.client.close_write()
    case.end()
    assert case.meter.take_traffic() == [[inbound, "ada", 0, 10, 0, 0, 0, 0]]
    assert case.meter._accounts == {}


def test_a_session_that_goes_nowhere_was_begun_all_the_same() -> None:
    case = Case(lambda session: FakeOutbound(error=DialError("no")), user="ada")
    case.end()
    assert case.meter.take_traffic() == [[case.session.inbound, "ada", 0, 0, 0, 0, 1, 0]]
    assert case.meter._accounts == {}


def test_nobody_has_no_account() -> None:
    case = Case()
    case.client.close_write()
    case.server.close_write()
    case.end()
    assert case.meter.take_traffic() == []


def test_a_user_s_datagrams_are_counted() -> None:
    meter, out, conn = Meter(), FakeOutbound(), MemoryPackets()
    dispatcher = RoutingDispatcher(FakeDecider(lambda session: out), meter)  # type: ignore[arg-type]
    session = new_session()
    session.user = "ada"
    with Group("test") as group:
        table = Table()

        def run() -> None:
            table.add(session)
            dispatcher.packets(session, conn)

        child = group.spawn(run)
        to = Address(IPv4Address("192.0.2.9"), 53)
        conn.deliver(b"one", to)
        conn.deliver(b"", to)
        wait_until(lambda: out.upstreams and len(out.upstreams[0].sent) == 2, "they are not sent on")
        out.upstreams[0].deliver(b"answer", to)
        conn.wait_sent(1)
        SWEEPER.sweep()
        assert meter.take_traffic() == [[session.inbound, "ada", 3, 6, 2, 1, 0, 1]]
        conn.close()
        child.join(30)
    assert meter.take_traffic() == []
    assert meter._accounts == {}


@pytest.mark.parametrize("error", [DialError("no", reason="refused"), Rejected("rules[1]")])
def test_a_refusal_is_told_to_the_client(error: GproxyError, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def decide(session: Session) -> Outbound:
        raise error

    case = Case(decide)
    case.end()
    assert case.reply.said == [error]
    assert case.meter.statuses == {error.word: 1}
    assert caplog.records[0].getMessage().endswith(f" {error.word}: {error}")


def test_a_dial_that_fails_is_told_to_the_client() -> None:
    error = DialError("no", reason="timeout")
    case = Case(lambda session: FakeOutbound(error=error))
    case.end()
    assert case.reply.said == [error]
    assert case.meter.statuses == {"dial-timeout": 1}


def test_a_drop_is_told_to_nobody() -> None:
    def decide(session: Session) -> Outbound:
        raise Rejected("rules[1]", drop=True)

    case = Case(decide)
    case.end()
    assert case.reply.said == []
    assert case.meter.statuses == {"rejected": 1}


@pytest.mark.parametrize("culprit", ["client", "server"])
def test_a_reset_is_passed_on_as_a_reset(culprit: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case(pair=tcp_pair)
    case.client.sendall(b"x")
    assert case.server.recv() == b"x"
    (case.client if culprit == "client" else case.server).abort()
    with pytest.raises(StreamClosed) as caught:
        (case.server if culprit == "client" else case.client).recv()
    assert caught.value.reason == "reset"
    case.end()
    assert case.meter.statuses == {"closed-reset": 1}
    whose = "client" if culprit == "client" else "target"
    assert caplog.records[0].getMessage().endswith(f"closed-reset: the {whose} broke off")


def test_an_end_from_outside_blames_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case(pair=tcp_pair)
    case.table.end_all("drained")
    assert case.client.recv() == b""
    assert case.server.recv() == b""
    case.end()
    assert caplog.records[0].getMessage().endswith("closed-drained")


def test_an_end_from_outside_while_dialling() -> None:
    def dial(target: Address, session: Session) -> Stream:
        sleep(60)
        raise AssertionError

    case = Case(lambda session: FakeOutbound(dial))
    case.table.end_all("drained")
    case.end()
    assert case.meter.statuses == {"closed-drained": 1}


def test_silence_ends_it_by_its_terms(held_clock: HeldClock) -> None:
    case = Case(pair=tcp_pair, terms=Terms(idle=5))
    SWEEPER.sweep()
    held_clock.advance(5)
    SWEEPER.sweep()
    case.end()
    assert case.meter.statuses == {"closed-idle": 1}


def test_a_fault_of_the_reply_leaves_nothing_open() -> None:
    class Faulty(Note):
        def accept(self, bound: Address | None = None) -> None:
            raise KeyError("a fault")

    upstream, server = pipe()
    out = FakeOutbound(lambda target, session: upstream)
    dispatcher = RoutingDispatcher(FakeDecider(lambda session: out), Meter())  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        dispatcher.stream(new_session(), pipe()[0], Faulty())
    assert upstream.closed
    assert server.recv() == b""


def test_datagrams_are_logged_and_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    conn, out, meter = MemoryPackets(), FakeOutbound(), Meter()
    session = new_session()
    session.network = "udp"
    dispatcher = RoutingDispatcher(FakeDecider(lambda one: out), meter)  # type: ignore[arg-type]
    with Group("test") as group:
        group.spawn(dispatcher.packets, session, conn)
        conn.deliver(b"question", BOUND)
        while not out.upstreams:
            sleep(0)
        out.upstreams[0].wait_sent(1)
        out.upstreams[0].deliver(b"yes", BOUND)
        conn.wait_sent(1)
        conn.close()
        assert group.join(30)
    assert (meter.up, meter.down, meter.statuses) == (8, 3, {"ok": 1})
    assert "up 8 down 3" in caplog.records[0].getMessage()


def test_what_was_sniffed_is_relayed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case(sniff=Sniff(timeout=10.0))
    assert case.reply.said == [("accept", None)]
    case.client.sendall(HTTP)
    assert case.server.recv() == HTTP
    case.server.sendall(b"the answer")
    case.server.close_write()
    assert case.client.recv() == b"the answer"
    case.client.close_write()
    case.end()
    assert case.reply.said == [("accept", None)]
    assert (case.meter.up, case.meter.down, case.meter.statuses) == (len(HTTP), 10, {"ok": 1})
    assert " http=site.test via " in caplog.records[0].getMessage()


@pytest.mark.parametrize("drop", [False, True])
def test_a_no_after_the_yes_is_a_reset_unless_it_is_silent(drop: bool) -> None:
    def decide(session: Session) -> Outbound:
        raise Rejected("rules[1]", drop=drop)

    case = Case(decide, sniff=Sniff(timeout=10.0))
    case.client.sendall(HTTP)
    if drop:
        assert case.client.recv() == b""
    else:
        with pytest.raises(StreamClosed):
            case.client.recv()
    case.end()
    assert case.reply.said == [("accept", None)]
    assert case.meter.statuses == {"rejected": 1}


def test_a_server_that_speaks_first_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case = Case(sniff=Sniff(timeout=0.02))
    case.server.sendall(b"220 ready")
    assert case.client.recv() == b"220 ready"
    case.client.sendall(b"EHLO")
    assert case.server.recv() == b"EHLO"
    case.server.close_write()
    case.client.close_write()
    case.end()
    assert case.meter.statuses == {"ok": 1}
    assert (case.meter.up, case.meter.down) == (4, 9)
    assert TARGET in case.decider.server_first


def test_a_silent_client_is_ended_from_outside(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(sniff=Sniff(timeout=0.01))
    wait_until(lambda: case.out.dialled, "it is not dialled")
    sleep(0)
    case.table.end(case.session.id, "killed")
    with pytest.raises(StreamClosed):
        case.client.recv()
        case.client.sendall(b"x")
    case.end()
    assert case.meter.statuses == {"closed-killed": 1}
    assert case.upstream.closed  # type: ignore[attr-defined]
