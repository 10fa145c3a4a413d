from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.base import defaults
from gproxy.base.address import Address
from gproxy.base.errors import CloseReason, DialError, Rejected, StreamClosed
from gproxy.base.iface import Buffer, Outbound
from gproxy.base.session import Session, Sniffed
from gproxy.engine import nat as room
from gproxy.engine.nat import Nat
from gproxy.engine.table import Table
from gproxy.relay.idle import SWEEPER
from gproxy.route.action import Sniff
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from tests.engine import stand_ins
from tests.engine.stand_ins import FakeDecider, FakeOutbound
from tests.route.sniff.first import DTLS, NTP, QUIC_FIRST, QUIC_SECOND, STUN, UTP
from tests.support.clock import HeldClock
from tests.support.packets import MemoryPackets, PromptPackets
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

CLIENT = Address(IPv4Address("192.0.2.7"), 40000)
A, B = Address(IPv4Address("192.0.2.1"), 7001), Address(IPv4Address("192.0.2.2"), 7002)
ELSEWHERE = Address(IPv4Address("192.0.2.99"), 99)


class Flow:
    """A client's datagrams on their way through a Nat."""

    def __init__(self, decide: Callable[[Session], Outbound], conn: MemoryPackets | None = None) -> None:
        self.conn = conn or MemoryPackets()
        self.session = Session(1, "udp", "in", CLIENT, Address(IPv4Address(0), 0))
        self.decider = FakeDecider(decide)
        self.nat = Nat(self.session, self.conn, self.decider)  # type: ignore[arg-type]
        self.table = Table()
        self.result: tuple[str, str] | None = None
        self._group = Group("test")
        self._group.spawn(self._run)
        sleep(0)

    def _run(self) -> None:
        self.table.add(self.session)
        self.result = self.nat.run()

    def end(self) -> tuple[str, str]:
        self.conn.close()
        return self.wait()

    def wait(self) -> tuple[str, str]:
        assert self._group.join(30), "the session does not end"
        assert self.result is not None
        return self.result


