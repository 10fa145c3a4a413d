from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from gproxy.base.defaults import QUERIES_OF_ONE
from gproxy.base.errors import ProtocolError, StreamClosed
from gproxy.base.iface import Later
from gproxy.net.questions import Conversation, Questions
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import Event
from tests.support.names import framed
from tests.support.pipe import PipeEnd, pipe
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Answers:
    """In capitals: at once, or for `slow…` after `go`."""

    def __init__(self) -> None:
        self.go = Event()
        self.ready = 0
        self.asked: list[bytes] = []

    def begin(self, query: bytes) -> bytes | Later:
        self.asked.append(query)
        if query.startswith(b"slow"):
            return partial(self.work, query)
        return b"" if query.startswith(b"mute") else query.upper()

    def work(self, query: bytes) -> bytes:
        self.go.wait()
        if query == b"slow fault":
            raise ProtocolError("one that must end nothing else")
        return query.upper()

    def questions(self, most: int = 10) -> Questions:
        return Questions(self.begin, self._ready, most)

    def _ready(self) -> None:
        self.ready += 1


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.go.set()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_questions_come_in_pieces_of_any_size(answers: Answers, size: int) -> None:
    questions = answers.questions()
    data, said = framed(b"one", b"", b"two", b"mute", b"three"), b""
    for at in range(0, len(data), size):
        questions.feed(data[at : at + size])
        said += questions.take()
    assert said == framed(b"ONE", b"TWO", b"THREE")
    assert not questions.cut
    questions.feed(b"\0")
    assert questions.cut


def test_answers_come_as_they_are_found(answers: Answers) -> None:
    questions = answers.questions()
    questions.feed(framed(b"slow", b"quick"))
    assert questions.take() == framed(b"QUICK")
    assert questions.busy
    answers.go.set()
    wait_until(lambda: answers.ready == 1, "nothing is ready")
    assert questions.take() == framed(b"SLOW")
    assert not questions.busy


def test_there_are_never_more_than_the_most(answers: Answers) -> None:
    questions = answers.questions(most=3)
    questions.feed(framed(b"slow", b"1", b"2", b"3", b"4", b"5"))
    assert questions.full
    assert answers.asked == [b"slow", b"1", b"2"]
    assert questions.take() == framed(b"1", b"2")
    questions.feed(b"")
    assert questions.take() == framed(b"3", b"4")
    answers.go.set()
    wait_until(lambda: answers.ready == 1, "nothing is ready")
    questions.feed(b"")
    assert questions.take() == framed(b"SLOW", b"5")


def test_a_failure_ends_nothing_else(answers: Answers) -> None:
    questions = answers.questions()
    questions.feed(framed(b"slow fault", b"slow"))
    answers.go.set()
    wait_until(lambda: answers.ready == 2, "it hangs")
    assert questions.take() == framed(b"SLOW")
    assert not questions.busy


class Talk:
    """A client of a conversation."""

    def __init__(self, answers: Answers, idle: float = 30, capacity: int = 1 << 20) -> None:
        theirs, self.client = pipe(capacity=capacity)
        self.stream: PipeEnd = theirs
        self.error: BaseException | None = None
        self.over = Event()
        self._conversation = Conversation(theirs, answers.begin, idle)
        self._group = Group("test")
        self._group.spawn(self._run)

    def _run(self) -> None:
        try:
            self._conversation.run()
        except (ProtocolError, StreamClosed) as error:
            self.error = error
        finally:
            self.stream.close()
            self.over.set()

    def hear(self, size: int) -> bytes:
        said = b""
        with deadline(30, TimeoutError("no answer")):
            while len(said) < size and (data := self.client.recv()):
                said += data
        return said

    def wait(self) -> None:
        assert self.over.wait(30), "it does not end"

    def close(self) -> None:
        self.client.close()
        self.wait()
        self._group.kill()


@pytest.fixture
def talk(answers: Answers) -> Iterator[Talk]:
    talk = Talk(answers)
    yield talk
    answers.go.set()
    talk.close()


def test_a_client_is_answered_out_of_order(talk: Talk, answers: Answers) -> None:
    talk.client.sendall(framed(b"slow", b"one", b"two"))
    assert talk.hear(10) == framed(b"ONE", b"TWO")
    answers.go.set()
    assert talk.hear(6) == framed(b"SLOW")


def test_who_has_ended_still_gets_all(talk: Talk, answers: Answers) -> None:
    talk.client.sendall(framed(b"slow 1", b"slow 2"))
    talk.client.close_write()
    wait_until(lambda: len(answers.asked) == 2, "it is not asked")
    answers.go.set()
    assert talk.hear(100) == framed(b"SLOW 1", b"SLOW 2")
    talk.wait()
    assert talk.error is None


def test_an_end_inside_a_question_is_told(talk: Talk) -> None:
    talk.client.sendall(b"\0\x09half")
    talk.client.close_write()
    talk.wait()
    assert isinstance(talk.error, ProtocolError)
    assert talk.error.reason == "truncated"


def test_who_says_nothing_is_left(answers: Answers) -> None:
    talk = Talk(answers, idle=0.05)
    assert talk.hear(1) == b""
    talk.wait()
    assert talk.error is None
    talk.close()


def test_a_client_that_leaves_ends_it(talk: Talk, answers: Answers) -> None:
    talk.client.sendall(framed(b"slow"))
    wait_until(lambda: answers.asked, "it is not asked")
    talk.client.abort()
    answers.go.set()
    talk.wait()


def test_one_that_asks_and_does_not_read_is_not_read_either(answers: Answers) -> None:
    talk = Talk(answers, capacity=200)
    sender = Group("sender")
    sender.spawn(partial(talk.client.sendall, framed(*[b"x" * 50] * (4 * QUERIES_OF_ONE))))
    wait_until(lambda: answers.asked, "nothing is asked")
    wait_until(lambda: talk._conversation._sending, "it does not stick")
    asked = len(answers.asked)
    assert asked <= QUERIES_OF_ONE + 4
    assert talk.hear(4 * QUERIES_OF_ONE * 52) == framed(*[b"X" * 50] * (4 * QUERIES_OF_ONE))
    sender.kill()
    talk.close()
