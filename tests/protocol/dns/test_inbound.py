from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, NoReturn

import pytest

from gproxy.base.address import Address
from gproxy.base.errors import ProtocolError
from gproxy.base.iface import QueryEntrance, StreamEntrance
from gproxy.base.session import Session
from gproxy.base.wiring import InboundWiring
from gproxy.protocol.dns import INBOUND
from gproxy.protocol.dns.inbound import DnsInbound
from gproxy.schema.model import read
from gproxy.wire.dns import types
from gproxy.wire.dns.message import parse
from tests.support.clock import HeldClock
from tests.support.dispatch import RecordingDispatcher
from tests.support.names import FakeNames, addresses, framed, query_for, question_of
from tests.support.playbook import CLIENT, new_session, play
from tests.support.replays import no_replays

pytestmark = pytest.mark.usefixtures("no_leaks")

PRIVATE, PUBLIC = ("10.0.0.1", 4000), ("192.0.2.7", 4000)
OPEN = {"allow": ["0.0.0.0/0", "::/0"]}
QUERY = query_for("example.org")


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


def no_ports(session: Session) -> NoReturn:
    raise AssertionError("no port is needed")


def nobody_counts() -> None:
    """Nor should anybody."""


def server(names: FakeNames, counted: Callable[[], None] = nobody_counts, **options: Any) -> DnsInbound:
    dispatcher, log = RecordingDispatcher(), logging.getLogger("test")
    wiring = InboundWiring(
        "in", dispatcher, no_ports, no_replays(), log, dispatcher, names=names, counted=counted
    )  # fmt: skip
    inbound: DnsInbound = INBOUND.build(read(INBOUND.options, {"type": "dns", **options}, (), []), wiring)
    return inbound


def told(inbound: DnsInbound, data: bytes, name: tuple[str, int]) -> bytes:
    """The answer that there is at once."""
    answer = inbound.answer(data, name)
    assert isinstance(answer, bytes)
    return answer


def session_of(name: tuple[str, int]) -> Session:
    return new_session(Address(IPv4Address(name[0]), name[1]))


def test_the_doors(names: FakeNames) -> None:
    kinds = [type(door) for door in server(names).entrances()]
    assert kinds == [StreamEntrance, QueryEntrance]
    assert [type(door) for door in server(names, network="udp").entrances()] == [QueryEntrance]
    assert [type(door) for door in server(names, protocol="https").entrances()] == [StreamEntrance]


def test_a_datagram_is_answered(names: FakeNames) -> None:
    inbound = server(names)
    answer = told(inbound, QUERY, PRIVATE)
    assert addresses(answer)
    assert answer[:2] == QUERY[:2]
    [session] = names.sessions
    assert (session.network, session.inbound, session.source) == ("udp", "in", Address(IPv4Address("10.0.0.1"), 4000))


def test_a_second_one_needs_nobody_to_be_asked(names: FakeNames) -> None:
    inbound = server(names)
    first = told(inbound, QUERY, PRIVATE)
    assert told(inbound, QUERY, ("10.9.9.9", 1)) == first
    assert len(names.queries) == 1


def test_what_takes_longer_is_work(names: FakeNames) -> None:
    inbound, query = server(names), query_for("slow.example.org")
    later = inbound.answer(query, PRIVATE)
    assert callable(later)
    names.go.set()
    assert addresses(later())


def test_strangers_are_refused(names: FakeNames) -> None:
    answer = told(server(names), QUERY, PUBLIC)
    assert parse(answer).rcode == types.REFUSED
    assert question_of(answer) == question_of(QUERY)
    assert not names.queries
    assert len(answer) <= len(QUERY)


def test_who_is_named_may_ask_and_others_may_not(names: FakeNames) -> None:
    inbound = server(names, allow=["192.0.2.0/24"])
    assert addresses(told(inbound, QUERY, PUBLIC))
    assert parse(told(inbound, QUERY, PRIVATE)).rcode == types.REFUSED


