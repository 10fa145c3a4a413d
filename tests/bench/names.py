"""Questions for name servers: the load, and Unbound as the server that all of them ask."""

from __future__ import annotations

import shutil
import socket
import struct
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from tests.bench import sandbox
from tests.bench.certificate import NAME, make_certificate
from tests.bench.doors import Declined
from tests.bench.load import Client, Datagrams, echo_datagrams
from tests.bench.peers import PeerFailed, Running

ZONE = "names.test"
"""Each name below it has one address."""

_HEAD = struct.Struct("!HHHHHH")
_TIMEOUT = 2.0  # seconds for an answer
_A_IN = b"\0\1\0\1"
_TTL = 3600


def query(name: str, number: int = 0) -> bytes:
    """A question for the address of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return _HEAD.pack(number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + _A_IN


def names(first: int, count: int) -> list[bytes]:
    """Questions for so many different names of the zone."""
    return [query(f"n{number}.{ZONE}", number & 0xFFFF) for number in range(first, first + count)]


def ask(port: int, question: bytes) -> float:
    """Ask once by UDP; the seconds until the address was there. Raises OSError."""
    with _connected(port) as sock:
        return _asked(sock, question)


def _connected(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(_TIMEOUT)
    sock.connect(("127.0.0.1", port))
    if sock.getsockname()[1] == port:  # nobody is there yet, and it would hear itself
        sock.close()
        raise ConnectionRefusedError(f"nobody at {port}")
    return sock


def _asked(sock: socket.socket, question: bytes) -> float:
    started = time.perf_counter()
    sock.send(question)
    answer = sock.recv(4096)
    seconds = time.perf_counter() - started
    if answer[:2] != question[:2] or answer[3] & 0xF or answer[6:8] == b"\0\0":
        raise Declined(f"no address: {answer[:12].hex()}")
    return seconds


def one_by_one(_client: Client, ports: list[int], questions: list[list[bytes]]) -> list[list[float]]:
    """Ask each port's questions, in turns and one at a time; the seconds of each port. Raises OSError."""
    socks = [_connected(port) for port in ports]
    try:
        rounds = [
            [_asked(sock, one) for sock, one in zip(socks, each, strict=True)] for each in zip(*questions, strict=True)
        ]
    finally:
        for sock in socks:
            sock.close()
    return [list(each) for each in zip(*rounds, strict=True)]


def many(_client: Client, port: int, first: int, different: int, count: int, clients: int, window: int) -> Datagrams:
    """Ask `count` questions for so many names, again and again, over connected sockets with `window` each in flight."""
    socks = [_connected(port) for _ in range(clients)]
    try:
        questions: list[Iterator[bytes]] = [cycle(names(first, different)) for _ in socks]
        return echo_datagrams(list(zip(socks, questions, strict=True)), count, window)
    finally:
        for sock in socks:
            sock.close()


def each_once(_client: Client, port: int, first: int, count: int, clients: int, window: int) -> Datagrams:
    """Ask for `count` different names, each once."""
    socks = [_connected(port) for _ in range(clients)]
    try:
        share = (
            count // clients + 2 * window
        )  # what is asked again because an answer was late may be more than asked for
        questions = [iter(names(first + number * share, share)) for number in range(clients)]
        return echo_datagrams(
            [(sock, _endless(each)) for sock, each in zip(socks, questions, strict=True)], count, window
        )
    finally:
        for sock in socks:
            sock.close()


def _endless(questions: Iterator[bytes]) -> Iterator[bytes]:
    last = b""
    for last in questions:
        yield last
    while True:
        yield last


class Upstream(Running):
    """Unbound, which knows all names of the zone by itself: by UDP, TLS and HTTPS."""

    def __init__(self, home: Path) -> None:
        program = shutil.which("unbound")
        if program is None:
            raise PeerFailed("unbound is not installed")
        home.mkdir(parents=True)
        self.certificate = make_certificate(home)
        self.port, self.tls, self.https = sandbox.free_ports(3)
        (home / "unbound.conf").write_text(self._options(home), encoding="utf-8")
        super().__init__([program, "-d", "-p", "-c", str(home / "unbound.conf")], home, self._probe)

    def _options(self, home: Path) -> str:
        listen = "".join(f"  interface: 127.0.0.1@{port}\n" for port in (self.port, self.tls, self.https))
        return (
            f"server:\n{listen}"
            f"  tls-port: {self.tls}\n  https-port: {self.https}\n"
            f'  tls-service-pem: "{self.certificate.chain}"\n  tls-service-key: "{self.certificate.key}"\n'
            f'  username: ""\n  chroot: ""\n  directory: "{home}"\n  use-syslog: no\n  logfile: ""\n  verbosity: 0\n'
            "  do-daemonize: no\n  num-threads: 1\n  module-config: iterator\n  incoming-num-tcp: 100\n"
            f'  local-zone: "{ZONE}." redirect\n  local-data: "{ZONE}. {_TTL} A 192.0.2.1"\n'
            "remote-control:\n  control-enable: no\n"
        )

    def _probe(self) -> None:
        try:
            ask(self.port, query(f"probe.{ZONE}", 7))
        except TimeoutError as error:
            raise ConnectionError(str(error)) from error


def tls_options(upstream: Upstream) -> dict[str, object]:
    """How a client of Unbound trusts it."""
    return {"enabled": True, "server_name": NAME, "certificate_path": str(upstream.certificate.chain)}
