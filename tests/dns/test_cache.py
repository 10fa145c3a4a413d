"""The cache: how long what is kept, who waits for whom, what happens when nobody answers."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import pytest

from gproxy.base.errors import DialError
from gproxy.dns.cache import (
    LEAST_CAPACITY,
    MOST_NEGATIVE,
    MOST_TTL,
    STALE_TTL,
    Cache,
    Hit,
    cache_key,
)
from gproxy.dns.shared import Shared
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event, sleep
from gproxy.wire.dns import types
from gproxy.wire.dns.message import Edns, Message, Record, make_query, parse
from tests.support.clock import HeldClock
from tests.support.wait import wait_until
from tests.wire.dns.samples import a, answer, cname, soa

DAY = 86400.0


def question(name: str, kind: int = types.A) -> bytes:
    return make_query(name, kind)[12:]


def key(name: str, kind: int = types.A) -> bytes:
    return cache_key(b"server", question(name, kind))


def address(name: str, last: int = 1, ttl: int = 300) -> bytes:
    return answer(name, types.A, a(name, f"192.0.2.{last}", ttl), edns=Edns()).encode()


def nothing(name: str, rcode: int = types.NXDOMAIN, ttl: int = 900, minimum: int = 300) -> bytes:
    return answer(name, types.A, rcode=rcode, authority=(soa("example", ttl, minimum),)).encode()


def never() -> bytes:
    raise AssertionError("it was asked")


def refused() -> bytes:
    raise DialError("no answer", reason="dns")


def read(hit: Hit | None) -> Message:
    assert hit is not None
    return parse(hit.prepared.answer(1, hit.prepared.question, 0, hit.ttl))


def last_of(hit: Hit | None) -> int:
    """Which of the addresses it is."""
    return read(hit).answer[-1].data[-1]


class Upstream:
    """A server that answers, fails or is silent, as a test wants it."""

    def __init__(self, ttl: int = 300) -> None:
        self.asked = 0
        self.last = 1
        self.ttl = ttl
        self.alive = Event()
        self.alive.set()

    def asks(self, name: str) -> Callable[[], bytes]:
        def ask() -> bytes:
            self.asked += 1
            self.alive.wait()
            return address(name, self.last, self.ttl)

        return ask


@pytest.fixture
def group():
    with Group("test") as group:
        yield group


# Keys


def test_what_makes_answers_differ():
    plain = cache_key(b"a", question("Example.COM"))
    assert plain == cache_key(b"a", question("example.com"))
    others = [
        cache_key(b"b", question("example.com")),
        cache_key(b"", question("example.com")),
        cache_key(b"a", question("example.com", types.AAAA)),
        cache_key(b"a", question("xexample.com")),
        cache_key(b"a", question("example.com"), do=True),
        cache_key(b"a", question("example.com"), checking_disabled=True),
        cache_key(b"a", question("example.com"), do=True, checking_disabled=True),
        cache_key(b"a", question("example.com")[:-1] + b"\3"),
    ]
    assert len({plain, *others}) == 1 + len(others)
    # 0x41 is a letter in names only: types 65 and 97 are two.
    assert cache_key(b"a", question("a", 65)) != cache_key(b"a", question("a", 97))


# How long


def test_an_answer_is_kept_for_its_ttl_which_counts_down(held_clock: HeldClock):
    cache = Cache()
    assert cache.get(key("a")) is None
    first = cache.through(key("a"), lambda: address("a", ttl=300))
    assert (first.ttl, first.due) == (300, False)
    held_clock.advance(100.5)
    hit = cache.get(key("a"))
    assert hit is not None
    assert (hit.ttl, hit.due) == (199, False)
    assert read(hit).answer == (a("a", "192.0.2.1", 199),)
    held_clock.advance(199.4)
    assert cache.through(key("a"), never).ttl == 0
    held_clock.advance(0.1)
    assert cache.get(key("a")) is None
    assert (len(cache), cache.size) == (0, 0)
    assert last_of(cache.through(key("a"), lambda: address("a", 2))) == 2


def test_the_least_ttl_is_that_of_all(held_clock: HeldClock):
    cache = Cache()
    message = answer("a", types.A, cname("a", "b", 300), a("b", "192.0.2.1", 30)).encode()
    assert [record.ttl for record in read(cache.through(key("a"), lambda: message)).answer] == [30, 30]
    held_clock.advance(10)
    assert [record.ttl for record in read(cache.get(key("a"))).answer] == [20, 20]


@pytest.mark.parametrize("rcode", [types.NXDOMAIN, types.NOERROR])
def test_that_there_is_nothing_is_kept_as_the_soa_record_says(rcode: int, held_clock: HeldClock):
    cache = Cache()
    assert cache.through(key("a"), lambda: nothing("a", rcode, ttl=900, minimum=60)).ttl == 60
    held_clock.advance(59)
    assert read(cache.get(key("a"))).rcode == rcode
    assert [record.ttl for record in read(cache.get(key("a"))).authority] == [1]
    held_clock.advance(1)
    assert cache.get(key("a")) is None


@pytest.mark.parametrize(
    "message",
    [
        answer("a", types.A),
        answer("a", types.A, rcode=types.NXDOMAIN),
        answer("a", types.A, authority=(Record("a", types.NS, 300, b"\1b\0"),)),
        answer("a", types.A, rcode=types.SERVFAIL, authority=(soa("a"),)),
        answer("a", types.A, a("a", "192.0.2.1"), rcode=types.REFUSED),
        answer("a", types.A, a("a", "192.0.2.1", 0)),
    ],
)
def test_what_is_not_kept(message: Message):
    cache = Cache()
    assert read(cache.through(key("a"), message.encode)).rcode == message.rcode
    assert cache.get(key("a")) is None


def test_nothing_is_kept_for_ever(held_clock: HeldClock):
    cache = Cache()
    assert cache.through(key("a"), lambda: address("a", ttl=2**31 - 1)).ttl == MOST_TTL
    assert cache.through(key("b"), lambda: nothing("b", ttl=10**6, minimum=10**6)).ttl == MOST_NEGATIVE


def test_a_rule_may_say_how_long(held_clock: HeldClock):
    cache = Cache()
    assert read(cache.through(key("a"), lambda: address("a", ttl=5), rewrite_ttl=100)).answer[0].ttl == 100
    held_clock.advance(60)
    assert cache.through(key("a"), never, rewrite_ttl=7).ttl == 40
    assert cache.through(key("b"), lambda: address("b"), rewrite_ttl=0).ttl == 0
    assert cache.get(key("b")) is None


def test_answers_that_do_not_expire(held_clock: HeldClock):
    cache = Cache(expire=False)
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(1000 * DAY)
    assert cache.through(key("a"), never)[1:] == (300, False)


def test_an_answer_to_another_question_is_none():
    cache = Cache()
    for message in (address("b"), answer("a", types.AAAA).encode(), make_query("a", types.A), b"garbage", b""):
        with pytest.raises(DialError) as failed:
            cache.through(key("a"), lambda message=message: message)
        assert failed.value.word == "dial-dns"
    assert cache.get(key("a")) is None


def test_letters_may_differ_in_case():
    cache = Cache()
    cache.through(key("a"), lambda: address("a").replace(b"\1a", b"\1A"))
    assert cache.get(key("A")) is not None


def test_everything_can_be_forgotten():
    cache = Cache(shared=Shared(16))
    cache.through(key("a"), lambda: address("a"))
    cache.flush()
    assert cache.get(key("a")) is None
    assert (len(cache), cache.size) == (0, 0)


# Beyond the end


def test_an_old_answer_is_given_while_a_new_one_is_asked_for(held_clock: HeldClock):
    cache = Cache(optimistic=3 * DAY)
    upstream = Upstream()
    cache.through(key("a"), upstream.asks("a"))
    held_clock.advance(300)
    upstream.last = 2
    upstream.alive.clear()
    hit = cache.through(key("a"), upstream.asks("a"))
    assert (last_of(hit), hit.ttl, hit.due) == (1, STALE_TTL, False)
    assert [last_of(cache.through(key("a"), upstream.asks("a"))) for _ in range(50)] == [1] * 50
    upstream.alive.set()
    wait_until(lambda: last_of(cache.get(key("a"))) == 2, "it was not asked for anew")
    assert upstream.asked == 2
    assert cache.through(key("a"), never).ttl == 300


def test_whoever_gets_an_old_answer_in_the_hub_is_told_once(held_clock: HeldClock):
    cache = Cache(optimistic=3 * DAY)
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(300)
    assert [hit.due for hit in (cache.get(key("a")), cache.get(key("a"))) if hit] == [True, False]
    held_clock.advance(2)
    hit = cache.get(key("a"))
    assert hit is not None
    assert hit.due  # nobody has seen to it
    cache.refresh(key("a"), lambda: address("a", 2))
    wait_until(lambda: last_of(cache.get(key("a"))) == 2, "it was not asked for anew")


def test_old_answers_have_an_end_too(held_clock: HeldClock):
    cache = Cache(optimistic=60)
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(359.9)
    assert cache.get(key("a")) is not None
    held_clock.advance(0.1)
    assert cache.get(key("a")) is None
    assert len(cache) == 0


def test_a_rule_may_refuse_old_answers(held_clock: HeldClock):
    cache = Cache(optimistic=3 * DAY)
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(300)
    assert cache.get(key("a"), stale=False) is None
    assert last_of(cache.get(key("a"))) == 1
    assert last_of(cache.through(key("a"), lambda: address("a", 2), stale=False)) == 2


@pytest.mark.parametrize(
    ("fresh", "kept"),
    [
        (answer("a", types.A, rcode=types.SERVFAIL).encode, True),
        (refused, True),
        (lambda: b"garbage", True),
        (lambda: address("a", ttl=0), False),
        (answer("a", types.A, rcode=types.NXDOMAIN).encode, False),  # there is nothing, nobody says how long
    ],
)
def test_what_displaces_an_old_answer(fresh: Callable[[], bytes], kept: bool, held_clock: HeldClock):
    cache = Cache(optimistic=3 * DAY)
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(300)
    over = Event()

    def ask() -> bytes:
        over.set()
        return fresh()

    cache.through(key("a"), ask)
    over.wait()
    sleep(0)
    assert (cache.get(key("a")) is not None) == kept


def test_a_server_that_fails_is_not_asked_all_the_time(held_clock: HeldClock):
    cache = Cache(optimistic=3 * DAY)
    upstream = Upstream()
    cache.through(key("a"), upstream.asks("a"))
    held_clock.advance(300)

    def ask() -> bytes:
        upstream.asked += 1
        return refused()

    for _ in range(100):
        assert last_of(cache.through(key("a"), ask)) == 1
        sleep(0)
        held_clock.advance(0.1)
    assert 5 <= upstream.asked - 1 <= 6


def test_only_so_many_are_asked_for_behind_answers_at_once(held_clock: HeldClock):
    """A server that is silent is asked 256 questions in a second, one that answers as many as there are."""
    cache, upstream = Cache(optimistic=3 * DAY), Upstream()
    names = [f"{number}" for number in range(1000)]

    def ask_for_all() -> int:
        before = upstream.asked
        for name in names:
            cache.through(key(name), upstream.asks(name))
        sleep(0)
        return upstream.asked - before

    assert ask_for_all() == 1000
    held_clock.advance(300)
    upstream.alive.clear()
    assert [ask_for_all(), ask_for_all()] == [256, 0]
    held_clock.advance(1)
    assert ask_for_all() == 256
    held_clock.advance(10)
    upstream.alive.set()
    wait_until(lambda: not len(cache._group), "they are not answered")
    asked = 0
    for name in names:
        before = upstream.asked
        cache.through(key(name), upstream.asks(name))
        sleep(0)
        sleep(0)
        asked += upstream.asked - before
    assert asked == 1000 - 512  # the others were answered at last


def test_there_is_a_limit_for_all_that_is_asked_for_behind_answers(held_clock: HeldClock):
    cache, upstream = Cache(optimistic=3 * DAY), Upstream()
    names = [f"{number}" for number in range(4000)]
    for name in names:
        cache.through(key(name), upstream.asks(name))
    held_clock.advance(300)
    upstream.alive.clear()
    for _ in range(20):
        for name in names:
            cache.through(key(name), upstream.asks(name))
        sleep(0)
        held_clock.advance(1)
    assert upstream.asked == 4000 + 2048
    cache.close()


# Before the end


def test_popular_answers_are_asked_for_before_their_end(held_clock: HeldClock):
    cache = Cache(prefetch=True)
    cache.through(key("a"), lambda: address("a"))
    cache.through(key("b"), lambda: address("b"))
    for _ in range(5):
        cache.get(key("a"))
    held_clock.advance(269)
    assert not any(hit.due for hit in (cache.get(key("a")), cache.get(key("b"))) if hit)
    held_clock.advance(2)
    hit = cache.through(key("a"), lambda: address("a", 2))
    assert (last_of(hit), hit.ttl) == (1, 29)
    wait_until(lambda: last_of(cache.get(key("a"))) == 2, "it was not asked for anew")
    rare = cache.get(key("b"))
    assert rare is not None
    assert not rare.due
    assert cache.through(key("a"), never).ttl == 300


def test_without_prefetch_nothing_is_due_before_its_end(held_clock: HeldClock):
    cache = Cache()
    cache.through(key("a"), lambda: address("a"))
    held_clock.advance(299)
    assert not any(hit.due for hit in (cache.get(key("a")) for _ in range(9)) if hit)


# Many who ask the same


def test_many_wait_for_one_exchange(group: Group):
    cache, upstream, got = Cache(), Upstream(), []
    upstream.alive.clear()
    for _ in range(100):
        group.spawn(lambda: got.append(cache.through(key("a"), upstream.asks("a"))))
    other = group.spawn(lambda: got.append(cache.through(key("b"), lambda: address("b"))))
    other.join()
    assert (len(got), upstream.asked) == (1, 1)
    upstream.alive.set()
    group.join(30)
    assert len(got) == 101
    assert upstream.asked == 1
    assert {last_of(hit) for hit in got} == {1}


def test_when_the_exchange_fails_soon_all_who_wait_fail(group: Group):
    cache, asked, failed = Cache(), [], []
    go = Event()

    def ask() -> bytes:
        asked.append(1)
        go.wait()
        return refused()

    def client() -> None:
        try:
            cache.through(key("a"), ask)
        except DialError as error:
            failed.append(error)

    for _ in range(50):
        group.spawn(client)
    sleep(0)
    go.set()
    group.join(30)
    assert (len(asked), len(failed)) == (1, 50)
    assert len(set(map(id, failed))) == 50  # each has an exception of its own
    assert {error.word for error in failed} == {"dial-dns"}
    assert last_of(cache.through(key("a"), lambda: address("a"))) == 1


def test_when_who_asks_is_killed_another_one_asks(group: Group):
    cache, upstream, got = Cache(), Upstream(), []
    upstream.alive.clear()
    first = group.spawn(lambda: got.append(cache.through(key("a"), upstream.asks("a"))))
    sleep(0)
    for _ in range(10):
        group.spawn(lambda: got.append(cache.through(key("a"), upstream.asks("a"))))
    sleep(0)
    first.kill()
    wait_until(lambda: upstream.asked == 2, "nobody has taken over")
    upstream.alive.set()
    group.join(30)
    assert (len(got), upstream.asked) == (10, 2)


def test_when_who_asks_runs_out_of_time_another_one_asks(group: Group, held_clock: HeldClock):
    cache, upstream, got = Cache(), Upstream(), []
    upstream.alive.clear()
    failed = []

    def hurried() -> None:
        try:
            with deadline(0.05, DialError("late", reason="timeout")):
                cache.through(key("a"), upstream.asks("a"))
        except DialError as error:
            failed.append(error)

    group.spawn(hurried)
    sleep(0)
    group.spawn(lambda: got.append(cache.through(key("a"), upstream.asks("a"))))
    sleep(0)
    held_clock.advance(1)
    wait_until(lambda: failed, "the deadline is not its own")
    wait_until(lambda: upstream.asked == 2, "nobody has taken over")
    upstream.alive.set()
    group.join(30)
    assert len(got) == 1


def test_who_waits_has_a_deadline_of_its_own(group: Group):
    cache, upstream, got = Cache(), Upstream(), []
    upstream.alive.clear()
    group.spawn(lambda: got.append(cache.through(key("a"), upstream.asks("a"))))
    sleep(0)
    with pytest.raises(DialError, match="late"), deadline(0.02, DialError("late", reason="timeout")):
        cache.through(key("a"), upstream.asks("a"))
    upstream.alive.set()
    group.join(30)
    assert (len(got), upstream.asked) == (1, 1)


def test_an_exchange_that_takes_long_is_not_all_that_is_tried(group: Group, held_clock: HeldClock):
    """A server that has come back answers who asks now, and with them those whose questions it never got."""
    cache, dead, alive, got = Cache(), Upstream(), Upstream(), []
    dead.alive.clear()
    for _ in range(20):
        group.spawn(lambda: got.append(cache.through(key("a"), dead.asks("a"))))
    sleep(0)
    held_clock.advance(0.9)
    group.spawn(lambda: got.append(cache.through(key("a"), alive.asks("a"))))
    sleep(0)
    assert (dead.asked, alive.asked) == (1, 0)
    held_clock.advance(0.1)
    assert last_of(cache.through(key("a"), alive.asks("a"))) == 1
    assert group.join(30)
    assert (len(got), dead.asked, alive.asked) == (21, 1, 1)
    assert cache.get(key("a")) is not None


def test_when_the_last_of_several_exchanges_fails_another_one_is_tried(group: Group, held_clock: HeldClock):
    cache, got = Cache(), []
    failing = [Event(), Event()]

    def ask_and_fail(number: int) -> Callable[[], bytes]:
        def ask() -> bytes:
            failing[number].wait()
            return refused()

        return ask

    group.spawn(cache.through, key("a"), ask_and_fail(0))
    sleep(0)
    held_clock.advance(1)
    group.spawn(cache.through, key("a"), ask_and_fail(1))
    sleep(0)
    group.spawn(lambda: got.append(cache.through(key("a"), lambda: address("a"))))
    sleep(0)
    held_clock.advance(0.5)
    failing[1].set()
    sleep(0)
    sleep(0)
    assert not got
    held_clock.advance(0.6)
    failing[0].set()
    group.join(30)
    assert len(got) == 1


def test_a_mistake_in_asking_is_each_ones_own(group: Group):
    cache, wrong = Cache(), []
    go = Event()

    def ask() -> bytes:
        go.wait()
        raise KeyError

    def client() -> None:
        try:
            cache.through(key("a"), ask)
        except KeyError:
            wrong.append(1)

    for _ in range(5):
        group.spawn(client)
    sleep(0)
    go.set()
    group.join(30)
    assert len(wrong) == 5


def test_closing_ends_what_is_asked_for_behind(held_clock: HeldClock, group: Group):
    cache, upstream, failed = Cache(optimistic=3 * DAY), Upstream(), []
    cache.through(key("a"), upstream.asks("a"))
    held_clock.advance(300)
    upstream.alive.clear()
    cache.through(key("a"), upstream.asks("a"))

    def client() -> None:
        try:
            cache.through(key("a"), never, stale=False)
        except DialError as error:
            failed.append(error)

    group.spawn(client)
    got = []
    group.spawn(lambda: got.append(cache.through(key("c"), upstream.asks("c"))))  # asks for itself
    sleep(0)
    cache.refresh(key("b"), never)  # has not begun yet
    cache.close()
    wait_until(lambda: failed, "it still waits")
    assert not got
    upstream.alive.set()
    group.join(30)
    assert (len(failed), len(got)) == (1, 1)
    cache.close()


# Room


def test_the_least_capacity():
    cache = Cache(1)
    for number in range(LEAST_CAPACITY + 5):
        cache.through(key(f"{number}"), lambda number=number: address(f"{number}"))
    assert len(cache) == LEAST_CAPACITY


def test_a_scan_does_not_displace_what_is_used():
    cache = Cache(1024)
    used = [f"used{number}" for number in range(500)]
    for name in used:
        cache.through(key(name), lambda name=name: address(name))
        cache.get(key(name))
    for number in range(20_000):
        cache.through(key(f"scan{number}"), lambda number=number: address(f"scan{number}"))
        if number % 10 == 0:
            cache.get(key(used[number // 10 % 500]))
    assert len(cache) == 1024
    assert sum(cache.get(key(name)) is not None for name in used) == 500


def test_what_is_new_has_time_to_be_asked_for_again():
    cache, upstream = Cache(1024), Upstream()
    for _ in range(2):
        for number in range(1024):
            cache.through(key(f"used{number}"), upstream.asks(f"used{number}"))
    before = upstream.asked
    for _ in range(3):
        for number in range(100):
            cache.through(key(f"new{number}"), upstream.asks(f"new{number}"))
    assert upstream.asked - before == 100


def test_what_is_no_longer_used_is_displaced():
    cache = Cache(1024)
    for wave in range(3):
        names = [f"{wave}x{number}" for number in range(1000)]
        for _ in range(3):
            for name in names:
                cache.through(key(name), lambda name=name: address(name))
        assert sum(cache.get(key(name)) is not None for name in names) > 990


def test_bytes_are_bounded_too():
    cache = Cache(2048, room=1 << 20)
    texts = b"\xff" + b"x" * 255
    for number in range(2000):
        name = f"{number}"
        message = answer(name, types.TXT, Record(name, types.TXT, 300, texts * 8)).encode()
        cache.through(cache_key(b"server", question(name, types.TXT)), lambda message=message: message)
    assert (1 << 20) - 4096 < cache.size <= 1 << 20
    huge = answer("huge", types.TXT, Record("huge", types.TXT, 300, texts * 255)).encode()
    before = len(cache)
    cache.through(cache_key(b"server", question("huge", types.TXT)), lambda: huge)
    assert cache.get(cache_key(b"server", question("huge", types.TXT))) is None
    assert len(cache) == before


def test_the_sizes_are_true():
    """What is counted is what it takes, about."""
    cache = Cache(4096)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(4096):
            name = f"number{number}.example.com"
            cache.through(key(name), lambda name=name: address(name))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.7 < taken / cache.size < 1.3


# Kept elsewhere


def test_what_is_exported_can_be_loaded(held_clock: HeldClock):
    cache = Cache()
    cache.through(key("a"), lambda: address("a", ttl=300))
    cache.through(key("b"), lambda: nothing("b"))
    cache.through(key("c"), lambda: address("c", ttl=50))
    held_clock.advance(100)
    exported = list(cache.export())
    again = Cache()
    again.load(exported)
    assert len(again) == 2
    assert read(again.get(key("a"))) == read(cache.get(key("a")))
    assert read(again.get(key("b"))).rcode == types.NXDOMAIN
    old = Cache(optimistic=DAY)
    old.load(exported)
    hit = old.get(key("c"))
    assert hit is not None
    assert (hit.ttl, hit.due) == (STALE_TTL, True)


def test_an_export_from_the_future_is_not_believed(held_clock: HeldClock):
    """A wall clock that was wrong must not make answers good for years."""
    cache, again = Cache(), Cache()
    cache.through(key("a"), lambda: address("a", ttl=300))
    [(name, message, end)] = cache.export()
    again.load([(name, message, end + 1e9)])
    hit = again.get(key("a"))
    assert hit is not None
    assert hit.ttl == 300


# Shared between workers


def test_what_another_worker_has_asked_is_not_asked_again(held_clock: HeldClock):
    shared = Shared(64)
    one, other = Cache(shared=shared), Cache(shared=shared)
    one.through(key("a"), lambda: address("a"))
    held_clock.advance(100)
    assert other.through(key("a"), never).ttl == 200
    assert len(other) == 1
    assert other.get(key("b")) is None
    held_clock.advance(200)
    assert other.get(key("a")) is None
    assert other.through(key("a"), lambda: address("a", 2)).ttl == 300
    assert last_of(one.through(key("a"), never)) == 2


def test_a_rewritten_ttl_is_shared(held_clock: HeldClock):
    shared = Shared(64)
    one, other = Cache(shared=shared), Cache(shared=shared)
    one.through(key("a"), lambda: address("a", ttl=5), rewrite_ttl=1000)
    hit = other.through(key("a"), never)
    assert (hit.ttl, hit.prepared.ttl) == (1000, 1000)


def test_another_workers_new_answer_is_taken_before_an_old_one_is_given(held_clock: HeldClock):
    shared = Shared(64)
    one, other = Cache(shared=shared, optimistic=DAY), Cache(shared=shared, optimistic=DAY)
    one.through(key("a"), lambda: address("a"))
    other.get(key("a"))
    held_clock.advance(301)
    size = other.size
    one.through(key("a"), lambda: address("a", 2), stale=False)
    assert last_of(other.through(key("a"), never)) == 2
    assert (len(other), other.size) == (1, size)
    held_clock.advance(301)
    third = Cache(shared=shared, optimistic=DAY)
    hit = third.get(key("a"))
    assert hit is not None
    assert (last_of(hit), hit.ttl, hit.due) == (2, STALE_TTL, True)
    assert third.get(key("a"), stale=False) is None


# The bar


def test_a_dead_upstream_for_ten_seconds(held_clock: HeldClock, group: Group):
    """2,000 clients ask for 10,000 names: what was known is given on, memory is bounded, and it is over at once."""
    rng = random.Random(6)
    cache, upstream = Cache(16384, optimistic=3 * DAY), Upstream(ttl=60)
    names = [f"host{number}.example.com" for number in range(10_000)]
    for name in names[:9_000]:
        cache.through(key(name), upstream.asks(name))
    size = cache.size
    held_clock.advance(60)
    upstream.alive.clear()
    upstream.last = 2
    stale = fresh = 0
    stop = False
    most = 0

    def client() -> None:
        nonlocal stale, fresh
        while not stop:
            name = rng.choice(names)
            # A client gives up and asks again; the deadline is real time, which the held clock knows nothing of.
            try:
                with deadline(2, DialError("late", reason="timeout")):
                    hit = cache.through(key(name), upstream.asks(name))
            except DialError:
                continue
            if last_of(hit) == 1:
                stale += 1
                assert hit.ttl == STALE_TTL
            else:
                fresh += 1
            sleep(0)

    clients = [group.spawn(client) for _ in range(2000)]
    for _ in range(20):  # ten seconds, in which the clients' own turns are free
        sleep(0.01)
        held_clock.advance(0.5)
        most = max(most, len(cache._group))
    assert stale > 0
    assert fresh == 0
    assert cache.size <= size * 1.01
    assert most <= 2048
    asked = upstream.asked
    assert asked - 9_000 <= 2000 + 20 * 256  # who waits, and so many in each second behind what is given
    upstream.alive.set()
    wait_until(lambda: fresh > 5_000, lambda: f"{fresh} new answers")
    stop = True
    group.join(10)
    assert all(child.dead for child in clients)
    assert not cache._flights
    cache.close()
