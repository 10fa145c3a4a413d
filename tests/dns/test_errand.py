"""gproxy.dns.errand: questions that nobody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from gproxy.base.errors import DialError
from gproxy.base.session import LookupOptions
from gproxy.dns.asking import Asking, Query
from gproxy.dns.cache import Cache
from gproxy.dns.errand import Errand, Found
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Message, parse
from tests.dns.kit import FakeServer, PromptServer, new_session, reply
from tests.support.clock import HeldClock
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")
QUERY = Query.of("www.site.test", types.A)


class Room:
    """One server, what asks it, and who was told that an errand is ready."""

    def __init__(self, server: FakeServer | None = None, *, cached: bool = True, **said: Any) -> None:
        self.server = PromptServer(lambda name, kind: reply(name, kind, "192.0.2.9"))
        self.cache = Cache()
        self.asking = Asking({"a": server or self.server}, self.cache if cached else None, **said)
        self.ready: list[Errand] = []

    def errand(self, query: Query = QUERY, **how: Any) -> Errand:
        found = self.asking.at_once("a", query, new_session(), LookupOptions(**how))
        assert isinstance(found, Errand)
        return found

    def begun(self, query: Query = QUERY, **how: Any) -> Errand:
        errand = self.errand(query, **how)
        assert errand.soon(lambda: self.ready.append(errand))
        assert errand not in self.ready
        return errand

    def ask(self) -> Found:
        return self.asking.ask("a", QUERY, new_session(), LookupOptions())

    def count(self) -> tuple[int, int]:
        """Exchanges that were answered, and that were not."""
        return sum(self.asking.exchanges["a"].counts), self.asking.failures["a"]


def answer(address: str = "192.0.2.1", ttl: int = 300) -> Message:
    return reply("www.site.test", types.A, address, ttl=ttl)


def addresses(found: Found) -> list[bytes]:
    return [each.data for each in found.message().answer]


def test_an_answer_that_nobody_waits_for() -> None:
    room = Room()
    errand = room.begun()
    message, question, _, under = room.server.started[0]
    assert question == QUERY.question
    assert parse(message).question == parse(answer().encode()).question
    room.server.tell(answer())
    assert room.ready == [errand]
    found = errand.found()
    assert (addresses(found), found.ttl, found.server) == ([b"\xc0\0\2\1"], 300, "a")
    assert (room.count(), room.server.asked, under.forgotten) == ((1, 0), [], False)
    assert (room.cache.hits, room.cache.misses) == (0, 1)
    assert isinstance(room.asking.at_once("a", QUERY, new_session(), LookupOptions()), Found)


@pytest.mark.parametrize("how", [{"rewrite_ttl": 7}, {"rewrite_ttl": 0}])
def test_a_rewritten_time_to_live(how: dict[str, Any]) -> None:
    room = Room()
    errand = room.begun(**how)
    room.server.tell(answer())
    assert errand.found().ttl == how["rewrite_ttl"]
    assert len(room.cache) == (1 if how["rewrite_ttl"] else 0)


def test_without_a_cache() -> None:
    room = Room(cached=False)
    errand = room.begun(rewrite_ttl=9)
    room.server.tell(answer())
    assert errand.found().ttl == 9


def test_a_server_that_has_to_be_waited_for() -> None:
    plain = FakeServer(lambda name, kind: reply(name, kind, "192.0.2.3"))
    room = Room(plain)
    errand = room.errand()
    assert not errand.soon(lambda: None)
    assert addresses(errand.found()) == [b"\xc0\0\2\3"]


def test_a_server_that_can_not_be_asked_without_waiting_just_now() -> None:
    room = Room()
    room.server.busy = True
    errand = room.errand()
    assert not errand.soon(lambda: None)
    assert addresses(errand.found()) == [b"\xc0\0\2\x09"]


def test_who_is_asked_for_by_a_server_waits() -> None:
    room = Room()
    session = new_session()
    session.asking = ("b",)
    errand = room.asking.at_once("a", QUERY, session, LookupOptions())
    assert isinstance(errand, Errand)
    assert not errand.soon(lambda: None)
    session.asking = ("a",)
    with pytest.raises(DialError, match="would have to ask itself"):
        errand.found()


def test_others_wait_for_the_same() -> None:
    room = Room()
    errand = room.begun()
    found: list[Found] = []
    with Group("others") as group:
        for _ in range(3):
            group.spawn(lambda: found.append(room.ask()))
        sleep(0)
        assert not room.errand().soon(lambda: None)
        room.server.tell(answer())
        assert addresses(errand.found()) == [b"\xc0\0\2\1"]
        group.join()
    assert [addresses(each) for each in found] == [[b"\xc0\0\2\1"]] * 3
    assert (len(room.server.started), room.server.asked) == (1, [])


def test_a_failure_is_everybodys() -> None:
    room = Room()
    errand = room.begun()
    failures: list[str] = []

    def ask() -> None:
        with pytest.raises(DialError) as caught:
            room.ask()
        failures.append(str(caught.value))

    with Group("others") as group:
        group.spawn(ask)
        sleep(0)
        room.server.fail("an answer to another question")
        assert room.ready == [errand]
        with pytest.raises(DialError, match="DNS server a: an answer to another question"):
            errand.found()
        group.join()
    assert failures == ["DNS server a: an answer to another question"]
    assert (room.count(), room.cache.led(errand._key)) == ((0, 1), False)


@pytest.mark.parametrize("message", [b"\0\0\x80\0\0\1\0\1\0\0\0\0", reply("other.test", types.A, "192.0.2.1").encode()])
@pytest.mark.parametrize("cached", [True, False])
def test_an_answer_that_is_none(message: bytes, cached: bool) -> None:
    room = Room(cached=cached)
    errand = room.begun()
    room.server.tell(message)
    if cached or message[4:8] != b"\0\1\0\1":  # the server itself sees to it that the question is the same
        with pytest.raises(DialError):
            errand.found()
    assert len(room.cache) == 0
    again = room.errand()
    assert again.soon(lambda: None)
    room.server.tell(answer())
    assert addresses(again.found()) == [b"\xc0\0\2\1"]


@pytest.mark.parametrize("cached", [True, False])
def test_what_was_broken_is_asked_again_by_a_greenlet(cached: bool) -> None:
    room = Room(cached=cached)
    errand = room.begun()
    room.server.fail("the connection broke", again=True)
    assert not room.ready
    wait_until(lambda: room.ready, "it is not asked again")
    assert addresses(errand.found()) == [b"\xc0\0\2\x09"]
    assert (len(room.server.asked), room.count()) == (1, (1, 0))
    assert not room.cache.led(errand._key)


def test_what_fails_again_has_failed() -> None:
    room = Room()

    def fails(name: str, kind: int) -> Message:
        raise DialError("nobody there", reason="dns")

    room.server.say = fails
    errand = room.begun()
    room.server.fail("the connection broke", again=True)
    wait_until(lambda: room.ready, "it is not asked again")
    with pytest.raises(DialError, match="nobody there"):
        errand.found()
    assert (room.count(), room.cache.led(errand._key)) == ((0, 1), False)


def test_asked_again_there_is_only_the_rest_of_the_time() -> None:
    room = Room(timeout=0.1)
    room.server.go.clear()
    errand = room.begun()
    began = errand._began
    sleep(0.05)
    room.server.fail("the connection broke", again=True)
    wait_until(lambda: room.ready, "there is no end")
    with pytest.raises(DialError, match="no answer in time"):
        errand.found()
    assert room.asking.failures["a"] == 1
    assert errand._began == began


@pytest.mark.parametrize("rcode", [types.FORMERR, types.NOTIMP])
def test_a_server_that_does_not_know_edns(rcode: int) -> None:
    room = Room()
    errand = room.begun()
    room.server.tell(reply("www.site.test", types.A, rcode=rcode))
    wait_until(lambda: room.ready, "it is not asked again")
    assert addresses(errand.found()) == [b"\xc0\0\2\x09"]
    assert [parse(each.message).edns for each in room.server.asked] == [None]


def test_too_late() -> None:
    room = Room(timeout=5)
    errand = room.begun(timeout=0.02)
    wait_until(lambda: room.ready, "it waits for ever")
    assert room.server.started[0][3].forgotten
    with pytest.raises(DialError, match=r"www\.site\.test: no answer in time from DNS server `a`"):
        errand.found()
    assert room.count() == (0, 1)
    room.ready.clear()
    again = room.begun()  # nothing stands in its way
    room.server.tell(answer())
    assert addresses(again.found()) == [b"\xc0\0\2\1"]


def test_somebody_else_has_the_answer_first(held_clock: HeldClock) -> None:
    room = Room()
    errand = room.begun()
    held_clock.advance(1.5)  # too long for others to wait for that one alone
    assert addresses(room.ask()) == [b"\xc0\0\2\x09"]
    assert room.ready == [errand]
    assert room.server.started[0][3].forgotten
    assert addresses(errand.found()) == [b"\xc0\0\2\x09"]


def test_it_has_the_answer_before_somebody_else(held_clock: HeldClock) -> None:
    room = Room()
    errand = room.begun()
    held_clock.advance(1.5)
    room.server.go.clear()
    found: list[Found] = []
    with Group("others") as group:
        group.spawn(lambda: found.append(room.ask()))
        sleep(0)
        room.server.tell(answer())
        assert addresses(errand.found()) == [b"\xc0\0\2\1"]
        group.join()
    assert addresses(found[0]) == [b"\xc0\0\2\1"]


def test_the_end_of_the_cache_leaves_it_its_own_answer() -> None:
    room = Room()
    errand = room.begun()
    room.cache.close()
    room.server.tell(answer())
    assert addresses(errand.found()) == [b"\xc0\0\2\1"]


def test_hints_that_nobody_wants_are_taken_away() -> None:
    hints = b"\0\1\0" + b"\0\4\0\4\xc0\0\2\1" + b"\0\6\0\x10" + bytes(15) + b"\1"
    room = Room()
    errand = room.begun(Query.of("www.site.test", types.HTTPS), strategy="ipv4_only")
    room.server.tell(reply("www.site.test", types.HTTPS, hints))
    assert addresses(errand.found()) == [b"\0\1\0" + b"\0\4\0\4\xc0\0\2\1"]
    errand = room.begun(Query.of("web.site.test", types.HTTPS), strategy="ipv4_only")
    room.server.tell(reply("web.site.test", types.HTTPS, b"\0\1\0\0\4\0\x09\xc0"))
    with pytest.raises(DialError, match="a bad DNS answer"):
        errand.found()
    assert not room.cache.led(errand._key)
