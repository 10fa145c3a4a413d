"""The load of the name servers' measures."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gproxy.wire.dns.message import Message, Record, parse_query
from gproxy.wire.dns.types import REFUSED, A
from tests.bench import names
from tests.bench.doors import Declined
from tests.bench.load import Client


class Answerer:
    """Answers each question with an address; one for `bad…` with a refusal."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            data, client = self.sock.recvfrom(4096)
            if not data:
                return
            query = parse_query(data)
            assert query.question is not None
            self.asked.append(query.question.name)
            reply = Message(query.id, True, question=query.question)
            if query.question.name.startswith("bad"):
                reply.rcode = REFUSED
            else:
                reply.answer = (Record(query.question.name, A, 60, b"\x7f\0\0\1"),)
            self.sock.sendto(reply.encode(), client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self.sock.close()


@pytest.fixture
def server() -> Iterator[Answerer]:
    server = Answerer()
    yield server
    server.close()


def test_one_question_and_its_address(server: Answerer) -> None:
    assert 0 < names.ask(server.port, names.query("a.names.test", 5)) < 5
    assert server.asked == ["a.names.test"]


def test_an_answer_without_an_address_is_a_failure(server: Answerer) -> None:
    with pytest.raises(Declined):
        names.ask(server.port, names.query("bad.names.test", 5))


def test_the_same_names_again_and_again(server: Answerer) -> None:
    done = names.many(Client(), server.port, 10, 5, 200, 2, 4)
    assert done.received >= 200
    assert set(server.asked) == {f"n{number}.names.test" for number in range(10, 15)}


def test_each_name_once(server: Answerer) -> None:
    names.each_once(Client(), server.port, 0, 100, 2, 2)
    assert len(server.asked) == len(set(server.asked)) >= 100


def test_two_are_asked_in_turns(server: Answerer) -> None:
    questions = [names.names(0, 10), names.names(100, 10)]
    seconds = names.one_by_one(Client(), [server.port, server.port], questions)
    assert [len(each) for each in seconds] == [10, 10]
    assert server.asked[:4] == ["n0.names.test", "n100.names.test", "n1.names.test", "n101.names.test"]
