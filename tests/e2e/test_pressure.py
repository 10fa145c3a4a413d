"""Ceilings, of memory and of connections: who is inside is served, who waits is served later, and it recovers."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients import connect, exactly, socks5_request, tunnel
from tests.e2e.proxy import LOG, inbound
from tests.e2e.servers import CrowdEcho
from tests.e2e.supervised import Supervised, tunnel_config
from tests.support.origin import Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

PAGE = resource.getpagesize()
MIB = 1 << 20
GRANTED = 12  # bytes that a SOCKS5 server says until a tunnel is open
RECOVERY = 30.0

# What sessions may use beyond what a process needs by itself: more than a thousand idle ones fill it.
SHARE = 12 * MIB


@pytest.fixture
def crowd() -> Iterator[CrowdEcho]:
    with CrowdEcho() as crowd:
        yield crowd


@pytest.fixture
def roomy() -> Iterator[None]:
    """This process, the other end of everything, may have all the descriptors that it can."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=[0, 2], ids=["solo", "workers"])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


class Ward:
    """A gproxy with limits, in one process or with workers."""

    def __init__(self, processes: Processes, workers: int, item: dict[str, Any], **runtime: Any) -> None:
        self.port: int = item["listen_port"]
        self._supervised: Supervised | None = None
        if workers:
            self._supervised = Supervised.start(processes, item, workers=workers, runtime=runtime)
            self.process = self._supervised.process
            self.pids = list(self._supervised.workers().values())
        else:
            self.process = processes.gproxy({"log": LOG, "inbounds": [item], "runtime": runtime}, tcp=())
            self.process.wait_log("is ready")
            self.pids = [self.process.pid]

    def memory(self) -> int:
        """Bytes of anonymous memory of the one of its serving processes that has most."""
        return max(_anonymous(pid) for pid in self.pids)

    def has_said(self, text: str) -> bool:
        """Whether it stands in the log now, which is read a moment after it was written: see `Process.wait_log`."""
        return text in self.process.log

    def stop(self) -> None:
        if self._supervised is not None:
            self._supervised.stop()
        else:
            assert self.process.stop() == 0
            assert "Traceback" not in self.process.log, self.process.log[-3000:]


def _anonymous(pid: int) -> int:
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    return (int(resident) - int(shared)) * PAGE


def chat(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.sendall(b"busy")
        assert exactly(sock, 4) == b"busy"


class Busy:
    """Tunnels that are never silent for long, whatever the test waits for meanwhile."""

    def __init__(self, socks: list[socket.socket]) -> None:
        self._socks = socks
        self._over = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.wait(0.1):
                chat(self._socks)
        except (OSError, AssertionError) as error:
            self._failures.append(error)

    def __enter__(self) -> Busy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)
        assert not self._failures, f"a busy tunnel has ended: {self._failures}"


def granted(sock: socket.socket, seconds: float) -> bool:
    """Whether the tunnel that it has asked for opens in time."""
    sock.settimeout(seconds)
    with contextlib.suppress(TimeoutError):
        return len(exactly(sock, GRANTED)) == GRANTED
    return False


