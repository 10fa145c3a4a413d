"""Links of many streams between gproxy and sing-box, which alone speaks sing-mux, and among ourselves.

Two servers and two clients, one of each maker, serve the whole module: Shadowsocks and Trojan with TLS, with padding
and without, by every protocol. Each outbound may have one connection, so that whatever goes through it shares a link.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.lab import Association, dial, start_gproxy
from tests.interop.traffic import MIB, Far, at_once, echo, far, half_closes, speaks_first
from tests.support.netns import module_network as own_network
from tests.support.origin import content
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Process, Processes
from tests.support.tls import NAME, Certificate
from tests.support.wait import wait_until

__all__ = ["far", "own_network"]

KINDS = ("smux", "yamux", "h2mux")
WAYS = {"own": ("gproxy", "gproxy"), "ours": ("sing-box", "gproxy"), "theirs": ("gproxy", "sing-box")}  # client, server
SHADOWSOCKS: dict[str, Any] = {"type": "shadowsocks", "method": "aes-128-gcm", "password": "pw1"}
PADDED = {False: "plain", True: "padded"}

each_kind = pytest.mark.parametrize("kind", KINDS)
each_way = pytest.mark.parametrize("way", WAYS)


@dataclass(frozen=True)
class Lab:
    """Ports: of servers by maker and inbound, of clients by maker, maker of the server, inbound and kind."""

    servers: dict[tuple[str, str], int]
    clients: dict[tuple[str, str, str, str], int]
    gproxy: Process  # the server

    def client(self, way: str, kind: str, inbound: str) -> int:
        maker, server = WAYS[way]
        return self.clients[maker, server, inbound, kind]

    def link(self, way: str, inbound: str) -> int:
        """How many connections the server's inbound has."""
        return connections(self.servers[WAYS[way][1], inbound])


