from __future__ import annotations

from collections.abc import Callable

import pytest

from gproxy.base.iface import Soon
from gproxy.net.desk import Desk
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Record, parse
from gproxy.wire.dns.quick import LONGEST
from tests.support.clock import HeldClock
from tests.support.names import ADDRESS, FakeNames, addresses, query_for
from tests.support.playbook import new_session

SESSION = new_session()
SUBNET = Edns(options=((types.CLIENT_SUBNET, b"\0\1\x18\0\xc0\0\2"),))


def whole(desk: Desk, query: bytes) -> bytes:
    """The answer that there is at once."""
    answer = desk.begin(query, SESSION)
    assert isinstance(answer, bytes)
    return answer


def cut(desk: Desk, query: bytes) -> bytes:
    """The same for a datagram."""
    answer = desk.begin_datagram(query, SESSION)
    assert isinstance(answer, bytes)
    return answer


@pytest.fixture
def names() -> FakeNames:
    return FakeNames()


@pytest.fixture
def desk(names: FakeNames) -> Desk:
    return Desk(names, "in", subnets=False)


class Promptly(Soon):
    """An answer that is longer than any datagram without EDNS."""

    def __init__(self, query: bytes) -> None:
        name = parse(query).question
        assert name is not None
        records = tuple(Record(name.name, types.A, 60, bytes(4)) for _ in range(60))
        self.whole = Message(7, True, question=name, answer=records).encode()

    def soon(self, ready: Callable[[], object], /) -> bool:
        ready()
        return True

    def __call__(self) -> bytes:
        return self.whole


def test_what_needs_no_greenlet_does_not_get_one_for_being_cut(
    desk: Desk, names: FakeNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = query_for("example.org")
    monkeypatch.setattr(names, "begin", lambda query, session: Promptly(query))
    later = desk.begin_datagram(query, SESSION)
    ready: list[bool] = []
    assert isinstance(later, Soon)
    assert later.soon(lambda: ready.append(True))
    assert ready == [True]
    assert len(later()) <= 512
    monkeypatch.setattr(names, "begin", lambda query, session: Promptly(query).__call__)
    later = desk.begin_datagram(query, SESSION)
    assert isinstance(later, Soon)
    assert not later.soon(lambda: None)
    assert len(later()) <= 512


def test_a_question_is_answered_at_once_or_by_work(desk: Desk, names: FakeNames) -> None:
    assert addresses(whole(desk, query_for("example.org")))
    later = desk.begin(query_for("slow.example.org"), SESSION)
    by_datagram = desk.begin_datagram(query_for("slow.example.org"), SESSION)
    assert callable(later)
    assert callable(by_datagram)
    names.go.set()
    assert addresses(later())
    assert addresses(by_datagram())
    assert names.sessions == [SESSION] * 3


def test_work_may_lead_to_silence(desk: Desk, names: FakeNames) -> None:
    names.go.set()
    later = desk.begin_datagram(query_for("slow.silent.example.org"), SESSION)
    assert callable(later)
    assert later() == b""


@pytest.mark.parametrize("size", [0, 512, 1232, 4096])
def test_a_datagram_has_no_more_than_the_client_takes(desk: Desk, names: FakeNames, size: int) -> None:
    query = query_for("big.example.org", edns=Edns(size=size) if size else None)
    answer = cut(desk, query)
    assert len(answer) <= min(max(size, 512), 1232)
    assert parse(answer).truncated
    assert len(addresses(whole(desk, query))) == 200
    names.go.set()
    later = desk.begin_datagram(query_for("slow.big.example.org", edns=Edns(size=size) if size else None), SESSION)
    assert callable(later)
    assert 300 < len(later()) <= min(max(size, 512), 1232)


def test_any_is_answered_without_asking(desk: Desk, names: FakeNames) -> None:
    query = query_for("example.org", types.ANY)
    for answer in (whole(desk, query), cut(desk, query)):
        assert parse(answer).answer[0].type == types.HINFO
    assert not names.queries


@pytest.mark.parametrize("subnets", [False, True])
def test_the_clients_subnet_goes_on_if_it_may(names: FakeNames, *, subnets: bool) -> None:
    desk = Desk(names, "in", subnets=subnets)
    query = query_for("example.org", edns=SUBNET)
    whole(desk, query)
    cut(desk, query)
    said = [parse(query).edns for query in names.queries]
    assert said == [SUBNET if subnets else Edns()] * 2


def test_an_answer_to_a_datagram_is_known_for_some_seconds(desk: Desk, names: FakeNames, held_clock: HeldClock) -> None:
    query = query_for("example.org")
    assert desk.known(query) is None
    answer = cut(desk, query)
    assert desk.known(query) == answer
    held_clock.advance(LONGEST)
    assert desk.known(query) is None


def test_nothing_is_known_where_it_matters_who_asks(desk: Desk, names: FakeNames) -> None:
    names.same = False
    query = query_for("example.org")
    cut(desk, query)
    assert desk.known(query) is None


def test_only_what_is_asked_so_again_is_known(desk: Desk, names: FakeNames) -> None:
    names.go.set()
    odd = query_for("example.org").replace(b"example", b"exaMPle")
    for query in (odd, query_for("example.org", edns=SUBNET), query_for("example.org")[:20]):
        cut(desk, query)
        assert desk.known(query) is None
    slow = query_for("slow.example.org")
    later = desk.begin_datagram(slow, SESSION)
    assert callable(later)
    assert later()
    assert desk.known(slow) is None


def test_the_letters_come_back_as_they_were(desk: Desk) -> None:
    query = query_for("example.org").replace(b"example", b"exaMPle")
    answer = cut(desk, query)
    assert query[12:] in answer


def test_what_can_not_be_read_is_the_resolvers_to_answer(desk: Desk) -> None:
    answer = cut(desk, query_for("example.org")[:14])
    assert parse(answer).rcode == types.FORMERR


def test_an_answer_that_is_no_message_is_a_failure_where_it_must_be_cut(desk: Desk, names: FakeNames) -> None:
    names._answer = lambda query, session: b"\0" * 4 + b"\0\1" + b"\xff" * 2000  # type: ignore[method-assign]
    answer = cut(desk, query_for("example.org"))
    assert parse(answer).rcode == types.SERVFAIL


def test_the_address_is_the_one_that_was_told(desk: Desk) -> None:
    assert addresses(whole(desk, query_for("example.org"))) == [ADDRESS]
