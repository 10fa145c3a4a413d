from __future__ import annotations

import logging
import socket as consts
from _socket import socket
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv4Address
from typing import Any

import pytest

from gproxy.base.defaults import DATAGRAM_BURST
from gproxy.base.iface import Later, Soon
from gproxy.net.answering import Answering
from gproxy.net.bind import Endpoint
from gproxy.rt.sync import Event
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Keeper:
    """Counts, and lets faults through to nobody."""

    def __init__(self) -> None:
        self.answered = self.dropped = self.received = self.sent = 0
        self.faults: list[Exception] = []

    def burst(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            self.faults.append(error)

    def later(self, find: Later) -> bytes:
        return find()

    def counted(self, answered: int, dropped: int, received: int, sent: int) -> None:
        self.answered += answered
        self.dropped += dropped
        self.received += received
        self.sent += sent


class Prompt(Soon):
    """What is there as soon as a test says so, without a greenlet."""

    def __init__(self, said: bytes, *, refuses: bool = False) -> None:
        self.said = said
        self.refuses = refuses
        self.ready: Callable[[], object] | None = None

    def soon(self, ready: Callable[[], object], /) -> bool:
        self.ready = ready
        return not self.refuses

    def __call__(self) -> bytes:
        return self.said


class Server:
    """Answers with what was asked in capitals; `slow…` takes until `go`, `mute…` gets nothing, `bad…` is a fault."""

    def __init__(self, most: int = 100) -> None:
        self.go = Event()
        self.names: list[Any] = []
        self.prompt: list[Prompt] = []
        self.keeper = Keeper()
        self.sock = Endpoint("packet", IPv4Address("127.0.0.1")).open()
        self.answering = self.serve(most)
        self.answering.start()
        self._clients: list[socket] = []

    def serve(self, most: int = 100) -> Answering:
        return Answering(self.sock, self.answer, self.keeper, most)

    def answer(self, data: bytes, name: Any) -> bytes | Later:
        self.names.append(name)
        if data.startswith(b"bad"):
            raise ValueError("a fault")
        if data.startswith(b"soon"):
            self.prompt.append(Prompt(data[5:].upper(), refuses=data.endswith(b"refused")))
            return self.prompt[-1]
        if data.startswith(b"slow"):
            return partial(self.work, data)
        return b"" if data.startswith(b"mute") else data.upper()

    def work(self, data: bytes) -> bytes:
        self.go.wait()
        return b"" if data == b"slow mute" else data.upper()

    def client(self) -> socket:
        sock = socket(consts.AF_INET, consts.SOCK_DGRAM)
        sock.connect(self.sock.getsockname())
        sock.setblocking(False)
        self._clients.append(sock)
        return sock

    def close(self) -> None:
        self.go.set()
        wait_until(lambda: not len(self.answering), "work does not end")
        self.answering.stop()
        self.sock.close()
        for sock in self._clients:
            sock.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def hear(client: socket) -> bytes:
    heard: list[bytes] = []

    def there() -> bool:
        try:
            heard.append(client.recv(65535))
        except BlockingIOError:
            return False
        return True

    wait_until(there, "no answer")
    return heard[0]


def test_each_datagram_is_answered_to_its_sender(server: Server) -> None:
    one, other = server.client(), server.client()
    one.send(b"one")
    other.send(b"other")
    assert hear(one) == b"ONE"
    assert hear(other) == b"OTHER"
    assert server.names == [one.getsockname(), other.getsockname()]


def test_more_than_a_burst_is_answered(server: Server) -> None:
    client = server.client()
    for number in range(DATAGRAM_BURST + 40):
        client.send(b"n%d" % number)
    assert [hear(client) for _ in range(DATAGRAM_BURST + 40)] == [b"N%d" % n for n in range(DATAGRAM_BURST + 40)]
    wait_until(lambda: server.keeper.answered == DATAGRAM_BURST + 40, "they are not counted")


def test_what_takes_longer_keeps_nobody_waiting(server: Server) -> None:
    client = server.client()
    client.send(b"slow one")
    client.send(b"quick")
    assert hear(client) == b"QUICK"
    wait_until(lambda: len(server.answering) == 1, "it is not in work")
    server.go.set()
    assert hear(client) == b"SLOW ONE"
    wait_until(lambda: server.keeper.answered == 2, "they are not counted")
    assert (server.keeper.received, server.keeper.sent) == (len("slow onequick"), len("slow onequick"))


def test_what_gets_no_answer_gets_none(server: Server) -> None:
    client = server.client()
    server.go.set()
    for data in (b"mute", b"slow mute", b"", b"last"):
        client.send(data)
    assert hear(client) == b"LAST"
    wait_until(lambda: not len(server.answering), "it does not end")
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_work_is_bounded_and_what_is_dropped_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(most=2)
    try:
        client = server.client()
        with caplog.at_level(logging.WARNING):
            for _ in range(9):
                client.send(b"slow")
            client.send(b"last")
            assert hear(client) == b"LAST"
        assert len(server.answering) == 2
        assert server.keeper.dropped == 7
        assert [record.getMessage() for record in caplog.records] == ["1 questions were dropped: 2 are in work"]
        server.go.set()
        assert [hear(client) for _ in range(2)] == [b"SLOW"] * 2
        client.send(b"slow again")
        assert hear(client) == b"SLOW AGAIN"
    finally:
        server.close()


def test_a_fault_costs_no_other_datagram_its_answer(server: Server) -> None:
    client = server.client()
    for data in (b"one", b"bad", b"two"):
        client.send(data)
    assert [hear(client), hear(client)] == [b"ONE", b"TWO"]
    assert len(server.keeper.faults) == 1


def test_two_take_turns_on_one_socket_and_nothing_is_lost(server: Server) -> None:
    client = server.client()
    client.send(b"slow one")
    wait_until(lambda: len(server.answering) == 1, "it is not in work")
    server.answering.stop()
    client.send(b"between")
    successor = server.serve()
    successor.start()
    assert hear(client) == b"BETWEEN"
    server.go.set()
    assert hear(client) == b"SLOW ONE"
    successor.stop()
    server.answering.start()
    client.send(b"back")
    assert hear(client) == b"BACK"


def test_a_socket_that_is_gone_is_left_alone(server: Server) -> None:
    server.sock.close()
    server.answering._burst()
    assert server.answering._stopped
    server.answering.stop()


def test_datagrams_of_any_length_are_borne(server: Server) -> None:
    client = server.client()
    client.send(b"x" * 9000)
    assert hear(client) == b"X" * 4096


def test_what_needs_no_greenlet_is_answered_when_it_is_ready(server: Server) -> None:
    client = server.client()
    for data in (b"soon one", b"soon two", b"soon ", b"now"):
        client.send(data)
    assert hear(client) == b"NOW"
    assert len(server.answering) == 3
    one, two, mute = [each.ready for each in server.prompt]
    assert one is not None
    assert two is not None
    assert mute is not None
    mute()
    two()
    one()
    assert [hear(client), hear(client)] == [b"TWO", b"ONE"]
    wait_until(lambda: server.keeper.answered == 4, "they are not counted")
    assert (len(server.answering), server.keeper.sent) == (0, len("NOWTWOONE"))


def test_what_can_not_do_without_a_greenlet_gets_one(server: Server) -> None:
    client = server.client()
    client.send(b"soon refused")
    assert hear(client) == b"REFUSED"
    assert not len(server.answering)
