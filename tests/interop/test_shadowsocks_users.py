"""Several users behind one port, and relays that can't read what they pass on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.interop.lab import Association, start_gproxy
from tests.interop.shadowsocks import (
    gproxy_client,
    gproxy_server,
    options,
    password_for,
    sing_box_client,
    sing_box_server,
    ss_local,
    xray_client,
    xray_server,
)
from tests.interop.traffic import MIB, Far, echo, far
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes

__all__ = ["far"]

Client = Callable[[Processes, str, str, int], int]

NAMES = ("alice", "bob")
AES_2022 = ("2022-blake3-aes-128-gcm", "2022-blake3-aes-256-gcm")


def users(method: str) -> list[dict[str, str]]:
    """The users as gproxy and sing-box have them."""
    return [{"name": name, "password": password_for(method, name)} for name in NAMES]


def row(method: str, *whose: str) -> str:
    """A 2022 client's password: the keys of every hop, its own at the end."""
    return ":".join(password_for(method, each) for each in whose)


def known_by_name(processes: Processes, method: str) -> int:
    """gproxy's server with both users, which sends bob away; its port."""
    port = free_port()
    inbound: dict[str, Any] = {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, "users": users(method)}
    inbound |= options(method, password_for(method) if method in AES_2022 else "")
    rules = [{"auth_user": "bob", "action": "reject"}]
    start_gproxy(processes, {"inbounds": [inbound], "route": {"rules": rules}}, udp=[port])
    return port


def check_alice_and_bob(port: dict[str, int], far: Far) -> None:
    """Alice is served, and bob is not."""
    echo(port["alice"], (LOOPBACK, far.tcp.port), MIB)
    with Association(port["alice"]) as association:
        association.echo((LOOPBACK, far.udp.port))
    with pytest.raises((AssertionError, ConnectionError)):
        echo(port["bob"], (LOOPBACK, far.tcp.port), 1)
    with Association(port["bob"]) as association:
        association.silent((LOOPBACK, far.udp.port))


@pytest.mark.parametrize("client", [sing_box_client, xray_client, gproxy_client])
@pytest.mark.parametrize("method", AES_2022)
def test_users_by_identity_headers(method: str, client: Client, processes: Processes, far: Far) -> None:
    server = known_by_name(processes, method)
    check_alice_and_bob({name: client(processes, method, row(method, "server", name), server) for name in NAMES}, far)


@pytest.mark.parametrize("client", [ss_local, sing_box_client, gproxy_client])
@pytest.mark.parametrize("method", ["aes-256-gcm", "chacha20-ietf-poly1305"])
def test_users_by_trial(method: str, client: Client, processes: Processes, far: Far) -> None:
    server = known_by_name(processes, method)
    check_alice_and_bob({name: client(processes, method, password_for(method, name), server) for name in NAMES}, far)


def sing_box_users(processes: Processes, method: str) -> int:
    return sing_box_server(processes, method, password_for(method), users=users(method))


def xray_users(processes: Processes, method: str) -> int:
    clients = [{"password": user["password"], "email": user["name"]} for user in users(method)]
    return xray_server(processes, method, password_for(method), clients=clients)


@pytest.mark.parametrize("server", [sing_box_users, xray_users])
@pytest.mark.parametrize("method", AES_2022)
def test_a_user_of_theirs(method: str, server: Callable[[Processes, str], int], processes: Processes, far: Far) -> None:
    port = gproxy_client(processes, method, row(method, "server", "bob"), server(processes, method))
    echo(port, (LOOPBACK, far.tcp.port), MIB)
    with Association(port) as association:
        association.echo((LOOPBACK, far.udp.port), bytes(1200))


# -- relays -----------------------------------------------------------------------------------------------------------


Relay = Callable[..., int]


def gproxy_relay(processes: Processes, method: str, server: int, hops: tuple[str, str] = ("relay", "server")) -> int:
    """gproxy as the first of `hops` in front of a server, the second; its port."""
    destinations = _destinations(method, server, hops[1])
    return gproxy_server(processes, method, password_for(method, hops[0]), destinations=destinations)


def sing_box_relay(processes: Processes, method: str, server: int, hops: tuple[str, str] = ("relay", "server")) -> int:
    """sing-box, the same."""
    destinations = _destinations(method, server, hops[1])
    return sing_box_server(processes, method, password_for(method, hops[0]), destinations=destinations)


def _destinations(method: str, server: int, key: str) -> list[dict[str, Any]]:
    there = {"server": LOOPBACK, "server_port": server, "password": password_for(method, key)}
    nowhere = {"server": LOOPBACK, "server_port": 1, "password": password_for(method, "nobody")}
    return [{"name": "nowhere", **nowhere}, {"name": "there", **there}]


@pytest.mark.parametrize(
    ("client", "relay", "server"),
    [
        (sing_box_client, gproxy_relay, sing_box_server),
        (gproxy_client, sing_box_relay, gproxy_server),
        (gproxy_client, gproxy_relay, gproxy_server),
    ],
)
@pytest.mark.parametrize("method", AES_2022)
def test_a_relay(
    method: str,
    client: Client,
    relay: Relay,
    server: Callable[..., int],
    processes: Processes,
    far: Far,
) -> None:
    door = relay(processes, method, server(processes, method, password_for(method)))
    port = client(processes, method, row(method, "relay", "server"), door)
    echo(port, (LOOPBACK, far.tcp.port), 8 * MIB)
    with Association(port) as association:
        for size in (1, 1200):
            association.echo((LOOPBACK, far.udp.port), bytes(size))
    unknown = client(processes, method, row(method, "relay", "stranger"), door)
    with Association(unknown) as association:
        association.silent((LOOPBACK, far.udp.port))


@pytest.mark.parametrize(("first", "second"), [(gproxy_relay, sing_box_relay), (sing_box_relay, gproxy_relay)])
@pytest.mark.parametrize("client", [sing_box_client, gproxy_client])
def test_two_relays_and_a_server_with_users(
    client: Client, first: Relay, second: Relay, processes: Processes, far: Far
) -> None:
    """A row of four keys: three identity headers."""
    method = AES_2022[0]
    inner = second(processes, method, known_by_name(processes, method), ("inner", "server"))
    door = first(processes, method, inner, ("outer", "inner"))
    ports = {name: client(processes, method, row(method, "outer", "inner", "server", name), door) for name in NAMES}
    check_alice_and_bob(ports, far)
