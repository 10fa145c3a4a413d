"""Too much of everything: afterwards gproxy serves as before, and holds what it held before."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.e2e.clients import Association, association, connect, everything, exactly, packed, socks5_request, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound
from tests.e2e.servers import CrowdEcho
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK
from tests.support.procs import curl
from tests.support.wait import wait_until

WELCOME = b"\x05\x00"
GRANTED = 10


@pytest.fixture
def crowd() -> Iterator[CrowdEcho]:
    with CrowdEcho() as crowd:
        yield crowd


def settle(proxy: Proxy, memory: int, more: int) -> None:
    """Its memory is back, but for so many bytes."""
    wait_until(
        lambda: proxy.process.memory() - memory < more,
        lambda: f"{memory >> 20} MiB before, {proxy.process.memory() >> 20} MiB after",
        10,
    )


@pytest.mark.slow
def test_thousands_of_idle_connections(launch: Launcher, crowd: CrowdEcho) -> None:
    """None is refused or lost, each still carries its bytes, and they leave nothing behind.

    The allocator keeps some of the memory that it was given, for the next ones: a second wave needs no more.
    """
    count = min(5000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)
    with roomy(4 * count):
        proxy = launch()
        wave(proxy, crowd, 10)
        memory, threads = proxy.process.memory(), proxy.threads()
        each = (wave(proxy, crowd, count) - memory) / count
        settle(proxy, memory, 8 * 1024 * count)
        once = proxy.process.memory()
        wave(proxy, crowd, count)
        settle(proxy, once, 4 << 20)
    assert each < 20 * 1024
    assert proxy.threads() <= threads + 1
    proxy.wait_sessions(2 * count + 10, status="ok", seconds=30)


def wave(proxy: Proxy, crowd: CrowdEcho, count: int) -> int:
    """So many connections opened within ten seconds, then idle, then used, then closed; what gproxy needed for them."""
    with ExitStack() as stack:
        began = time.monotonic()
        socks = [stack.enter_context(connect(proxy.port)) for _ in range(count)]
        greet(socks, crowd.port)
        assert time.monotonic() - began < 10
        assert proxy.sockets() == proxy.before + 2 * count
        memory = proxy.process.memory()
        for number, sock in enumerate(socks):
            sock.sendall(struct.pack("!I", number))
        assert [struct.unpack("!I", exactly(sock, 4))[0] for sock in socks] == list(range(count))
    wait_until(lambda: proxy.sockets() == proxy.before, lambda: f"{proxy.sockets()} sockets are left", 20)
    wait_until(lambda: crowd.open == 0, lambda: f"{crowd.open} are still open at the origin", 20)
    return memory


@contextlib.contextmanager
def roomy(descriptors: int) -> Iterator[None]:
    """Let this process, the other end of everything, have so many descriptors if it may."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, descriptors), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def greet(socks: list[socket.socket], port: int) -> None:
    """A SOCKS5 handshake on all of them, each step on all before the next."""
    request = socks5_request((LOOPBACK, port))
    for said, heard in ((request[:3], 2), (request[3:], GRANTED)):
        for sock in socks:
            sock.sendall(said)
        for sock in socks:
            answer = exactly(sock, heard)
            assert answer[:2] == WELCOME, answer


def test_short_connections(proxy: Proxy, crowd: CrowdEcho) -> None:
    """Two thousand of them, of all kinds, each with its line."""
    whole = socks5_request((LOOPBACK, crowd.port))

    def one(number: int) -> None:
        with connect(proxy.port) as sock:
            if number % 4 == 1:
                sock.sendall(b"\x05")
            elif number % 4 == 2:
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert everything(sock).startswith(b"HTTP/1.1 400 ")
            elif number % 4 == 3:
                sock.sendall(whole)
                assert exactly(sock, 12)[2:4] == WELCOME

    one(3)
    memory = proxy.process.memory()
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(one, range(2000)))
    proxy.wait_sessions(500, status="protocol-empty", seconds=20)
    proxy.wait_sessions(500, status="protocol-truncated", seconds=20)
    proxy.wait_sessions(500, status="protocol", seconds=20)
    ends = proxy.wait_sessions(501, target=f"{LOOPBACK}:{crowd.port}", seconds=20)
    assert {session["status"] for session in ends} <= {"ok", "closed-reset"}
    settle(proxy, memory, 16 << 20)


