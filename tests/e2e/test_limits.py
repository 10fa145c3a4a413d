"""Limits on real processes: what is promised holds over two workers, after the death of one, and after a reload."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gproxy.base.defaults import HANDSHAKE_TIMEOUT
from tests.e2e.clients import everything, exactly, packed
from tests.e2e.servers import CrowdEcho
from tests.e2e.supervised import Supervised, kill, tunnel_config
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.wait import wait_until

RATE = 10e6 / 8  # bytes a second
SPAN = 4.0


@pytest.fixture
def crowd() -> Iterator[CrowdEcho]:
    with CrowdEcho() as crowd:
        yield crowd


class Limited:
    """A SOCKS inbound on two workers, under one limit."""

    def __init__(self, processes: Processes, **limit: Any) -> None:
        self.port = free_port()
        inbound = {"type": "socks", "tag": "in", "listen": LOOPBACK, "listen_port": self.port, "limits": "x"}
        self.gproxy = Supervised.start(processes, inbound, limits=[{"tag": "x", **limit}])

    def come(self, target: tuple[str, int], source: str = LOOPBACK) -> socket.socket | None:
        """A tunnel to the target from this address; None if there was no room for it."""
        sock = socket.socket()
        try:
            sock.settimeout(20)
            sock.bind((source, 0))
            sock.connect((LOOPBACK, self.port))
            sock.sendall(b"\x05\x01\x00\x05\x01\x00" + packed(target))
            if exactly(sock, 12)[:4] == b"\x05\x00\x05\x00":
                return sock
        except (ConnectionResetError, BrokenPipeError):
            pass
        sock.close()
        return None

    def worker_of(self, client: socket.socket) -> int:
        """The process that serves it."""
        ours = f"{client.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, *rest = line.split()
            if local.endswith(f":{self.port:04X}") and remote.endswith(f":{ours}"):
                inode = f"socket:[{rest[6]}]"
                for pid in self.gproxy.workers().values():
                    if inode in _sockets(pid):
                        return pid
        raise AssertionError("nobody serves it")


def _sockets(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(entry.readlink()))
    return found


def on_both(house: Limited, target: tuple[str, int], stack: ExitStack, count: int) -> list[socket.socket]:
    """So many tunnels, of which each worker has one at least."""
    found: dict[int, list[socket.socket]] = {}
    while len(found) < 2 or sum(map(len, found.values())) < count:
        sock = house.come(target)
        assert sock is not None
        stack.enter_context(sock)
        theirs = found.setdefault(house.worker_of(sock), [])
        if len(theirs) < count - 1:
            theirs.append(sock)
        else:
            sock.close()
    one, other = found.values()
    return [other[0], *one, *other[1:]][:count]


def test_a_rate_is_kept_and_shared_fairly(processes: Processes, site: Server) -> None:
    house = Limited(processes, down="10 Mbps")
    got = [0, 0, 0]
    over = threading.Event()

    def read(number: int, sock: socket.socket) -> None:
        sock.sendall(b"GET /bytes/100000000 HTTP/1.0\r\n\r\n")
        while not over.is_set():
            got[number] += len(sock.recv(1 << 16))

    with ExitStack() as stack:
        socks = on_both(house, (site.host, site.port), stack, 3)
        threads = [threading.Thread(target=read, args=each, daemon=True) for each in enumerate(socks)]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(got) > 100_000, lambda: f"they don't come on: {got}")
        before, began = list(got), time.monotonic()
        wait_until(lambda: time.monotonic() - began > SPAN, "it does not pass")
        after, seconds = list(got), time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join(10)
    moved = [late - early for late, early in zip(after, before, strict=True)]
    assert sum(moved) / seconds == pytest.approx(RATE, rel=0.05)
    for each in moved:
        assert each == pytest.approx(sum(moved) / 3, rel=0.15)
    house.gproxy.stop()


def test_datagrams_count_too(processes: Processes, udp_echo_server: Server) -> None:
    """Twice as many as the rate allows are sent, from two clients: half of them is lost."""
    port, rate, size = free_port(), 250_000, 1000
    inbound = tunnel_config(port, udp_echo_server.port, "udp")
    limit = {"tag": "x", "up": "2 Mbps", "burst": "20 KB"}
    gproxy = Supervised.start(processes, {**inbound, "limits": "x"}, limits=[limit])
    answered = Counter[int]()
    clients = []
    for number in range(2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((LOOPBACK, port))
        sock.setblocking(False)
        clients.append((number, sock))

    def hear() -> None:
        for number, sock in clients:
            with contextlib.suppress(BlockingIOError):
                while sock.recv(2000):
                    answered[number] += 1

    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < 3.0:
        while sent * size < 2 * rate * passed:
            clients[sent % 2][1].send(bytes(size))
            sent += 1
        hear()
        time.sleep(0.002)  # a pace, not a wait
    allowed = rate * passed / size
    wait_until(lambda: hear() or answered.total() >= 0.9 * allowed, lambda: f"{answered} of {allowed}")
    assert answered.total() == pytest.approx(allowed + 20, rel=0.07)
    for _, sock in clients:
        sock.close()
    gproxy.stop()


def test_a_ceiling_is_exact(processes: Processes, crowd: CrowdEcho) -> None:
    """On two workers, after one was killed, and beside those that an older generation still serves."""
    house = Limited(processes, max_connections=8)
    target = (LOOPBACK, crowd.port)
    with ExitStack() as stack:

        def fill() -> list[socket.socket]:
            came = [house.come(target) for _ in range(20)]
            return [stack.enter_context(sock) for sock in came if sock is not None]

        first = on_both(house, target, stack, 2)
        wait_until(lambda: crowd.open == 2, lambda: f"{crowd.open} are open")
        first += fill()
        assert len(first) == 8
        victim = house.worker_of(first[0])
        theirs = [sock for sock in first if house.worker_of(sock) == victim]
        assert 0 < len(theirs) < 8
        kill(victim)
        wait_until(lambda: victim not in house.gproxy.workers().values(), "it is not replaced")
        house.gproxy.wait_error("was killed by SIGKILL")
        wait_until(lambda: len(house.gproxy.workers()) == 2, "it is not replaced")
        second: list[socket.socket] = []
        wait_until(lambda: second.extend(fill()) or len(second) >= len(theirs), lambda: f"{len(second)} for {theirs}")
        assert len(second) == len(theirs)
        assert fill() == []

        house.gproxy.next_generation()
        assert fill() == []
        for sock in second:
            sock.close()
        third: list[socket.socket] = []
        wait_until(lambda: third.extend(fill()) or len(third) >= len(second), lambda: f"{len(third)} are let in")
        assert len(third) == len(second)
    refusals = [line for line in house.gproxy.process.log.splitlines() if "limit x refuses" in line]
    assert 0 < len(refusals) < 12
    house.gproxy.stop()


def test_each_address_comes_at_its_own_rate(processes: Processes, crowd: CrowdEcho) -> None:
    """Five times as often as they may: each gets what it may, and one who comes rarely is not disturbed."""
    house = Limited(processes, each=["source"], connections_per_second=2)
    sources = [f"127.0.4.{number}" for number in range(1, 31)]
    target = (LOOPBACK, crowd.port)
    admitted = Counter[str]()
    slowest = 0.0
    began = time.monotonic()

    def press(mine: list[str]) -> None:
        due = began
        while (due := due + 0.1 / len(mine)) < began + SPAN:
            time.sleep(max(0.0, due - time.monotonic()))  # a pace, not a wait
            source = mine[round((due - began) * 10 * len(mine)) % len(mine)]
            sock = house.come(target, source)
            if sock is not None:
                admitted[source] += 1
                sock.close()

    with ThreadPoolExecutor(3) as pool:
        pressing = [pool.submit(press, sources[number::3]) for number in range(3)]
        while wait(pressing, timeout=0.6).not_done:
            at = time.monotonic()
            sock = house.come(target, "127.0.5.1")
            assert sock is not None
            slowest = max(slowest, time.monotonic() - at)
            sock.close()
        for each in pressing:
            each.result()
    seconds = time.monotonic() - began
    allowed = 2 + 2 * seconds
    assert set(admitted) == set(sources)
    assert max(admitted.values()) <= allowed
    assert admitted.total() / len(sources) >= 1 + 2 * SPAN  # more where all takes longer
    assert slowest < 1.0
    house.gproxy.stop()


def test_slow_clients(processes: Processes, site: Server) -> None:
    """Hundreds that say nothing, or a byte now and then, without an end.

    Few of an address are let in, those are closed in time, and others are served.
    """
    house = Limited(processes, each=["source"], max_handshakes=100)
    began = time.monotonic()
    with ExitStack() as stack:
        silent = []
        for number in range(400):
            sock = stack.enter_context(socket.socket())
            sock.bind((f"127.0.6.{number % 2 + 1}", 0))
            sock.connect((LOOPBACK, house.port))
            silent.append(sock)
        wait_until(lambda: sum(map(_is_over, silent)) == 200, lambda: f"{sum(map(_is_over, silent))} are over")
        for _ in range(10):
            at = time.monotonic()
            sock = house.come((site.host, site.port))
            assert sock is not None
            with sock:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert everything(sock).endswith(HELLO)
            assert time.monotonic() - at < 2
        assert time.monotonic() - began < HANDSHAKE_TIMEOUT, "the good ones come while the others are there"
        assert sum(map(_is_over, silent)) == 200
        for sock in silent[::2]:
            _drip(sock, b"\x05\xff")
        told = time.monotonic()

        def all_over() -> bool:
            nonlocal told
            if time.monotonic() - told > 1:
                told = time.monotonic()
                for sock in silent[::2]:
                    _drip(sock, b"\x02")
            return all(map(_is_over, silent))

        wait_until(all_over, lambda: f"{sum(map(_is_over, silent))} are over", 20)
        assert time.monotonic() - began < HANDSHAKE_TIMEOUT + 3
    house.gproxy.stop()


def _drip(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(data)


def _is_over(sock: socket.socket) -> bool:
    """Whether the proxy has hung up."""
    try:
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
