"""Shadowsocks, half by half: servers and clients of every maker, gproxy's among them.

A server is started with a method and a password and says where it listens; a client is told that, and gives a SOCKS5
port. What each of them can, as far as the tests have to know, stands in PEERS.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.interop import peers
from tests.interop.lab import program, start_gproxy, through
from tests.interop.traffic import MIB
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes

AEAD = ("aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "chacha20-ietf-poly1305", "xchacha20-ietf-poly1305")
MODERN = ("2022-blake3-aes-128-gcm", "2022-blake3-aes-256-gcm", "2022-blake3-chacha20-poly1305")
LIBEV_RETIRED = (
    "aes-128-ctr", "aes-192-ctr", "aes-256-ctr", "aes-128-cfb", "aes-192-cfb", "aes-256-cfb",
    "camellia-128-cfb", "camellia-192-cfb", "camellia-256-cfb", "bf-cfb", "rc4-md5", "chacha20", "chacha20-ietf",
    "salsa20",
)  # fmt: skip
SING_BOX_RETIRED = (
    "aes-128-ctr", "aes-192-ctr", "aes-256-ctr", "aes-128-cfb", "aes-192-cfb", "aes-256-cfb", "rc4-md5",
    "chacha20-ietf", "xchacha20",
)  # fmt: skip
RETIRED = (*LIBEV_RETIRED, "xchacha20")
METHODS = ("none", *AEAD, *MODERN, *RETIRED)

PASSWORD = "pw1"
K = TypeVar("K", bound=Hashable)


def password_for(method: str, whose: str = "server") -> str:
    """A password: of the 2022 edition the key of `whose`."""
    if method not in MODERN:
        return PASSWORD if whose == "server" else f"{PASSWORD}-{whose}"
    size = 16 if "128" in method else 32
    return base64.b64encode(hashlib.sha256(whose.encode()).digest()[:size]).decode()


def options(method: str, password: str) -> dict[str, Any]:
    """gproxy's options for a method."""
    return {"method": method, "password": password} | ({"legacy": True} if method in RETIRED else {})


# -- servers ----------------------------------------------------------------------------------------------------------


def ss_server(
    processes: Processes, method: str, password: str, listen: str = LOOPBACK, *, port: int | None = None
) -> int:
    """shadowsocks-libev's server; its port."""
    port = port or free_port()
    processes.start(
        program("ss-server"), "-s", listen, "-p", str(port), "-k", password, "-m", method, "-u", tcp=[port], udp=[port]
    )
    return port


def sing_box_server(processes: Processes, method: str, password: str, *, port: int | None = None, **more: Any) -> int:
    """sing-box with a shadowsocks inbound; its port."""
    port = port or free_port()
    inbound = {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, "method": method, "password": password}
    peers.sing_box(processes, [inbound | more])
    return port


def xray_server(processes: Processes, method: str, password: str, *, port: int | None = None, **more: Any) -> int:
    """Xray with a shadowsocks inbound; its port."""
    return _ray_server(peers.xray, processes, method, password, port or free_port(), more)


def v2ray_server(processes: Processes, method: str, password: str, *, port: int | None = None) -> int:
    """v2ray with a shadowsocks inbound; its port."""
    return _ray_server(peers.v2ray, processes, method, password, port or free_port(), {})


def _ray_server(
    start: Callable[..., None], processes: Processes, method: str, password: str, port: int, more: dict[str, Any]
) -> int:
    settings = {"method": method, "password": password, "network": "tcp,udp"} | more
    inbound = {"listen": LOOPBACK, "port": port, "protocol": "shadowsocks", "settings": settings}
    start(processes, [inbound], {"protocol": "freedom"})
    return port


def gproxy_server(processes: Processes, method: str, password: str, **more: Any) -> int:
    """gproxy with a shadowsocks inbound; its port."""
    port = free_port()
    inbound = {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, **options(method, password)}
    start_gproxy(processes, {"inbounds": [inbound | more]}, udp=[port])
    return port


def gproxy_servers(processes: Processes, methods: Iterable[str]) -> dict[str, int]:
    """gproxy with a shadowsocks inbound for each of these methods; their ports."""
    methods = list(methods)
    ports = dict(zip(methods, free_ports(len(methods)), strict=True))
    inbounds = [
        {"type": "shadowsocks", "listen": LOOPBACK, "listen_port": port, **options(method, password_for(method))}
        for method, port in ports.items()
    ]
    start_gproxy(processes, {"inbounds": inbounds}, udp=ports.values())
    return ports


# -- clients ----------------------------------------------------------------------------------------------------------


def ss_local(processes: Processes, method: str, password: str, server: int, host: str = LOOPBACK) -> int:
    """shadowsocks-libev's client; its SOCKS5 port."""
    port = free_port()
    _libev_client(processes, "ss-local", method, password, (host, server), port, "-u")
    return port


def ss_tunnel(processes: Processes, method: str, password: str, server: int, target: int) -> int:
    """shadowsocks-libev's port forward to a port of ours; the port that TCP and UDP are taken at."""
    port = free_port()
    _libev_client(
        processes, "ss-tunnel", method, password, (LOOPBACK, server), port, "-u", "-L", f"{LOOPBACK}:{target}"
    )
    return port