@pytest.fixture(autouse=True, params=[MemoryPackets, PromptPackets], ids=["waiting", "prompt"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[MemoryPackets]:
    """All that is promised holds for both ways in which datagrams move: in greenlets, and in the hub."""
    monkeypatch.setattr(stand_ins, "MemoryPackets", request.param)
    monkeypatch.setitem(globals(), "MemoryPackets", request.param)
    kind: type[MemoryPackets] = request.param
    return kind


@pytest.fixture
def out() -> FakeOutbound:
    return FakeOutbound()


@pytest.fixture
def flow(out: FakeOutbound) -> Iterator[Flow]:
    flow = Flow(to(out))
    yield flow
    flow.conn.close()


def to(outbound: FakeOutbound, tag: str = "out") -> Callable[[Session], Outbound]:
    def decide(session: Session) -> Outbound:
        session.outbound, session.rule = tag, "rules[0]"
        return outbound

    return decide


def upstream_of(out: FakeOutbound, count: int = 1) -> MemoryPackets:
    wait_until(lambda: len(out.upstreams) >= count, "no upstream was dialled")
    return out.upstreams[count - 1]


def test_there_and_back_and_counted(flow: Flow, out: FakeOutbound) -> None:
    flow.conn.deliver(b"question", A)
    upstream = upstream_of(out)
    assert upstream.wait_sent(1) == [(b"question", A)]
    upstream.deliver(b"an answer", A)
    assert flow.conn.wait_sent(1) == [(b"an answer", A)]
    assert flow.end() == ("ok", "")
    assert (flow.nat.up, flow.nat.down) == (8, 9)
    assert upstream.closed


def test_one_upstream_serves_all_destinations_of_an_outbound(flow: Flow, out: FakeOutbound) -> None:
    for number in range(3):
        flow.conn.deliver(b"%d" % number, A)
        flow.conn.deliver(b"%d" % number, B)
    sent = upstream_of(out).wait_sent(6)
    assert [to for _, to in sent] == [A, B] * 3
    assert len(out.upstreams) == 1
    assert flow.decider.asked == [A, B]
    flow.end()


def test_anybody_may_answer(flow: Flow, out: FakeOutbound) -> None:
    """Full cone: also who was never written to."""
    flow.conn.deliver(b"x", A)
    upstream_of(out).deliver(b"hello", ELSEWHERE)
    assert flow.conn.wait_sent(1) == [(b"hello", ELSEWHERE)]
    flow.end()


def test_each_destination_has_a_decision_of_its_own() -> None:
    first, second = FakeOutbound(), FakeOutbound()
    flow = Flow(lambda session: to(first, "1")(session) if session.target == A else to(second, "2")(session))
    flow.conn.deliver(b"a", A)
    flow.conn.deliver(b"b", B)
    assert upstream_of(first).wait_sent(1) == [(b"a", A)]
    assert upstream_of(second).wait_sent(1) == [(b"b", B)]
    flow.end()
    assert (flow.session.target, flow.session.outbound, flow.session.rule) == (A, "1", "rules[0]")


def test_what_a_rule_rewrites_is_mapped_back(out: FakeOutbound) -> None:
    def decide(session: Session) -> Outbound:
        if session.target == A:
            session.asked, session.target = session.target, ELSEWHERE
        return to(out)(session)

    flow = Flow(decide)
    flow.conn.deliver(b"a", A)
    flow.conn.deliver(b"b", B)
    upstream = upstream_of(out)
    assert upstream.wait_sent(2) == [(b"a", ELSEWHERE), (b"b", B)]
    upstream.deliver(b"from a", ELSEWHERE)
    upstream.deliver(b"from b", B)
    assert flow.conn.wait_sent(2) == [(b"from a", A), (b"from b", B)]
    flow.end()
    assert (flow.session.target, flow.session.asked) == (ELSEWHERE, A)


def test_a_refusal_is_remembered_and_the_others_go_on(out: FakeOutbound) -> None:
    def decide(session: Session) -> Outbound:
        if session.target == A:
            raise Rejected("rules[3]")
        return to(out)(session)

    flow = Flow(decide)
    for _ in range(3):
        flow.conn.deliver(b"refused", A)
    flow.conn.deliver(b"fine", B)
    assert upstream_of(out).wait_sent(1) == [(b"fine", B)]
    assert flow.decider.asked == [A, B]
    assert flow.nat.up == 4
    assert flow.end() == ("rejected", "rules[3]")


def test_an_outbound_that_can_not_be_reached() -> None:
    out = FakeOutbound(error=DialError("no", reason="refused"))
    flow = Flow(to(out))
    flow.conn.deliver(b"x", A)
    flow.conn.deliver(b"x", A)
    wait_until(lambda: out.dialled, "not dialled")
    assert flow.end() == ("dial-refused", "no")
    assert out.dialled == [A]


def test_an_outbound_that_can_be_reached_later(held_clock: HeldClock) -> None:
    out = FakeOutbound(error=DialError("no", reason="dns"))
    flow = Flow(to(out))
    flow.conn.deliver(b"lost", A)
    wait_until(lambda: out.dialled, "not dialled")
    out.error = None
    held_clock.advance(defaults.UDP_RETRY - 0.1)
    flow.conn.deliver(b"lost", A)
    sleep(0)
    assert out.dialled == [A]
    held_clock.advance(0.1)
    flow.conn.deliver(b"arrives", A)
    assert upstream_of(out).wait_sent(1) == [(b"arrives", A)]
    assert flow.end() == ("dial-dns", "no")


def test_a_destination_that_can_not_be_reached_is_noted_and_tried_again(out: FakeOutbound) -> None:
    class Picky(MemoryPackets):
        def send_to(self, data: Buffer, to: Address, /) -> None:
            if to == A:
                raise DialError("unreachable", reason="unreachable")
            super().send_to(data, to)

    picky = Picky()
    out.dial_packet = lambda target, session: picky  # type: ignore[method-assign]
    flow = Flow(to(out))
    flow.conn.deliver(b"a", A)
    flow.conn.deliver(b"b", B)
    assert picky.wait_sent(1) == [(b"b", B)]
    assert flow.end() == ("dial-unreachable", "unreachable")


@pytest.mark.parametrize("reason", ["dns", "timeout"])
def test_a_name_that_does_not_resolve_holds_up_the_others_once(
    reason: Any, out: FakeOutbound, held_clock: HeldClock
) -> None:
    tried = []

    class Picky(MemoryPackets):
        def send_to(self, data: Buffer, to: Address, /) -> None:
            if to == A:
                tried.append(data)
                raise DialError("no answer in time", reason=reason)
            super().send_to(data, to)

    picky = Picky()
    out.dial_packet = lambda target, session: picky  # type: ignore[method-assign]
    flow = Flow(to(out))
    for data in (b"1", b"2"):
        flow.conn.deliver(data, A)
        flow.conn.deliver(data, B)
    assert picky.wait_sent(2) == [(b"1", B), (b"2", B)]
    assert tried == [b"1"]
    held_clock.advance(defaults.UDP_RETRY)
    flow.conn.deliver(b"3", A)
    flow.conn.deliver(b"3", B)
    assert picky.wait_sent(3)[2:] == [(b"3", B)]
    wait_until(lambda: tried == [b"1", b"3"], lambda: f"{tried}")
    assert flow.end() == (f"dial-{reason}", "no answer in time")


def test_a_lost_upstream_is_replaced(flow: Flow, out: FakeOutbound) -> None:
    flow.conn.deliver(b"first", A)
    lost = upstream_of(out)
    lost.wait_sent(1)
    lost.close()
    sleep(0.001)
    for number in range(3):
        flow.conn.deliver(b"%d" % number, A)
    assert upstream_of(out, 2).wait_sent(3) == [(b"0", A), (b"1", A), (b"2", A)]
    assert len(out.upstreams) == 2
    out.upstreams[1].deliver(b"answer", A)
    assert flow.conn.wait_sent(1) == [(b"answer", A)]
    assert flow.end() == ("ok", "")


def test_an_upstream_that_is_lost_while_sending_is_replaced(flow: Flow, out: FakeOutbound) -> None:
    def send_to(data: Buffer, to: Address, /) -> None:
        raise StreamClosed("gone", reason="reset")

    flow.conn.deliver(b"first", A)
    lost = upstream_of(out)
    lost.wait_sent(1)
    lost.send_to = send_to  # type: ignore[method-assign]
    flow.conn.deliver(b"lost", A)
    flow.conn.deliver(b"next", A)
    assert upstream_of(out, 2).wait_sent(1) == [(b"next", A)]
    assert lost.closed
    flow.end()


def test_an_answer_that_cannot_be_delivered_is_lost_alone(out: FakeOutbound) -> None:
    class Deaf(MemoryPackets):
        def send_to(self, data: Buffer, to: Address, /) -> None:
            if data == b"lost":
                raise DialError("no route to the client", reason="unreachable")
            super().send_to(data, to)

    flow = Flow(to(out), Deaf())
    flow.conn.deliver(b"x", A)
    upstream = upstream_of(out)
    upstream.deliver(b"lost", A)
    upstream.deliver(b"found", A)
    assert flow.conn.wait_sent(1) == [(b"found", A)]
    assert flow.end() == ("dial-unreachable", "no route to the client")


def test_connected_upstreams_are_their_targets_own(out: FakeOutbound) -> None:
    def decide(session: Session) -> Outbound:
        session.dial = replace(session.dial, udp_connect=True)
        return to(out)(session)

    flow = Flow(decide)
    flow.conn.deliver(b"a", A)
    flow.conn.deliver(b"b", B)
    assert upstream_of(out, 2).wait_sent(1) == [(b"b", B)]
    assert out.upstreams[0].sent == [(b"a", A)]
    flow.end()


def test_the_number_of_connected_upstreams_is_bounded(out: FakeOutbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "UDP_DECISIONS", 4)

    def decide(session: Session) -> Outbound:
        session.dial = replace(session.dial, udp_connect=True)
        return to(out)(session)

    flow = Flow(decide)
    for number in range(20):
        flow.conn.deliver(b"x", Address(A.host, number + 1))
        upstream_of(out, number + 1).wait_sent(1)
        assert sum(not upstream.closed for upstream in out.upstreams) <= 4
    flow.end()


def test_the_number_of_decisions_is_bounded(out: FakeOutbound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "UDP_DECISIONS", 4)
    flow = Flow(to(out))
    for number in range(20):
        flow.conn.deliver(b"x", Address(A.host, number + 1))
        upstream_of(out).wait_sent(number + 1)
        assert len(flow.nat._ways) <= 4
    flow.conn.deliver(b"x", Address(A.host, 20))
    upstream_of(out).wait_sent(21)
    assert len(out.upstreams) == 1
    assert len(flow.decider.asked) == 20
    flow.end()


def quiet_for(clock: HeldClock, seconds: float) -> None:
    SWEEPER.sweep()
    clock.advance(seconds)
    SWEEPER.sweep()
    sleep(0)
    sleep(0)


@pytest.mark.parametrize(("port", "seconds"), [(9999, defaults.UDP_IDLE), *defaults.UDP_PORT_TIMEOUTS.items()])
def test_silence_ends_it_by_the_destinations_port(
    flow: Flow, out: FakeOutbound, held_clock: HeldClock, port: int, seconds: float
) -> None:
    flow.conn.deliver(b"x", Address(A.host, port))
    upstream_of(out).wait_sent(1)
    quiet_for(held_clock, seconds - 0.1)
    assert flow.result is None
    quiet_for(held_clock, seconds)
    assert flow.wait() == ("ok", "")


def test_the_most_patient_destination_counts(flow: Flow, out: FakeOutbound, held_clock: HeldClock) -> None:
    flow.conn.deliver(b"x", Address(A.host, 53))
    flow.conn.deliver(b"x", A)
    upstream_of(out).wait_sent(2)
    quiet_for(held_clock, defaults.UDP_PORT_TIMEOUTS[53] + 1)
    assert flow.result is None
    flow.end()


def test_a_rule_may_say_how_long(out: FakeOutbound, held_clock: HeldClock) -> None:
    def decide(session: Session) -> Outbound:
        session.dial = replace(session.dial, udp_timeout=1000.0)
        return to(out)(session)

    flow = Flow(decide)
    flow.conn.deliver(b"x", Address(A.host, 53))
    upstream_of(out).wait_sent(1)
    quiet_for(held_clock, 999)
    assert flow.result is None
    quiet_for(held_clock, 1000)
    assert flow.wait() == ("ok", "")


def test_an_answer_is_a_sign_of_life(flow: Flow, out: FakeOutbound, held_clock: HeldClock) -> None:
    flow.conn.deliver(b"x", A)
    upstream_of(out).wait_sent(1)
    for count in range(1, 4):
        quiet_for(held_clock, defaults.UDP_IDLE - 1)
        upstream_of(out).deliver(b"still here", A)
        flow.conn.wait_sent(count)
    assert flow.result is None
    flow.end()


@pytest.mark.parametrize("reason", ["killed", "drained"])
def test_an_end_from_outside_has_its_word(flow: Flow, out: FakeOutbound, reason: str) -> None:
    flow.conn.deliver(b"x", A)
    upstream_of(out).wait_sent(1)
    flow.table.end(1, reason)  # type: ignore[arg-type]
    assert flow.wait() == (f"closed-{reason}", "")
    assert out.upstreams[0].closed


def test_an_end_from_outside_comes_while_a_way_is_opened() -> None:
    out = FakeOutbound(error=StreamClosed("ended here", reason="killed"))
    flow = Flow(to(out))
    flow.conn.deliver(b"x", A)
    assert flow.wait() == ("closed-killed", "")


@pytest.mark.parametrize(
    ("reason", "word"),
    [("eof", "ok"), ("reset", "ok"), ("corrupt", "closed-corrupt"), ("truncated", "closed-truncated")],
)
def test_a_client_that_breaks_the_protocol_ends_its_session(out: FakeOutbound, reason: CloseReason, word: str) -> None:
    class Breaking(MemoryPackets):
        def recv_from(self) -> tuple[Buffer, Address]:
            super().recv_from()
            raise StreamClosed("over", reason=reason)

    flow = Flow(to(out), Breaking())
    flow.conn.deliver(b"x", A)
    assert flow.wait() == (word, "")
    assert not SWEEPER._all


class Sniffing(Flow):
    """A flow whose datagrams are sniffed."""

    def __init__(self, out: FakeOutbound, seconds: float = 10.0) -> None:
        self._seconds = seconds
        super().__init__(to(out))

    def _run(self) -> None:
        self.decider.sniff = Sniff(timeout=self._seconds)
        super()._run()


def test_a_hello_in_two_datagrams_is_held_and_sent_on_in_order(out: FakeOutbound) -> None:
    flow = Sniffing(out)
    flow.conn.deliver(QUIC_SECOND, A)
    sleep(0)
    assert out.upstreams == []
    flow.conn.deliver(QUIC_FIRST, A)
    assert upstream_of(out).wait_sent(2) == [(QUIC_SECOND, A), (QUIC_FIRST, A)]
    flow.conn.deliver(b"more", A)
    assert upstream_of(out).wait_sent(3)[2] == (b"more", A)
    assert flow.end() == ("ok", "")
    assert flow.session.sniffed is not None
    assert (flow.session.sniffed.protocol, flow.session.sniffed.domain) == ("quic", "quic.test")
    assert flow.nat.up == len(QUIC_FIRST + QUIC_SECOND) + 4


def test_others_go_their_ways_while_one_is_held(out: FakeOutbound) -> None:
    flow = Sniffing(out)
    flow.conn.deliver(STUN, B)
    upstream = upstream_of(out)
    upstream.wait_sent(1)
    flow.conn.deliver(QUIC_FIRST, A)
    flow.conn.deliver(b"known", B)
    assert upstream.wait_sent(2) == [(STUN, B), (b"known", B)]
    flow.conn.deliver(NTP, ELSEWHERE)
    flow.conn.deliver(b"next", ELSEWHERE)
    flow.conn.deliver(QUIC_SECOND, A)
    flow.conn.deliver(b"last", ELSEWHERE)
    assert upstream.wait_sent(7)[2:4] == [(QUIC_FIRST, A), (QUIC_SECOND, A)]
    assert [data for data, where in upstream.sent if where == ELSEWHERE] == [NTP, b"next", b"last"]
    assert flow.end() == ("ok", "")


def test_a_second_hello_waits_for_its_turn(out: FakeOutbound) -> None:
    flow = Sniffing(out)
    for datagram in (QUIC_FIRST, QUIC_SECOND):
        for where in (A, B):
            flow.conn.deliver(datagram, where)
    sent = upstream_of(out).wait_sent(4)
    assert sent == [(QUIC_FIRST, A), (QUIC_SECOND, A), (QUIC_FIRST, B), (QUIC_SECOND, B)]
    assert flow.end() == ("ok", "")


def test_a_hello_that_stays_in_pieces_is_sent_on_in_time(out: FakeOutbound) -> None:
    flow = Sniffing(out, 0.02)
    flow.conn.deliver(QUIC_FIRST, A)
    assert upstream_of(out).wait_sent(1) == [(QUIC_FIRST, A)]
    assert flow.end() == ("ok", "")
    assert flow.session.sniffed == Sniffed("quic")


def test_a_client_that_leaves_in_the_middle_of_its_hello(out: FakeOutbound) -> None:
    flow = Sniffing(out)
    flow.conn.deliver(QUIC_FIRST, A)
    sleep(0)
    flow.end()
    assert upstream_of(out).sent == [(QUIC_FIRST, A)]


def test_an_end_from_outside_while_it_is_held(out: FakeOutbound) -> None:
    flow = Sniffing(out)
    flow.conn.deliver(QUIC_FIRST, A)
    sleep(0)
    flow.table.end(flow.session.id, "killed")
    assert flow.wait() == ("closed-killed", "")
    assert out.upstreams == []


@pytest.mark.parametrize(
    ("datagram", "port", "seconds"),
    [
        (STUN, 7001, 10.0),
        (NTP, 7001, 10.0),
        (DTLS, 7001, 30.0),
        (UTP, 443, defaults.UDP_IDLE),
        (b"anything", 443, 30.0),
        (b"anything", 7001, defaults.UDP_IDLE),
    ],
)
def test_patience_is_that_of_the_protocol(out: FakeOutbound, datagram: bytes, port: int, seconds: float) -> None:
    flow = Sniffing(out)
    flow.conn.deliver(datagram, Address(A.host, port))
    upstream_of(out).wait_sent(1)
    assert flow.nat.patience() == seconds
    assert flow.end() == ("ok", "")


def test_a_name_alone_is_no_protocol(out: FakeOutbound) -> None:
    def decide(session: Session) -> Outbound:
        session.outbound, session.sniffed = "out", Sniffed("", "known.test")
        return out

    flow = Flow(decide)
    flow.conn.deliver(b"question", Address(A.host, 53))
    upstream_of(out).wait_sent(1)
    assert flow.nat.patience() == 10.0
    assert flow.end() == ("ok", "")


def test_what_waited_keeps_its_order_though_another_way_is_slow(out: FakeOutbound) -> None:
    slow = Event()

    def decide(session: Session) -> Outbound:
        if session.target == B:
            slow.wait()
        session.outbound = "out"
        return out

    flow = Flow(decide)
    flow.decider.sniff = Sniff(timeout=10.0)
    flow.conn.deliver(QUIC_FIRST, A)
    sleep(0)
    for data, where in ((b"1", ELSEWHERE), (b"slow", B), (b"2", ELSEWHERE), (QUIC_SECOND, A)):
        flow.conn.deliver(data, where)
    upstream_of(out).wait_sent(4)
    flow.conn.deliver(b"3", ELSEWHERE)
    slow.set()
    sent = upstream_of(out).wait_sent(6)
    assert [data for data, where in sent if where == ELSEWHERE] == [b"1", b"2", b"3"]
    assert (b"slow", B) in sent
    assert flow.end() == ("ok", "")
