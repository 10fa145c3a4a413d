"""With a DNS server that is reached through a proxy, no question leaves by another way: nothing is on the wire."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gproxy.wire.dns import types
from gproxy.wire.dns.message import addresses_of, make_query, parse
from tests.e2e.proxy import Launcher, inbound, outbound
from tests.e2e.tools import needs, shown, side_link
from tests.support.origin import HELLO, Server
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import ProcessFailed, curl
from tests.support.wait import wait_until

FAR = "198.51.100.53"  # a name server out there, where only the wire leads
OUTSIDE = 0x0003  # ETH_P_ALL


class Wire:
    """Hears every frame that leaves by the interface which leads outside."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(OUTSIDE))
        self._sock.bind(("side0", 0))
        self._sock.settimeout(0.05)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def _hear(self) -> None:
        while not self._over.is_set():
            try:
                frame, name = self._sock.recvfrom(65535)
            except TimeoutError:
                continue
            if name[2] == socket.PACKET_OUTGOING and _is_told(frame):
                self.frames.append(frame)

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._sock.close()


def _is_told(frame: bytes) -> bool:
    """Not what the system says by itself on a new link: neighbour discovery, multicast listeners."""
    return frame[12:14] != b"\x86\xdd"


@pytest.fixture
def wire() -> Iterator[Wire]:
    needs("ip")
    side_link()
    shown("ip", "route", "add", "default", "via", "192.0.2.2")
    wire = Wire()
    yield wire
    wire.close()


def far_proxy(launch: Launcher) -> int:
    """A proxy that has the name server of the other end: whatever goes to port 53 is answered there."""
    proxy = launch(
        inbound("socks"),
        outbounds=(outbound("direct"),),
        dns={"servers": [{"type": "hosts", "tag": "hosts", "predefined": {"site.test": LOOPBACK}}]},
        rules=({"port": 53, "action": "hijack-dns"},),
    )
    launch.forget(proxy)  # the other one keeps ways to it open
    return proxy.port


def near_proxy(launch: Launcher, far: int, kind: str, **server: Any) -> tuple[int, int]:
    """A proxy that asks there, through the other one; its ports for streams and for questions."""
    questions = free_port()
    launched = launch(
        inbound("mixed"), inbound("dns", questions, tag="dns"),
        outbounds=(outbound("direct"), outbound("socks", far)),
        dns={"servers": [{"type": kind, "tag": "far", "server": FAR, **server}]},
        rules=({"action": "resolve"},),
    )  # fmt: skip
    launch.forget(launched)
    return launched.port, questions


def ask(port: int, name: str) -> list[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.sendto(make_query(name, types.A), (LOOPBACK, port))
        return [str(ip) for ip in addresses_of(parse(client.recv(4096)))]


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_nothing_leaves_but_through_the_proxy(kind: str, launch: Launcher, site: Server, wire: Wire) -> None:
    streams, questions = near_proxy(launch, far_proxy(launch), kind, detour="socks")
    assert ask(questions, "site.test") == [LOOPBACK]
    assert ask(questions, "nowhere.test") == []
    port = site.authority.rpartition(":")[2]
    for scheme in ("socks5h", "http"):
        assert curl("-x", f"{scheme}://{LOOPBACK}:{streams}", f"http://site.test:{port}/") == HELLO
    with pytest.raises(ProcessFailed):
        curl("-x", f"socks5h://{LOOPBACK}:{streams}", "http://nowhere.test/")
    assert wire.frames == []


def test_without_the_proxy_it_would_be_heard(launch: Launcher, wire: Wire) -> None:
    _, questions = near_proxy(launch, far_proxy(launch), "udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(make_query("site.test", types.A), (LOOPBACK, questions))
        wait_until(lambda: bool(wire.frames), "nothing is heard on the wire")
