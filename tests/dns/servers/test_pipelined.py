"""gproxy.dns.servers.pipelined: many questions on few streams, and ends of streams at every moment."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gproxy.base.errors import DialError, StreamClosed
from gproxy.dns.servers import pipelined
from gproxy.dns.servers.pipelined import Pool
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from gproxy.wire.dns.message import parse
from tests.dns.servers.upstream import SESSION, ask, expected, framed, frames, reply, served
from tests.support.pipe import PipeEnd, pipe
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Ends:
    """Where a pool's connections lead to: what is to be done at the other end of each, one after the other."""

    def __init__(self, *serve: Callable[[PipeEnd], None]) -> None:
        self.serve = list(serve)
        self.near: list[PipeEnd] = []
        self.far: list[PipeEnd] = []
        self.refuses = False
        self.group = Group("ends")
        self.pool = Pool(self.connect, "up")

    def connect(self, session):
        assert session.user == SESSION.user
        if self.refuses:
            raise DialError("connection refused", reason="refused")
        near, far = pipe(chunk=7)
        self.near.append(near)
        self.far.append(far)
        serve = self.serve.pop(0) if self.serve else None
        if serve is not None:
            self.group.spawn(serve, far)
        return near

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.pool.close()
        self.group.kill()


def good(far):
    served(far, reply)


def good_for(count):
    """Answers so many, and hangs up on the next one."""

    def serve(far):
        left = [count]

        def answer(query):
            if not left[0]:
                far.close()
                raise StreamClosed("closed")
            left[0] -= 1
            return framed(reply(query))

        served(far, answer)

    return serve


def answering(answer):
    return lambda far: served(far, answer)


def heard(far, count):
    """So many whole messages."""
    data = b""
    while not _whole(data) or len(frames(data)) < count:
        piece = far.recv()
        assert piece, "it ended too soon"
        data += piece
    return frames(data)


def _whole(data):
    """Whether it ends where a message does."""
    while len(data) >= 2 and len(data) >= 2 + int.from_bytes(data[:2], "big"):
        data = data[2 + int.from_bytes(data[:2], "big") :]
    return not data


def plainly(query):
    return framed(reply(query))


def read(answer, one):
    assert parse(answer) == expected(one)


def all_at_once(pool, count):
    """Ask that many questions at once; what came of each."""
    found = {}

    def work(number):
        one = ask(f"n{number}.test")
        try:
            found[number] = parse(pool.exchange(one)) == expected(one)
        except DialError as error:
            found[number] = str(error)

    with Group("asks") as group:
        for number in range(count):
            group.spawn(work, number)
        group.join(10)
    return found


def test_questions_share_a_connection():
    with Ends(answering(plainly)) as ends:
        for _ in range(3):
            one = ask("site.test")
            read(ends.pool.exchange(one), one)
        assert len(ends.near) == 1


def test_answers_in_any_order():
    waiting = []

    def backwards(far):
        waiting.extend(heard(far, 5))
        far.sendall(b"".join(framed(reply(each)) for each in reversed(waiting)))
        far.recv()

    with Ends(backwards) as ends:
        assert all_at_once(ends.pool, 5) == dict.fromkeys(range(5), True)
        assert len({each[:2] for each in waiting}) == 5, "ids are unique on a connection"
        assert len(ends.near) == 1


def test_more_connections_when_one_has_many(monkeypatch):
    monkeypatch.setattr(pipelined, "DEPTH", 2)
    gate = Event()

    def late(query):
        gate.wait()
        return framed(reply(query))

    with Ends(*[answering(late)] * 4) as ends:
        with Group("opens") as group:
            group.spawn(lambda: wait_until(lambda: len(ends.near) == 4, "too few connections") or gate.set())
            assert all_at_once(ends.pool, 20) == dict.fromkeys(range(20), True)
        assert len(ends.near) == 4, "and no more than that"