def _libev_client(
    processes: Processes, name: str, method: str, password: str, server: tuple[str, int], port: int, *more: str
) -> None:
    to = ("-s", server[0], "-p", str(server[1]), "-k", password, "-m", method)
    processes.start(program(name), *to, "-b", LOOPBACK, "-l", str(port), *more, tcp=[port])


def sing_box_client(processes: Processes, method: str, password: str, server: int) -> int:
    """sing-box with a shadowsocks outbound; its SOCKS5 port."""
    outbound = {"type": "shadowsocks", "server": LOOPBACK, "server_port": server}
    return peers.sing_box_client(processes, outbound | {"method": method, "password": password})


def xray_client(processes: Processes, method: str, password: str, server: int) -> int:
    """Xray with a shadowsocks outbound; its SOCKS5 port."""
    return _ray_client(peers.xray, processes, method, password, server)


def v2ray_client(processes: Processes, method: str, password: str, server: int) -> int:
    """v2ray with a shadowsocks outbound; its SOCKS5 port."""
    return _ray_client(peers.v2ray, processes, method, password, server)


def _ray_client(start: Callable[..., None], processes: Processes, method: str, password: str, server: int) -> int:
    port = free_port()
    inbound = {"listen": LOOPBACK, "port": port, "protocol": "socks", "settings": {"udp": True, "ip": LOOPBACK}}
    to = {"address": LOOPBACK, "port": server, "method": method, "password": password}
    start(processes, [inbound], {"protocol": "shadowsocks", "settings": {"servers": [to]}})
    return port


def gproxy_client(processes: Processes, method: str, password: str, server: int) -> int:
    """gproxy with a shadowsocks outbound; its SOCKS5 port."""
    return through(processes, "shadowsocks", {"server_port": server, **options(method, password)})


def gproxy_clients(processes: Processes, servers: Mapping[K, tuple[str, int]]) -> dict[K, int]:
    """gproxy with a shadowsocks outbound for each of these servers, a method and a port; their SOCKS5 ports."""
    ports = dict(zip(servers, free_ports(len(servers)), strict=True))
    inbounds = [{"type": "mixed", "tag": f"{port}", "listen": LOOPBACK, "listen_port": port} for port in ports.values()]
    outbounds = [
        {
            "type": "shadowsocks", "tag": f"{ports[name]}", "server": LOOPBACK, "server_port": server,
            **options(method, password_for(method)),
        }
        for name, (method, server) in servers.items()
    ]  # fmt: skip
    rules = [{"inbound": f"{port}", "outbound": f"{port}"} for port in ports.values()]
    start_gproxy(processes, {"inbounds": inbounds, "outbounds": outbounds, "route": {"rules": rules}})
    return ports


# -- who can what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """A maker's two halves.

    `half_close`: the ends that its client, or its server, lets through alone (see traffic.half_closes), with gproxy at
    the other end. `longest`: the longest datagram that it carries.
    """

    server: Callable[..., int]
    client: Callable[..., int]
    server_methods: tuple[str, ...]
    client_methods: tuple[str, ...]
    client_half_close: str = "none"
    server_half_close: str = "none"
    longest: int = 60000


PEERS = {
    "libev": Peer(ss_server, ss_local, (*AEAD, *LIBEV_RETIRED), (*AEAD, *LIBEV_RETIRED), longest=2700),
    "sing-box": Peer(
        sing_box_server,
        sing_box_client,
        ("none", *AEAD, *MODERN),
        ("none", *AEAD, *MODERN, *SING_BOX_RETIRED),
        client_half_close="server",
        server_half_close="client",
        longest=15000,
    ),
    "Xray": Peer(
        xray_server,
        xray_client,
        (*(method for method in AEAD if "192" not in method), *MODERN),
        (*(method for method in AEAD if "192" not in method), *MODERN),
        longest=8000,
    ),
    "v2ray": Peer(
        v2ray_server,
        v2ray_client,
        ("none", "aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305"),
        ("none", "aes-128-gcm", "aes-256-gcm", "chacha20-ietf-poly1305"),
        longest=1900,
    ),
}


def each_method(side: str) -> list[tuple[str, str]]:
    """Every peer with every method of its `server` or its `client`."""
    return [
        (name, method)
        for name, peer in PEERS.items()
        for method in (peer.server_methods if side == "server" else peer.client_methods)
    ]


ONE_OF_EACH_KIND = [
    ("libev", "aes-128-gcm"),
    ("sing-box", "aes-128-gcm"),
    ("Xray", "aes-128-gcm"),
    ("v2ray", "aes-128-gcm"),
]
ONE_OF_EACH_KIND += [("libev", "aes-128-cfb"), ("sing-box", MODERN[0]), ("Xray", MODERN[0])]
"""A method of each kind that a peer has: their ends differ by kind, if at all."""


def bulk(method: str) -> int:
    """The bytes that a method has to carry each way."""
    return MIB if method in RETIRED else 64 * MIB