def test_descriptors_that_run_out(proxy: Proxy, site: Server, crowd: CrowdEcho) -> None:
    """Accepting pauses, the clients wait in the queue, who is inside is served; and then it goes on."""
    limit_descriptors(proxy, proxy.process.descriptors() + 40)
    with ExitStack() as stack:
        inside = [stack.enter_context(tunnel(proxy.port, (LOOPBACK, crowd.port))) for _ in range(12)]
        waiting = [stack.enter_context(connect(proxy.port)) for _ in range(60)]
        proxy.process.wait_log("accepting pauses")
        for sock in inside:
            sock.sendall(b"still")
            assert exactly(sock, 5) == b"still"
        used = cpu(proxy)
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 1, "a second has passed")
        assert cpu(proxy) - used < 0.3, "it spins"
        for sock in inside:
            sock.close()
        for sock in waiting[:20]:
            sock.close()
        # Now there is room for the others: they were never refused, only late.
        for sock in waiting[20:]:
            sock.sendall(b"\x05\x01\x00")
            sock.settimeout(20)
            assert exactly(sock, 2) == WELCOME
            sock.close()
    limit_descriptors(proxy, 2000)
    assert curl("-x", proxy.url("socks5h"), f"http://{site.authority}/") == HELLO
    pauses = [record for record in proxy.records() if "accepting pauses" in record["message"]]
    assert 1 <= len(pauses) < 30
    assert {pause["level"] for pause in pauses} == {"warn"}


def test_no_descriptor_for_the_way_out(proxy: Proxy, site: Server) -> None:
    """The client that got the last one is told so, in its protocol, and the next one is served."""
    limit_descriptors(proxy, max(int(name) for name in os.listdir(f"/proc/{proxy.process.pid}/fd")) + 2)
    target = packed((site.host, site.port))
    with connect(proxy.port) as sock:
        sock.sendall(b"\x05\x01\x00\x05\x01\x00" + target)
        assert exactly(sock, 4)[2:] == b"\x05\x01"
    with connect(proxy.port) as sock:
        sock.sendall(b"\x05\x01\x00\x05\x03\x00" + target)
        assert exactly(sock, 4)[2:] == b"\x05\x01"
    limit_descriptors(proxy, 2000)
    assert curl("-x", proxy.url("http"), f"http://{site.authority}/") == HELLO
    assert "Too many open files" in proxy.session(status="dial-failed")["detail"]
    assert "Too many open files" in proxy.session(status="overload-udp")["detail"]


def limit_descriptors(proxy: Proxy, most: int) -> None:
    """It may have so many open from now on."""
    hard = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (most, hard))


def cpu(proxy: Proxy) -> float:
    """Seconds of CPU that it has used."""
    with open(f"/proc/{proxy.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_datagrams_from_everywhere(launch: Launcher, udp_echo_server: Server) -> None:
    """Ten thousand source ports: sessions are bounded, and the one who comes last is served."""
    port = udp_echo_server.port
    proxy = launch(inbound("direct", override_address=LOOPBACK, override_port=port, network="udp"))
    memory = proxy.process.memory()
    for number in range(10_000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((f"127.0.{number // 2500 + 1}.1", 10_000 + number % 2500))
            sock.sendto(b"flood", (LOOPBACK, proxy.port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        answers: list[bytes] = []
        while not answers:
            sock.sendto(b"last", (LOOPBACK, proxy.port))
            with contextlib.suppress(TimeoutError):
                answers.append(sock.recv(100))
        assert answers == [b"last"]
    assert proxy.sockets() <= proxy.before + 8192 + 64
    assert proxy.process.memory() - memory < 8192 * 24 * 1024
    proxy.stop_now()


def test_datagrams_without_an_end(proxy: Proxy) -> None:
    """A target that takes its time does not fill gproxy's memory; its client is heard again afterwards."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow:
        slow.bind((LOOPBACK, 0))
        slow.settimeout(10)
        with association(proxy.port) as client:
            client.send(b"first", slow.getsockname())
            slow.recv(100)
            memory = proxy.process.memory()
            for _ in range(5000):
                client.send(b"x" * 8000, slow.getsockname())
            slow.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    slow.recv(10_000)
            slow.settimeout(0.5)
            heard = b""
            while heard != b"last":
                client.send(b"last", slow.getsockname())
                with contextlib.suppress(TimeoutError):
                    heard = slow.recv(10_000)
            assert proxy.process.memory() - memory < 16 << 20
    proxy.session(network="udp", status="ok")


def _answered(client: Association, payload: bytes, target: tuple[str, int]) -> bool:
    """Whether an echo answers soon. One datagram may be lost where a hundred have come before it."""
    client.sock.settimeout(1.0)
    client.send(payload, target)
    with contextlib.suppress(TimeoutError):
        while client.receive()[0] != payload:  # that is one from before, which was only late
            pass
        return True
    return False


def test_datagrams_to_everywhere(launch: Launcher, udp_echo_server: Server) -> None:
    """One client's targets are bounded, also where a rule gives each a socket of its own."""
    proxy = launch(rules=({"action": "route-options", "udp_connect": True},))
    target = (udp_echo_server.host, udp_echo_server.port)
    with association(proxy.port) as client:
        for number in range(4000):
            client.send(b"x", ("127.0.0.2", 20_000 + number))
            if number % 100 == 99:
                wait_until(lambda number=number: _answered(client, b"%d" % number, target), "no answer", 20)
        assert proxy.sockets() < 1100
    proxy.session(network="udp")
