from __future__ import annotations

import errno
import logging
import socket as consts
import subprocess
import sys
import time
from _socket import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.defaults import ACCEPT_BURST
from gproxy.net.bind import Endpoint
from gproxy.net.listen import StreamListener
from gproxy.net.stream import SocketStream
from gproxy.rt.sync import sleep
from tests.support.wait import wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sock() -> Iterator[socket]:
    sock = Endpoint("stream", IPv4Address("127.0.0.1")).open()
    yield sock
    sock.close()


class Clients:
    """Connections to the listener, and what it made of them."""

    def __init__(self, sock: socket) -> None:
        self.name = sock.getsockname()
        self.served: list[tuple[SocketStream, Any]] = []
        self.mine: list[socket] = []

    def connect(self, count: int = 1) -> None:
        for _ in range(count):
            client = socket(consts.AF_INET, consts.SOCK_STREAM)
            client.connect(self.name)
            self.mine.append(client)

    def serve(self, stream: SocketStream, name: Any) -> None:
        self.served.append((stream, name))

    def wait(self, count: int) -> None:
        wait_until(lambda: len(self.served) >= count, lambda: f"{len(self.served)} of {count} were accepted")

    def close(self) -> None:
        for stream, _ in self.served:
            stream.close()
        for client in self.mine:
            client.close()


@pytest.fixture
def clients(sock: socket) -> Iterator[Clients]:
    clients = Clients(sock)
    yield clients
    clients.close()


def test_each_connection_is_served_with_its_peers_name(sock: socket, clients: Clients) -> None:
    listener = StreamListener(sock, clients.serve)
    listener.start()
    clients.connect(3)
    clients.wait(3)
    assert {name for _, name in clients.served} == {client.getsockname() for client in clients.mine}
    stream, name = clients.served[0]
    (mine,) = [client for client in clients.mine if client.getsockname() == name]
    mine.send(b"hello")
    assert stream.recv() == b"hello"
    listener.stop()


def test_more_than_a_burst_are_all_served(sock: socket, clients: Clients) -> None:
    clients.connect(ACCEPT_BURST + 10)
    listener = StreamListener(sock, clients.serve)
    listener.start()
    clients.wait(ACCEPT_BURST + 10)
    listener.stop()


def test_a_stop_leaves_the_socket_and_its_queue(sock: socket, clients: Clients) -> None:
    listener = StreamListener(sock, clients.serve)
    listener.start()
    clients.connect()
    clients.wait(1)
    listener.stop()
    listener.stop()
    clients.connect(3)
    sleep(0.005)
    assert len(clients.served) == 1
    another = StreamListener(sock, clients.serve)
    another.start()
    clients.wait(4)
    another.stop()


def test_it_can_begin_again(sock: socket, clients: Clients) -> None:
    listener = StreamListener(sock, clients.serve)
    listener.start()
    listener.stop()
    clients.connect()
    listener.start()
    clients.wait(1)
    listener.stop()


class Failing:
    """A listening socket whose next accepts fail in these ways."""

    def __init__(self, sock: socket, *codes: int) -> None:
        self._sock = sock
        self._codes = list(codes)
        self.family = sock.family
        self.times: list[float] = []

    @property
    def asked(self) -> int:
        return len(self.times)

    def fileno(self) -> int:
        return self._sock.fileno()

    def _accept(self) -> tuple[int, Any]:
        self.times.append(time.monotonic())
        if self._codes:
            raise OSError(self._codes.pop(0), "no")
        accepted: tuple[int, Any] = self._sock._accept()
        return accepted


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EPERM])
def test_a_connection_that_died_in_the_queue_is_passed_over(sock: socket, clients: Clients, code: int) -> None:
    listener = StreamListener(Failing(sock, code, code), clients.serve)  # type: ignore[arg-type]
    clients.connect(2)
    listener.start()
    clients.wait(2)
    listener.stop()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_room_it_looks_away_and_comes_back(
    sock: socket, clients: Clients, code: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gproxy.net.listen.ACCEPT_BACKOFF", 0.01)
    failing = Failing(sock, code, code, code)
    listener = StreamListener(failing, clients.serve)  # type: ignore[arg-type]
    clients.connect()
    listener.start()
    clients.wait(1)
    first, second, third, fourth, *_ = failing.times
    assert second - first >= 0.009  # it did not spin
    assert third - second >= 0.019
    assert fourth - third >= 0.039
    pauses = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [pause.split(":")[0] for pause in pauses] == [
        "accepting pauses for 0.01 s", "accepting pauses for 0.02 s", "accepting pauses for 0.04 s",
    ]  # fmt: skip
    listener.stop()


def test_a_stop_while_it_looks_away(sock: socket, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gproxy.net.listen.ACCEPT_BACKOFF", 0.005)
    failing = Failing(sock, errno.EMFILE)
    listener = StreamListener(failing, clients.serve)  # type: ignore[arg-type]
    clients.connect()
    listener.start()
    wait_until(lambda: failing.asked == 1, "not asked")
    listener.stop()
    sleep(0.02)
    assert failing.asked == 1


OUT_OF_DESCRIPTORS = """
import resource, socket
from ipaddress import IPv4Address
from gproxy.net import listen
from gproxy.net.bind import Endpoint
from gproxy.net.listen import StreamListener
from gproxy.rt.deadline import deadline
from gproxy.rt.sync import sleep

listen.ACCEPT_BACKOFF = 0.01
sock = Endpoint("stream", IPv4Address("127.0.0.1")).open()
served = []
listener = StreamListener(sock, lambda stream, name: served.append(stream))
listener.start()
sleep(0)
clients = [socket.socket() for _ in range(40)]
resource.setrlimit(resource.RLIMIT_NOFILE, (70, 70))
for client in clients:
    client.connect(sock.getsockname())
with deadline(10, TimeoutError(str(len(served)))):
    while listener._pause is None:
        sleep(0.001)
    some = len(served)
    assert 0 < some < 40, some
    while len(served) < 40:
        for stream in served[:-1]:
            stream.close()
        sleep(0.001)
for client in clients:
    client.close()
listener.stop()
print("all served")
"""


def test_out_of_descriptors_it_pauses_and_recovers() -> None:
    """For real, in a process of its own with few descriptors."""
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "all served", done.stderr
    assert "accepting pauses" in done.stderr