def test_a_flood_is_sent_to_tcp_and_then_gets_nothing(names: FakeNames, held_clock: HeldClock) -> None:
    inbound = server(names, rate_limit=2, **OPEN)
    answers = [told(inbound, QUERY, PUBLIC) for _ in range(6)]
    assert [bool(answer and addresses(answer)) for answer in answers] == [True, True, False, False, False, False]
    assert [bool(answer) for answer in answers[2:]] == [True, False, True, False]
    assert parse(answers[2]).truncated
    assert len(answers[2]) <= len(QUERY)
    held_clock.advance(1)
    assert addresses(told(inbound, QUERY, PUBLIC))


def test_without_a_limit_there_is_none(names: FakeNames) -> None:
    inbound = server(names, rate_limit=0, **OPEN)
    assert all(addresses(told(inbound, QUERY, PUBLIC)) for _ in range(500))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", QUERY[:11], QUERY[:2] + b"\x81" + QUERY[3:], bytes([255] * 600)],
    ids=["empty", "short", "cut", "an answer", "ones"],
)
def test_what_is_no_query_gets_nothing(names: FakeNames, data: bytes) -> None:
    for inbound in (server(names), server(names, **OPEN)):
        for name in (PRIVATE, PUBLIC):
            assert not told(inbound, data, name)


@pytest.mark.parametrize("data", [QUERY[:20], QUERY + b"\0", QUERY[:4] + b"\0\2" + QUERY[6:]])
def test_a_bad_query_is_told_so(names: FakeNames, data: bytes) -> None:
    answer = told(server(names), data, PRIVATE)
    assert parse(answer).rcode == types.FORMERR


def test_a_limited_flood_of_garbage_gets_nothing(names: FakeNames, held_clock: HeldClock) -> None:
    inbound = server(names, rate_limit=1, **OPEN)
    told(inbound, QUERY, PUBLIC)
    assert [told(inbound, QUERY[:20], PUBLIC) for _ in range(4)] == [b""] * 4


def test_questions_on_a_stream(names: FakeNames) -> None:
    inbound = server(names)
    whole = FakeNames().exchange(query_for("big.example.org"), new_session())
    first = FakeNames().exchange(QUERY, new_session())
    talk = play(inbound.accept, session_of(PRIVATE))
    talk >> framed(QUERY, query_for("slow.example.org"), query_for("big.example.org")) << framed(first, whole)
    names.go.set()
    late = names.exchange(query_for("slow.example.org"), new_session())
    talk << framed(late)
    talk.end().closed()
    assert {session.source.host for session in names.sessions[:-1]} == {IPv4Address("10.0.0.1")}


def test_strangers_are_refused_on_a_stream_too(names: FakeNames) -> None:
    talk = play(server(names).accept, new_session(CLIENT))
    talk >> framed(QUERY)
    talk._listen(lambda: len(talk._heard) > 12)
    assert parse(bytes(talk._heard[2:])).rcode == types.REFUSED
    talk._heard.clear()
    talk.end().closed()
    assert not names.queries


def test_a_stream_that_is_cut_is_told_of(names: FakeNames) -> None:
    play(server(names).accept, session_of(PRIVATE)).__rshift__(b"\1\0half").end().closed(ProtocolError)


def test_a_client_without_an_address_may_ask(names: FakeNames) -> None:
    unix = new_session(Address(IPv4Address(0), 0))
    talk = play(server(names, listen="unix:/x", allow="192.0.2.0/24").accept, unix) >> framed(QUERY)
    talk << framed(FakeNames().exchange(QUERY, unix))
    talk.end().closed()


def test_questions_on_streams_are_counted_one_by_one(names: FakeNames) -> None:
    counted: list[int] = []
    inbound = server(names, lambda: counted.append(1))
    answer = FakeNames().exchange(QUERY, new_session())
    (play(inbound.accept, session_of(PRIVATE)) >> framed(QUERY, QUERY) << framed(answer, answer)).end().closed()
    assert len(counted) == 2