def over(sock: socket.socket) -> bool:
    """Whether the proxy has closed it."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def passed(seconds: float) -> None:
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > seconds, "time stands still", seconds + 5)


@pytest.mark.slow
@pytest.mark.usefixtures("roomy")
def test_memory_that_runs_short(processes: Processes, workers: int, crowd: CrowdEcho) -> None:
    """The longest idle make room, the busy go on, who waits is served, and new ones are."""
    item = inbound("mixed")
    measured = Ward(processes, workers, item)
    limit = measured.memory() + SHARE
    measured.stop()
    ward = Ward(processes, workers, item, memory_limit=limit * max(1, workers))
    request = socks5_request((LOOPBACK, crowd.port))
    with ExitStack() as stack:
        busy = [stack.enter_context(tunnel(ward.port, (LOOPBACK, crowd.port))) for _ in range(4)]
        idle: list[socket.socket] = []
        waiting: list[socket.socket] = []
        stack.enter_context(Busy(busy))
        while not waiting and not ward.has_said("memory is short"):
            for _ in range(20):
                sock = stack.enter_context(connect(ward.port))
                sock.sendall(request)
                (idle if granted(sock, 3) else waiting).append(sock)
        ward.process.wait_log("memory is short")
        ward.process.wait_log("memory is there again", RECOVERY)
        for sock in waiting:
            assert granted(sock, RECOVERY)
        ended = [number for number, sock in enumerate(idle) if over(sock)]
        lasting = sorted(set(range(len(idle))) - set(ended))
        assert len(idle) > 500
        assert len(ended) > 50
        assert sum(ended) / len(ended) < sum(lasting) / len(lasting)
        if not workers:  # each worker has an order of its own
            assert ended == list(range(len(ended)))
        with tunnel(ward.port, (LOOPBACK, crowd.port)) as fresh:
            chat([fresh])
        wait_until(lambda: ward.memory() < limit, lambda: f"{ward.memory()} of {limit} in use", RECOVERY)
        wait_until(lambda: ward.process.log.count('"status":"closed-pressure"') >= len(ended), "not told", RECOVERY)
        assert not ward.has_said("can't be kept")
    ward.stop()


@pytest.mark.usefixtures("roomy")
def test_a_memory_limit_that_is_too_low_is_told_and_does_not_stop_the_service(
    processes: Processes, workers: int, echo: Server
) -> None:
    ward = Ward(processes, workers, inbound("mixed"), memory_limit="1 MiB")
    ward.process.wait_log("the memory limit can't be kept")
    with tunnel(ward.port, (echo.host, echo.port)) as sock:
        chat([sock])
    ward.stop()


def test_a_ceiling_of_connections(processes: Processes, workers: int) -> None:
    """No more than that are greeted at once; each of the others is when somebody has left."""
    ward = Ward(processes, workers, inbound("mixed"), max_connections=4)
    ward.process.wait_log("max_connections 4")
    with ExitStack() as stack:
        ungreeted = [stack.enter_context(connect(ward.port)) for _ in range(40)]
        for sock in ungreeted:
            sock.sendall(b"\x05\x01\x00")
        while ungreeted:
            greeted: list[socket.socket] = []
            most = min(4, len(ungreeted)) if len(ungreeted) == 40 else 1
            while len(greeted) < most:
                greeted = select.select(ungreeted, [], [], 10)[0]
                assert greeted, f"{len(ungreeted)} are never served:\n{ward.process.log[-2000:]}"
            if len(ungreeted) == 40:
                passed(0.3)
                greeted = select.select(ungreeted, [], [], 0)[0]
            assert len(greeted) <= 4
            for sock in greeted:
                assert exactly(sock, 2) == b"\x05\x00"
                ungreeted.remove(sock)
                sock.close()
        ward.process.wait_log("places are taken: new clients wait")
        ward.process.wait_log("places are taken: accepting goes on")
    ward.stop()


def test_a_ceiling_of_udp_sessions(processes: Processes, udp_echo_server: Server) -> None:
    """A client without a place is not heard; it is when another one has been silent for long enough."""
    item = {**tunnel_config(free_port(), udp_echo_server.port, "udp"), "udp_timeout": "3s"}
    ward = Ward(processes, 0, item, max_connections=2)
    with ExitStack() as stack:
        one, two, three = (stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3))
        for sock in (one, two, three):
            sock.connect((LOOPBACK, ward.port))
            sock.settimeout(0.3 if sock is three else 10)  # only one of them is to hear nothing
        for sock in (one, two):
            sock.send(b"hello")
            assert sock.recv(100) == b"hello"
        three.send(b"me too")
        one.send(b"again")
        assert one.recv(100) == b"again"
        with pytest.raises(TimeoutError):
            three.recv(100)
        ward.process.wait_log("all 2 places are taken")
        answers: list[bytes] = []
        began = time.monotonic()
        while not answers:
            assert time.monotonic() - began < 30
            three.send(b"now")
            with contextlib.suppress(TimeoutError):
                answers.append(three.recv(100))
        assert answers == [b"now"]
    ward.stop()
