"""gproxy.dns.asking: one question to one server."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from gproxy.base.errors import DialError
from gproxy.base.session import DEFAULT_LOOKUP, LookupOptions
from gproxy.dns.asking import Asking, Query
from gproxy.dns.cache import Cache
from gproxy.dns.errand import Found
from gproxy.rt.group import Group
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, parse
from gproxy.wire.dns.subnet import subnet_of
from tests.dns.kit import FakeServer, at, failing, new_session, reply

pytestmark = pytest.mark.usefixtures("no_leaks")
QUERY = Query.of("www.site.test", types.A)


def asking(server: FakeServer, *, cache: Cache | None = None, **said: Any) -> Asking:
    return Asking({"a": server}, cache, **said)


def ask(room: Asking, query: Query = QUERY, **how: Any) -> Found:
    return room.ask("a", query, new_session(), LookupOptions(**how) if how else DEFAULT_LOOKUP)


def sent(server: FakeServer, index: int = -1) -> Message:
    return parse(server.asked[index].message)


def test_what_is_sent() -> None:
    server = at("192.0.2.1")
    assert [str(each.name) for each in ask(asking(server)).message().answer] == ["www.site.test"]
    message = sent(server)
    assert (message.id, message.recursion_desired, message.authentic, message.checking_disabled) == (
        0,
        True,
        True,
        False,
    )
    assert message.edns == Edns(1232)
    ask(asking(server), replace(QUERY, dnssec=True, checking_disabled=True, recursion_desired=False))
    message = sent(server)
    assert (message.checking_disabled, message.recursion_desired, message.edns) == (True, False, Edns(1232, do=True))


def test_on_whose_behalf() -> None:
    server = at("192.0.2.1")
    ask(asking(server))
    session = server.asked[0].session
    assert (session.asking, str(session.target.host), session.query_type) == (("a",), "www.site.test", types.A)


def test_a_server_that_would_ask_itself() -> None:
    session = new_session()
    session.asking = ("a", "b")
    with pytest.raises(DialError, match="`a` → `b` → `a`") as caught:
        asking(at("192.0.2.1")).ask("a", QUERY, session, DEFAULT_LOOKUP)
    assert caught.value.reason == "dns"


def test_who_does_not_answer_in_time() -> None:
    server = at("192.0.2.1")
    server.go.clear()
    with pytest.raises(DialError, match="no answer in time from DNS server `a`"):
        ask(asking(server, timeout=0.01))
    with pytest.raises(DialError, match="no answer in time"):
        ask(asking(server), timeout=0.01)


def test_who_does_not_know_edns() -> None:
    def say(name: str, kind: int) -> Message:
        edns = parse(server.asked[-1].message).edns
        return reply(name, kind, *(["192.0.2.1"] if edns is None else []), rcode=types.FORMERR if edns else 0)

    server = FakeServer(say)
    assert len(ask(asking(server)).message().answer) == 1
    assert [sent(server, index).edns is None for index in (0, 1)] == [False, True]


def test_what_is_remembered_is_not_asked_for() -> None:
    server = at("192.0.2.1")
    room = asking(server, cache=Cache())
    assert not isinstance(room.at_once("a", QUERY, new_session(), DEFAULT_LOOKUP), Found)
    ask(room)
    assert isinstance(room.at_once("a", QUERY, new_session(), DEFAULT_LOOKUP), Found)
    ask(room)
    assert len(server.asked) == 1
    for other in (replace(QUERY, dnssec=True), replace(QUERY, subnet=ip_network("192.0.2.0/24"))):
        assert not isinstance(room.at_once("a", other, new_session(), DEFAULT_LOOKUP), Found)
        ask(room, other)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("query", "how"), [(QUERY, {"disable_cache": True}), (replace(QUERY, recursion_desired=False), {})]
)
def test_what_is_not_for_the_cache(query: Query, how: dict[str, Any]) -> None:
    server = at("192.0.2.1")
    room = asking(server, cache=Cache())
    ask(room, query, **how)
    ask(room, query, **how)
    assert len(server.asked) == 2


def test_a_server_that_never_waits_is_asked_at_once() -> None:
    server = at("192.0.2.1", waits=False, cacheable=False)
    found = asking(server).at_once("a", QUERY, new_session(), LookupOptions(rewrite_ttl=9))
    assert found is not None
    assert (found.ttl, found.server) == (9, "a")


def test_the_ttl_may_be_another_one() -> None:
    server = at("192.0.2.1")
    assert ask(asking(server)).ttl == 300
    assert ask(asking(server), rewrite_ttl=7).ttl == 7
    assert ask(asking(server, cache=Cache()), rewrite_ttl=7).message().answer[0].ttl == 7


def test_the_same_is_asked_for_once() -> None:
    server = at("192.0.2.1")
    server.go.clear()
    room = asking(server, cache=Cache())
    found: list[Found] = []
    with Group("askers") as group:
        for _ in range(5):
            group.spawn(lambda: found.append(ask(room)))
        while not server.asked:
            group.join(0.001)
        server.go.set()
        group.join(30)
    assert (len(found), len(server.asked)) == (5, 1)


@pytest.mark.parametrize(
    ("default", "how", "own", "expected"),
    [
        ("", {}, "", ""),
        ("", {}, "10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.0/24", {}, "10.0.0.0/8", "192.0.2.0/24"),
        ("192.0.2.0/24", {"client_subnet": ip_network("198.51.100.0/24")}, "", "198.51.100.0/24"),
        ("192.0.2.0/24", {"remove_client_subnet": True}, "10.0.0.0/8", ""),
    ],
)
def test_client_subnets(default: str, how: dict[str, Any], own: str, expected: str) -> None:
    server = at("192.0.2.1")
    room = asking(server, client_subnet=ip_network(default) if default else None)
    ask(room, replace(QUERY, subnet=ip_network(own) if own else None), **how)
    subnet = subnet_of(sent(server).edns)
    assert (str(subnet.network) if subnet is not None else "") == expected


@pytest.mark.parametrize(
    ("strategy", "kind", "asked"),
    [("ipv4_only", types.AAAA, 0), ("ipv6_only", types.A, 0), ("ipv4_only", types.A, 1), ("prefer_ipv6", types.A, 1)],
)
def test_what_the_strategy_does_not_want_is_not_there(strategy: Any, kind: int, asked: int) -> None:
    server = at("192.0.2.1", "2001:db8::1")
    for room, how in ((asking(server, strategy=strategy), {}), (asking(server), {"strategy": strategy})):
        server.asked.clear()
        query = Query.of("www.site.test", kind)
        found = ask(room, query, **how)
        assert (len(found.message().answer), len(server.asked)) == (asked, asked)
        assert isinstance(room.at_once("a", query, new_session(), LookupOptions(**how)), Found) is not bool(asked)


def test_hints_that_nobody_wants_are_taken_away() -> None:
    hints = b"\0\1\0" + b"\0\4\0\4\xc0\0\2\1" + b"\0\6\0\x10" + bytes(15) + b"\1"
    server = FakeServer(lambda name, kind: reply(name, kind, hints))
    query = Query.of("www.site.test", types.HTTPS)
    room = asking(server, cache=Cache())
    sizes = [len(ask(room, query, **how).message().answer[0].data) for how in
             ({}, {"strategy": "ipv4_only"}, {"strategy": "ipv6_only"}, {"strategy": "prefer_ipv4"})]  # fmt: skip
    assert sizes == [len(hints), len(hints) - 20, len(hints) - 8, len(hints)]


def test_bad_answers() -> None:
    class Bad(FakeServer):
        def exchange(self, ask: Any, /) -> bytes:
            return b"\0\0\x81\x80" + bytes(8)

    for room in (asking(Bad(reply)), asking(Bad(reply), cache=Cache())):
        with pytest.raises(DialError, match="bad DNS answer"):
            ask(room)
    with pytest.raises(DialError, match="nobody there"):
        ask(asking(failing()))


def test_no_names() -> None:
    with pytest.raises(ValueError, match="not a domain name"):
        Query.of("a..b", types.A)


def test_how_long_answers_take_is_counted_and_how_many_fail() -> None:
    server = at("192.0.2.1")
    room = asking(server, cache=Cache())
    ask(room)
    ask(room)
    assert (sum(room.exchanges["a"].counts), room.failures["a"]) == (1, 0)
    room = asking(failing())
    with pytest.raises(DialError):
        ask(room)
    assert (sum(room.exchanges["a"].counts), room.failures["a"]) == (0, 1)


def test_answers_from_the_cache_are_counted() -> None:
    cache = Cache()
    room = asking(at("192.0.2.1"), cache=cache)
    ask(room)
    assert (cache.hits, cache.misses) == (0, 1)
    ask(room)
    assert isinstance(room.at_once("a", QUERY, new_session(), DEFAULT_LOOKUP), Found)
    assert (cache.hits, cache.misses) == (2, 1)