def test_too_many_questions_fail(monkeypatch):
    monkeypatch.setattr(pipelined, "DEPTH", 2)
    monkeypatch.setattr(pipelined, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(pipelined, "MOST_WAITING", 4)
    gate = Event()

    def late(query):
        gate.wait()
        return framed(reply(query))

    with Ends(answering(late)) as ends:
        with Group("opens") as group:
            group.spawn(lambda: wait_until(lambda: len(ends.pool._connections) == 1, "none") or gate.set())
            found = all_at_once(ends.pool, 10)
        assert "DNS server up: too many questions are under way" in found.values()
        assert True in found.values()


def test_too_many_that_wait_for_a_connection(monkeypatch):
    monkeypatch.setattr(pipelined, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(pipelined, "MOST_WAITING", 3)
    gate = Event()
    pool = Pool(lambda session: gate.wait(), "up")
    with Group("asks") as group:
        for _ in range(3):
            group.spawn(pool.exchange, ask("site.test"))
        wait_until(lambda: pool._under_way == 3, "not asked")
        with pytest.raises(DialError, match="too many questions are under way"):
            pool.exchange(ask("site.test"))
    assert pool._under_way == 0
    pool.close()


def test_a_connection_that_was_good_and_breaks_is_replaced_once():
    with Ends(good_for(1), answering(plainly)) as ends:
        for _ in range(2):
            one = ask("site.test")
            read(ends.pool.exchange(one), one)
        assert len(ends.near) == 2


def test_one_that_breaks_again_is_a_failure():
    with Ends(good_for(1), good_for(0), answering(plainly)) as ends:
        ends.pool.exchange(ask("site.test"))
        with pytest.raises(DialError, match=r"DNS server up: .*closed") as caught:
            ends.pool.exchange(ask("site.test"))
        assert caught.value.reason == "dns"
        assert len(ends.near) == 2
        ends.pool.exchange(ask("site.test"))


def test_a_fresh_one_that_breaks_is_a_failure():
    with Ends(good_for(0)) as ends:
        with pytest.raises(DialError, match="closed"):
            ends.pool.exchange(ask("site.test"))
        assert len(ends.near) == 1


def test_no_way_to_the_server():
    with Ends() as ends:
        ends.refuses = True
        with pytest.raises(DialError, match="DNS server up: connection refused") as caught:
            ends.pool.exchange(ask("site.test"))
        assert caught.value.reason == "dns"


def test_all_that_wait_hear_of_the_end():
    def hang_up(far):
        heard(far, 4)
        far.abort()

    with Ends(hang_up) as ends:
        found = all_at_once(ends.pool, 4)
        assert len(found) == 4
        assert all("DNS server up: " in each for each in found.values())


def test_a_question_that_is_given_up_leaves_its_place():
    with Ends(lambda far: far.recv()) as ends:
        for _ in range(3):
            with pytest.raises(TimeoutError), deadline(0.02, TimeoutError()):
                ends.pool.exchange(ask("site.test"))
        (connection,) = ends.pool._connections
        assert len(connection) == 0


def test_a_late_answer_disturbs_nobody():
    gate = Event()

    def serve(query):
        if b"late" in query:
            gate.wait()
        return framed(reply(query))

    with Ends(answering(serve)) as ends:
        with pytest.raises(TimeoutError), deadline(0.02, TimeoutError()):
            ends.pool.exchange(ask("late.test"))
        gate.set()
        one = ask("next.test")
        read(ends.pool.exchange(one), one)
        assert len(ends.near) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda q: framed(reply(q).replace(b"site", b"evil")), "an answer to another question"),
        (lambda q: framed(reply(q, truncated=True)), "an answer that is cut off"),
        (framed, "an answer to another question"),  # the query itself
        (lambda q: framed(q[:2]), "a DNS message that is cut off"),
        (lambda q: b"\0\0", "a DNS message that is cut off"),
        (lambda q: b"HTTP/1.1 400 Bad Request\r\n\r\n" * 1000, "a server that answers what nobody has asked|closed"),
    ],
)
def test_answers_that_are_none(answer, why):
    def serve(far):
        served(far, answer)

    with Ends(serve) as ends:
        if "nobody" in why:
            with pytest.raises((DialError, TimeoutError)), deadline(0.2, TimeoutError()):
                ends.pool.exchange(ask("site.test"))
            return
        with pytest.raises(DialError, match=f"DNS server up: {why}"):
            ends.pool.exchange(ask("site.test"))


def test_a_failure_without_a_question_is_an_answer():
    with Ends(answering(lambda query: framed(query[:2] + b"\x81\x81" + bytes(8)))) as ends:
        message = parse(ends.pool.exchange(ask("site.test")))
        assert (message.rcode, message.question) == (1, ("site.test", 1, 1))


def test_answers_that_nobody_asked_for_are_bounded():
    def flood(far):
        while True:
            far.sendall(framed(b"\xff\xff\x81\x80" + bytes(8)) * 100)

    def first(far):
        heard(far, 1)
        with pytest.raises(StreamClosed):
            flood(far)

    with Ends(first) as ends:
        with pytest.raises(DialError, match="nobody has asked"):
            ends.pool.exchange(ask("site.test"))


def test_a_long_answer_in_small_pieces():
    def large(query):
        head, rest = reply(query)[:6], reply(query)[8:]
        record = rest[-16:]
        return framed(head + (3000).to_bytes(2, "big") + rest[:-16] + record * 3000)

    with Ends(answering(large)) as ends:
        assert len(parse(ends.pool.exchange(ask("site.test"))).answer) == 3000


