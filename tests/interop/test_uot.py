"""UDP over TCP between gproxy and sing-box: no other maker's proxy knows it.

Each way leads through what carries no UDP of its own (SOCKS 4a, a Shadowsocks server for TCP alone), so that nothing
but a stream can have carried the datagrams.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.lab import Association
from tests.interop.shadowsocks import password_for
from tests.interop.traffic import Far, far
from tests.support.origin import content
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes

__all__ = ["far"]

METHODS = ("aes-128-gcm", "2022-blake3-aes-128-gcm")
LONGEST = {"gproxy": 60_000, "sing-box": 15_000}  # sing-box cuts what is longer
_TRIES = 4
CONNECTED = {"action": "route-options", "udp_connect": True}

each_version = pytest.mark.parametrize("version", [1, 2])
each_method = pytest.mark.parametrize("method", METHODS)


def gproxy(processes: Processes, inbound: dict[str, Any], *outbounds: dict[str, Any], **route: Any) -> int:
    """gproxy with one inbound; its port."""
    port = free_port()
    listen = {"listen": LOOPBACK, "listen_port": port}
    processes.gproxy({"inbounds": [inbound | listen], "outbounds": list(outbounds), "route": route})
    return port


def client_of(processes: Processes, server: int, kind: str, over_tcp: int, rules: Any = (), **more: Any) -> int:
    """gproxy with an outbound to this server, and the option in one of its forms; its SOCKS5 port."""
    outbound = {"type": kind, "server": LOOPBACK, "server_port": server, **wanted(over_tcp), **more}
    return gproxy(processes, {"type": "socks"}, outbound, rules=list(rules))


def sing_box_client_of(processes: Processes, server: int, kind: str, over_tcp: int, **more: Any) -> int:
    """sing-box with an outbound to this server; its SOCKS5 port."""
    outbound = {"type": kind, "server": LOOPBACK, "server_port": server, **wanted(over_tcp), **more}
    return peers.sing_box_client(processes, outbound)


def wanted(over_tcp: int) -> dict[str, Any]:
    return {"udp_over_tcp": True if over_tcp == 2 else {"enabled": True, "version": over_tcp}}


@contextmanager
def association(port: int, target: tuple[str, int], hasty: Process | None) -> Iterator[Association]:
    """One through which a datagram has come back already.

    A `hasty` sing-box is a 2022 client: it remembers its salt only after the request has left. If the answer is faster
    than that, it holds it for somebody else's and says so; what it was asked for then has to be tried again.
    """
    for tries_left in reversed(range(_TRIES)):
        with Association(port) as begun:
            try:
                begun.echo(target, next(content(1)))
            except AssertionError:
                if not tries_left or hasty is None or "bad request salt" not in hasty.log:
                    raise
                continue
            yield begun
            return


def check(port: int, far: Far, longest: int, *, names: bool = True, hasty: Process | None = None) -> None:
    """Datagrams of every size and to every kind of target, and many of one client."""
    near = (LOOPBACK, far.udp.port)
    with association(port, near, hasty) as begun:
        for size in (1200, 1472, longest):
            begun.echo(near, next(content(size)))
        for _ in range(100):
            begun.echo(near)
    for target in [("::1", far.udp6.port)] + ([("localhost", far.udp.port)] if names else []):
        with association(port, target, hasty):  # of its own: sing-box keeps to the family of the first target
            pass


def check_sing_box(port: int, far: Far, version: int) -> None:
    """What sing-box takes as a server: names only in the request, which version 1 has not."""
    check(port, far, LONGEST["sing-box"], names=version == 2)


@each_version
@pytest.mark.parametrize("socks", ["4a", "5"])
def test_socks_client_to_sing_box(socks: str, version: int, processes: Processes, far: Far) -> None:
    server = peers.sing_box_server(processes, "socks")
    check_sing_box(client_of(processes, server, "socks", version, version=socks), far, version)


@each_version
def test_socks_client_that_is_connected(version: int, processes: Processes, far: Far) -> None:
    """A rule's `udp_connect` asks for frames without addresses, which only version 2 has."""
    server = peers.sing_box_server(processes, "socks")
    check_sing_box(client_of(processes, server, "socks", version, [CONNECTED], version="4a"), far, version)


@each_version
@pytest.mark.parametrize("kind", ["socks", "mixed"])
@pytest.mark.parametrize("socks", ["4a", "5"])
def test_sing_box_to_socks_server(kind: str, socks: str, version: int, processes: Processes, far: Far) -> None:
    server = gproxy(processes, {"type": kind})
    check(sing_box_client_of(processes, server, "socks", version, version=socks), far, LONGEST["sing-box"])


@each_version
def test_gproxy_to_gproxy(version: int, processes: Processes, far: Far) -> None:
    server = gproxy(processes, {"type": "socks"})
    check(client_of(processes, server, "socks", version, version="4a"), far, LONGEST["gproxy"])


@each_version
@each_method
def test_shadowsocks_client_to_sing_box(method: str, version: int, processes: Processes, far: Far) -> None:
    port, key = free_port(), {"method": method, "password": password_for(method)}
    inbound = {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, "network": "tcp"}
    peers.sing_box(processes, [inbound | key])
    check_sing_box(client_of(processes, port, "shadowsocks", version, **key), far, version)


@each_version
@each_method
def test_sing_box_to_shadowsocks_server(method: str, version: int, processes: Processes, far: Far) -> None:
    key = {"method": method, "password": password_for(method)}
    server = gproxy(processes, {"type": "shadowsocks", "network": "tcp", **key})
    port = sing_box_client_of(processes, server, "shadowsocks", version, **key)
    check(port, far, LONGEST["sing-box"], hasty=processes.latest)
