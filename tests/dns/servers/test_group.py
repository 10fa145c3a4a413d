"""gproxy.dns.servers.group."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from gproxy.base.errors import DialError
from gproxy.dns import SERVERS
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import Event, sleep
from gproxy.schema.model import read
from tests.dns.servers.upstream import ask, reply, wiring
from tests.support.clock import HeldClock, held_clock

__all__ = ["held_clock"]

pytestmark = pytest.mark.usefixtures("no_leaks")

ROW = SERVERS.row("group")
OPTIONS = {"type": "group", "servers": ["a", "b", "c"]}


class Member:
    """Says what a test wants: a response code, a failure, or nothing at all."""

    cacheable = waits = True

    def __init__(self, says: int | Exception | Event, after: float = 0) -> None:
        self.says = says
        self.after = after
        self.asked = 0

    def exchange(self, one):
        self.asked += 1
        if self.after:
            sleep(self.after)
        if isinstance(self.says, Event):
            self.says.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return reply(one.message, rcode=self.says if isinstance(self.says, int) else 0)

    def knows(self, name):
        return name == "known.test"

    def close(self):
        pass


FAILURE = DialError("connection refused", reason="refused")


def group(mode, *members, **more):
    options = read(ROW.options, {**OPTIONS, "servers": list("abcd"[: len(members)]), "mode": mode, **more}, (), [])
    servers = dict(zip("abcd", members, strict=False))
    return ROW.build(options, dataclasses.replace(wiring(), servers=servers))


def rcode(server, name="site.test"):
    return server.exchange(ask(name))[3] & 0xF


@pytest.mark.parametrize("mode", ["fallback", "race"])
@pytest.mark.parametrize("bad", [FAILURE, 2, 5])
def test_the_next_one_answers(mode, bad):
    members = Member(bad), Member(0), Member(0)
    assert rcode(group(mode, *members)) == 0
    assert [each.asked for each in members] == ([1, 1, 0] if mode == "fallback" else [1, 1, 1])


@pytest.mark.parametrize("mode", ["fallback", "race"])
def test_that_there_is_nothing_is_an_answer(mode):
    assert rcode(group(mode, Member(3), Member(0, after=0.2))) == 3


@pytest.mark.parametrize("mode", ["fallback", "race"])
def test_when_all_fail_so_does_it(mode):
    with pytest.raises(DialError, match="connection refused"):
        rcode(group(mode, Member(FAILURE), Member(FAILURE)))
    assert rcode(group(mode, Member(5), Member(FAILURE))) == 5, "who has said something has said more"


def test_one_that_is_late_is_not_waited_for():
    silent = Member(Event())
    assert rcode(group("fallback", silent, Member(0), timeout="20ms")) == 0


def test_the_fastest_counts_and_the_others_are_let_go():
    silent = Member(Event())
    assert rcode(group("race", silent, Member(0, after=0.01), silent)) == 0


def test_one_that_fails_again_and_again_is_left_alone(held_clock: HeldClock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    bad, good = Member(FAILURE), Member(0)
    server = group("fallback", bad, good)
    for _ in range(5):
        assert rcode(server) == 0
    assert (bad.asked, good.asked) == (3, 5)
    held_clock.advance(5)
    bad.says = 0
    for _ in range(3):
        assert rcode(server) == 0
    assert (bad.asked, good.asked) == (6, 5)
    assert [message.partition("`a` ")[2] for message in caplog.messages] == [
        "is left alone for 5 s: connection refused", "answers again",
    ]  # fmt: skip


def test_when_all_are_left_alone_they_are_asked_all_the_same():
    members = Member(FAILURE), Member(FAILURE)
    server = group("fallback", *members)
    for _ in range(5):
        with pytest.raises(DialError):
            rcode(server)
    assert [each.asked for each in members] == [5, 5]


def test_an_asker_that_goes_says_nothing_of_them():
    class Late(Exception):
        pass

    silent = Member(Event())
    server = group("race", silent, silent)
    for _ in range(5):
        with pytest.raises(Late), deadline(0.01, Late()):
            rcode(server)
    assert silent.asked == 10


def test_what_they_know():
    server = group("race", Member(0))
    assert server.knows("known.test")
    assert not server.knows("other.test")


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"servers": []}, "expected tags"), ({"servers": ["a", "a"]}, "each server once"), ({"mode": "x"}, "race"),
        ({"timeout": "0s"}, "above 0"),
    ],
)  # fmt: skip
def test_what_is_wrong(tree, said):
    problems = []
    read(ROW.options, {**OPTIONS, **tree}, (), problems)
    assert any(said in problem.message for problem in problems), problems