def test_a_connection_that_falls_silent_is_replaced(monkeypatch):
    monkeypatch.setattr(pipelined, "PATIENCE", 0.02)
    monkeypatch.setattr(pipelined, "_SWEEP", 0.01)

    def once(far):
        far.sendall(framed(reply(heard(far, 1)[0])))
        while far.recv():
            pass

    with Ends(once, answering(plainly)) as ends:
        for _ in range(2):
            one = ask("site.test")
            read(ends.pool.exchange(one), one)
        assert len(ends.near) == 2
        assert ends.near[0].closed


def test_an_idle_connection_is_closed(monkeypatch):
    monkeypatch.setattr(pipelined, "IDLE", 0.02)
    monkeypatch.setattr(pipelined, "_SWEEP", 0.01)
    with Ends(answering(plainly), answering(plainly)) as ends:
        ends.pool.exchange(ask("site.test"))
        wait_until(lambda: ends.near[0].closed, "it is never closed")
        wait_until(lambda: ends.pool._timer is None, "there is nothing to look after any more")
        ends.pool.exchange(ask("site.test"))
        assert len(ends.near) == 2


def test_a_server_that_reads_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(pipelined, "MOST_WAITING", 4)

    def connect(session):
        near, _ = pipe(capacity=1)
        return near

    pool = Pool(connect, "up")
    for _ in range(5):
        with pytest.raises(TimeoutError), deadline(0.01, TimeoutError()):
            pool.exchange(ask("site.test"))
    with pytest.raises(DialError, match="the server does not read"), deadline(1, TimeoutError()):
        pool.exchange(ask("site.test"))
    pool.close()


def test_closing_ends_what_is_asked():
    with Ends(lambda far: far.recv()) as ends:
        with Group("closes") as group:
            group.spawn(lambda: wait_until(lambda: ends.near, "never asked") or ends.pool.close())
            with pytest.raises(DialError):
                ends.pool.exchange(ask("site.test"))
        ends.pool.close()
        with pytest.raises(DialError):
            ends.pool.exchange(ask("site.test"))
        assert all(each.closed for each in ends.near)


def framing(far):
    served(far, lambda query: framed(reply(query)))


class Heard:
    """See Told."""

    def __init__(self):
        self.said = []

    def told(self, answer):
        self.said.append(answer)

    def failed(self, why, *, again):
        self.said.append((why, again))


def started(ends, name, heard):
    one = ask(name)
    return ends.pool.start(one.message, one.message[12 : 12 + len(name) + 6], heard)


def test_who_does_not_wait_is_told():
    with Ends(framing) as ends:
        heard = Heard()
        assert started(ends, "a.test", heard) is None  # there is no connection yet
        ends.pool.exchange(ask("first.test"))
        assert started(ends, "a.test", heard) is not None
        assert not heard.said
        wait_until(lambda: heard.said, "it is not told")
        assert parse(heard.said[0]) == expected(ask("a.test"))
        assert len(ends.near) == 1


def test_who_does_not_wait_may_forget():
    with Ends(framing) as ends:
        heard, other = Heard(), Heard()
        ends.pool.exchange(ask("first.test"))
        started(ends, "a.test", heard).forget()
        started(ends, "b.test", other)
        wait_until(lambda: other.said, "the other one is not told")
        assert not heard.said


def test_who_does_not_wait_hears_of_the_end_and_may_ask_again():
    with Ends(good_for(1)) as ends:
        heard = Heard()
        ends.pool.exchange(ask("first.test"))
        under = started(ends, "a.test", heard)
        wait_until(lambda: heard.said, "it is not told")
        assert heard.said == [("the server has closed the connection", True)]
        under.forget()
        assert started(ends, "a.test", heard) is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda q: framed(reply(q, truncated=True)), "an answer that is cut off"),
        (lambda q: framed(reply(q).replace(b"\x01a\x04", b"\x01b\x04")), "an answer to another question"),
    ],
)
def test_who_does_not_wait_hears_of_an_answer_that_is_none(answer, why):
    def serve(far):
        left = [reply]

        def say(query):
            return framed(left.pop()(query)) if left else answer(query)

        served(far, say)

    with Ends(serve) as ends:
        heard = Heard()
        ends.pool.exchange(ask("first.test"))
        started(ends, "a.test", heard)
        wait_until(lambda: heard.said, "it is not told")
        assert heard.said == [(why, False)]


def test_nothing_is_begun_where_too_much_is_under_way(monkeypatch):
    monkeypatch.setattr(pipelined, "MOST_WAITING", 2)
    monkeypatch.setattr(pipelined, "MOST_CONNECTIONS", 1)
    monkeypatch.setattr(pipelined, "DEPTH", 1)

    def serve(far):
        left = [reply]
        served(far, lambda query: framed(left.pop()(query)) if left else b"")

    with Ends(serve) as ends:
        ends.pool.exchange(ask("first.test"))
        heard = Heard()
        under = [started(ends, name, heard) for name in ("a.test", "b.test", "c.test")]
        assert [each is not None for each in under] == [True, True, False]