def inbounds(certificate: Certificate) -> dict[str, dict[str, Any]]:
    """What both servers serve, by name."""
    files = {"certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    trojan = {"type": "trojan", "users": [{"name": "me", "password": "pw1"}], "tls": {"enabled": True, **files}}
    return {
        "plain": trojan | {"multiplex": {"enabled": True}},
        "padded": SHADOWSOCKS | {"multiplex": {"enabled": True, "padding": True}},
        "none": SHADOWSOCKS,
    }


def outbound(name: str, certificate: Certificate, kind: str) -> dict[str, Any]:
    """The client's half of one of them; `unpadded` goes to where that is not liked."""
    multiplex = {"enabled": True, "protocol": kind, "max_connections": 1, "padding": name == "padded"}
    if name == "plain":
        tls = {"enabled": True, "server_name": NAME, "certificate_path": str(certificate.authority)}
        return {"type": "trojan", "password": "pw1", "tls": tls, "multiplex": multiplex}
    return SHADOWSOCKS | {"multiplex": multiplex}


NAMES = {"plain": "plain", "padded": "padded", "unpadded": "padded", "none": "none"}
"""The client's halves, each with the inbound that it goes to."""


@pytest.fixture(scope="module")
def lab(lasting: Processes, certificate: Certificate) -> Lab:
    """The four of them."""
    servers: dict[tuple[str, str], int] = {}
    started: dict[str, Any] = {}
    for maker in ("gproxy", "sing-box"):
        made = []
        for name, options in inbounds(certificate).items():
            servers[maker, name] = free_port()
            made.append(options | {"tag": name, "listen": LOOPBACK, "listen_port": servers[maker, name]})
        config: dict[str, Any] = {"inbounds": made}
        started[maker] = (
            start_gproxy(lasting, {"log": {"level": "debug"}, "runtime": {"stop_grace": "10ms"}, **config})
            if maker == "gproxy"
            else peers.sing_box(lasting, made)
        )
    clients: dict[tuple[str, str, str, str], int] = {}
    for maker in ("gproxy", "sing-box"):
        ins, outs, rules = [], [], []
        for server in ("gproxy", "sing-box"):
            if maker == server == "sing-box":
                continue
            for name, inbound in NAMES.items():
                for kind in KINDS:
                    port = clients[maker, server, name, kind] = free_port()
                    ins.append({"type": "mixed", "tag": f"i{port}", "listen": LOOPBACK, "listen_port": port})
                    to = {"tag": f"o{port}", "server": LOOPBACK, "server_port": servers[server, inbound]}
                    outs.append(outbound(name, certificate, kind) | to)
                    rules.append({"inbound": f"i{port}", "outbound": f"o{port}"})
        if maker == "gproxy":
            start_gproxy(lasting, {"inbounds": ins, "outbounds": outs, "route": {"rules": rules}})
        else:
            peers.sing_box(lasting, ins, outs, {"rules": rules})
    return Lab(servers, clients, started["gproxy"])


def connections(port: int) -> int:
    """How many established connections a port of this network has."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@each_way
@each_kind
@pytest.mark.parametrize("padded", [False, True], ids=PADDED.get)
def test_what_goes_through_a_link(lab: Lab, far: Far, way: str, kind: str, padded: bool) -> None:
    port = lab.client(way, kind, PADDED[padded])
    before = lab.link(way, PADDED[padded])
    for target in ((LOOPBACK, far.tcp.port), ("::1", far.tcp6.port), ("localhost", far.tcp.port)):
        echo(port, target, 1)
    echo(port, (LOOPBACK, far.tcp.port), MIB if padded or way == "own" else 64 * MIB)
    at_once(port, (LOOPBACK, far.tcp.port))
    speaks_first(port)
    with Association(port) as association:
        for size in (1, 1472, 15_000):
            association.echo((LOOPBACK, far.udp.port), next(content(size)))
        association.echo(("localhost", far.udp.port))
    assert lab.link(way, PADDED[padded]) <= before + 1


@each_way
@each_kind
def test_two_hundred_streams_on_one_link(lab: Lab, far: Far, way: str, kind: str) -> None:
    port = lab.client(way, kind, "plain")
    echo(port, (LOOPBACK, far.tcp.port), 1)
    before = lab.link(way, "plain")
    with ExitStack() as stack:
        streams = [stack.enter_context(dial(port, (LOOPBACK, far.tcp.port))) for _ in range(200)]
        for number, stream in enumerate(streams):
            stream.sendall(b"%3d" % number)
        for number, stream in enumerate(streams):
            assert read(stream, 3) == b"%3d" % number
        if kind != "h2mux":  # which takes 100 streams before it knows better and 250 then, with those that just ended
            assert lab.link(way, "plain") <= before


@each_kind
def test_half_closes_among_ourselves(lab: Lab, kind: str) -> None:
    assert half_closes(lab.client("own", kind, "plain")) == "both"


@pytest.mark.parametrize("way", ["ours", "theirs"])
def test_half_closes_with_sing_box(lab: Lab, way: str) -> None:
    """As far as it keeps them: smux has none for it, and of HTTP/2 it sees to one direction only."""
    assert half_closes(lab.client(way, "yamux", "plain")) == "both"


@each_way
@pytest.mark.parametrize("kind", ["yamux", "h2mux"])
def test_a_slow_reader_beside_a_fast_one(lab: Lab, far: Far, way: str, kind: str) -> None:
    port = lab.client(way, kind, "padded")
    with pouring() as address, dial(port, address) as slow:
        assert slow.recv(1) == b"x"
        echo(port, (LOOPBACK, far.tcp.port), 4 * MIB)
        assert slow.recv(1) == b"x"


@pytest.mark.parametrize("way", ["ours", "theirs"])
def test_a_link_without_padding_where_that_is_demanded(lab: Lab, far: Far, way: str) -> None:
    check_unserved(lab.client(way, "smux", "unpadded"), far)
    if way == "ours":
        lab.gproxy.wait_log("unsupported-unpadded")


@pytest.mark.parametrize("way", ["ours", "theirs"])
def test_a_server_that_takes_no_links(lab: Lab, far: Far, way: str) -> None:
    """It is asked for a host that nobody has."""
    check_unserved(lab.client(way, "yamux", "none"), far)
    if way == "ours":
        lab.gproxy.wait_log("sp.mux.sing-box.arpa")


@pytest.mark.parametrize("kind", KINDS)
def test_rates_without_a_kernel_that_can(processes: Processes, far: Far, kind: str) -> None:
    """What a server says of TCP Brutal reaches the log of its client, of whichever maker they are."""
    rates = {"enabled": True, "up_mbps": 10, "down_mbps": 20}
    outbound = outbound_padded(kind)
    outbound["multiplex"]["brutal"] = rates
    servers = free_ports(2)
    made = [
        {**SHADOWSOCKS, "listen": LOOPBACK, "listen_port": port, "multiplex": {"enabled": True, "brutal": rates}}
        for port in servers
    ]
    start_gproxy(processes, {"inbounds": made[:1]})
    peers.sing_box(processes, made[1:])
    port = peers.sing_box_client(processes, outbound | {"server": LOOPBACK, "server_port": servers[0]})
    check_unserved(port, far)
    [*_, log] = sorted(processes.folder.glob("*-sing-box.log"))
    wait_until(lambda: "this kernel has no TCP Brutal" in log.read_text(), log.read_text)
    port = free_port()
    client = start_gproxy(
        processes,
        {
            "inbounds": [{"type": "mixed", "listen": LOOPBACK, "listen_port": port}],
            "outbounds": [outbound | {"server": LOOPBACK, "server_port": servers[1]}],
        },
    )
    check_unserved(port, far)
    client.wait_log("no agreement on TCP Brutal: the server: enable TCP Brutal")


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_is_cut_is_replaced(lab: Lab, far: Far, processes: Processes, kind: str) -> None:
    with Forwarder(lab.servers["gproxy", "padded"]) as between:
        there = {"server": LOOPBACK, "server_port": between.port}
        port = free_port()
        start_gproxy(
            processes,
            {
                "inbounds": [{"type": "mixed", "listen": LOOPBACK, "listen_port": port}],
                "outbounds": [outbound_padded(kind) | there],
            },
        )
        for count in (1, 2, 3):
            with dial(port, (LOOPBACK, far.tcp.port)) as stream:
                stream.sendall(b"hello")
                assert read(stream, 5) == b"hello"
                assert between.count == count
                between.cut()
                with contextlib.suppress(ConnectionResetError):
                    assert stream.recv(1) == b""


def outbound_padded(kind: str) -> dict[str, Any]:
    return {**SHADOWSOCKS, "multiplex": {"enabled": True, "protocol": kind, "padding": True}}


def check_unserved(port: int, far: Far) -> None:
    """Nothing gets through. Raises AssertionError."""
    with contextlib.suppress(AssertionError, ConnectionError), dial(port, (LOOPBACK, far.tcp.port)) as stream:
        stream.settimeout(30)
        stream.sendall(b"hello")
        answer = stream.recv(5)
        if answer:
            pytest.fail("the target was reached")


def read(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.recv(size - len(data))):
        data += piece
    return data


@contextlib.contextmanager
def pouring() -> Iterator[tuple[str, int]]:
    """A server that sends to its one client for as long as that takes it."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def pour() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as stream:
                while True:
                    stream.sendall(b"x" * MIB)

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        yield listener.getsockname()


class Forwarder:
    """Carries connections on to a port, until they are cut."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        self.count = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Forwarder:
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._open):
            sock.close()

    def cut(self) -> None:
        """End all that is open."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _start(self, run: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection((LOOPBACK, self._to))
                self.count += 1
                self._open += [near, far]
                self._start(_carry, near, far)
                self._start(_carry, far, near)


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
