"""A name server with workers: questions while generations change, and while nobody can answer them."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import ExitStack
from itertools import count, islice

import pytest

from gproxy.wire.dns import types
from gproxy.wire.dns.message import addresses_of, make_query, parse
from tests.e2e.proxy import inbound
from tests.e2e.supervised import Supervised
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

NAME, ADDRESS = "host.test", "192.0.2.1"
CLIENTS = 12  # enough that both workers have some of them
HOSTS = {"type": "hosts", "tag": "hosts", "predefined": {NAME: ADDRESS}}


def question(number: int, name: str = NAME) -> bytes:
    return number.to_bytes(2, "big") + make_query(name, types.A)[2:]


def said(answer: bytes) -> list[str]:
    return [str(ip) for ip in addresses_of(parse(answer))]


class Asking:
    """Clients that ask all the time, each on a socket of its own, and count what they don't hear."""

    def __init__(self, port: int) -> None:
        self.asked = 0
        self.lost: list[int] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(port,)) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.connect((LOOPBACK, port))
            number = 0
            while not self._over.wait(0.002):
                number = (number + 1) & 0xFFFF
                client.send(question(number))
                try:
                    answer = client.recv(4096)
                except TimeoutError:
                    self.lost.append(number)
                    return
                assert answer[:2] == number.to_bytes(2, "big")
                assert said(answer) == [ADDRESS]
                self.asked += 1

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def gproxy(processes: Processes) -> Supervised:
    return Supervised.start(processes, inbound("dns", free_port()), dns={"servers": [HOSTS]})


def test_no_question_is_lost_while_generations_change(gproxy: Supervised) -> None:
    port = gproxy.config["inbounds"][0]["listen_port"]
    asking = Asking(port)
    try:
        for generation in (2, 3):
            before = asking.asked
            wait_until(lambda before=before: asking.asked > before + 100 or asking.lost, "nobody is answered")
            gproxy.send(signal.SIGHUP)
            gproxy.wait_generation(generation)
            gproxy.wait_alone()
    finally:
        asking.stop()
    assert asking.asked > 200
    assert asking.lost == []
    gproxy.stop()


def test_a_stream_goes_on_with_the_generation_that_took_it(gproxy: Supervised) -> None:
    port = gproxy.config["inbounds"][0]["listen_port"]
    with socket.create_connection((LOOPBACK, port), 10) as stream, stream.makefile("rwb") as file:

        def ask(number: int) -> bytes:
            query = question(number)
            file.write(len(query).to_bytes(2, "big") + query)
            file.flush()
            answer: bytes = file.read(int.from_bytes(file.read(2), "big"))
            return answer

        assert said(ask(1)) == [ADDRESS]
        gproxy.send(signal.SIGHUP)
        gproxy.wait_generation(2)
        assert said(ask(2)) == [ADDRESS]
    gproxy.wait_alone()
    gproxy.stop()


def test_a_flood_that_nobody_can_answer_is_borne(processes: Processes) -> None:
    """The upstream hangs: so many questions are in work and the rest is dropped, but others are still answered."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((LOOPBACK, 0))
        upstream = {"type": "udp", "tag": "up", "server": LOOPBACK, "server_port": silent.getsockname()[1]}
        gproxy = Supervised.start(
            processes,
            inbound("dns", free_port(), network="udp"),
            workers=1,
            dns={"servers": [upstream, HOSTS], "rules": [{"domain": NAME, "server": "hosts"}]},
            route={"default_domain_resolver": "hosts"},
        )
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(10)
        client.connect((LOOPBACK, gproxy.config["inbounds"][0]["listen_port"]))
        numbers = count()

        def dropped() -> bool:
            for number in islice(numbers, 100):
                client.send(question(number & 0xFFFF, f"n{number}.lost.test"))
            statuses: dict[str, int] = gproxy.ask("status")["counters"]["statuses"]
            return statuses.get("query-dropped", 0) > 100

        wait_until(dropped, "nothing is ever dropped", 30)
        client.settimeout(1)

        def answered() -> bool:  # what comes while a socket is full is lost
            client.send(question(5))
            try:
                while not said(answer := client.recv(4096)):  # those whose time is over are told so
                    assert parse(answer).rcode == types.SERVFAIL
            except TimeoutError:
                return False
            assert said(answer) == [ADDRESS]
            return True

        wait_until(answered, "the flood keeps others waiting", 30)
        warned = [line for line in gproxy.process.log.splitlines() if "questions were dropped" in line]
        assert 1 <= len(warned) <= 4
        gproxy.stop()
