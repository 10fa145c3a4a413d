"""Protocols in transports in TLS, with links of many streams or without: whatever can be put together, holds together.

Of the product every pair of choices is tried; with GPROXY_FULL=1 (`make interop-full`) all of it, with more bytes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interop import peers
from tests.interop.traffic import MIB, Far, echo, far, half_closes
from tests.support.ports import LOOPBACK, free_ports
from tests.support.procs import Process, Processes
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

pytestmark = pytest.mark.timeout(600)

_FULL = bool(os.environ.get("GPROXY_FULL"))
_SIZE = 4 * MIB if _FULL else MIB

_PROTOCOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "trojan": ({"users": [{"name": "me", "password": "pw1"}]}, {"password": "pw1"}),
    "shadowsocks": ({"method": "aes-128-gcm", "password": "pw1"}, {"method": "aes-128-gcm", "password": "pw1"}),
}
_TRANSPORTS: dict[str, dict[str, Any] | None] = {
    "tcp": None,
    "ws": {"type": "ws", "path": "/here"},
    "ws-early": {
        "type": "ws", "path": "/here", "max_early_data": 2048, "early_data_header_name": "Sec-WebSocket-Protocol",
    },
    "http": {"type": "http", "path": "/here", "host": [NAME]},
    "httpupgrade": {"type": "httpupgrade", "path": "/here"},
    "grpc": {"type": "grpc", "service_name": "here"},
}  # fmt: skip
_TLS = ("none", "1.2", "1.3")
_MUX: dict[str, dict[str, Any] | None] = {
    "none": None,
    "smux": {"enabled": True, "protocol": "smux"},
    "yamux": {"enabled": True, "protocol": "yamux"},
    "h2mux": {"enabled": True, "protocol": "h2mux"},
    "padded": {"enabled": True, "protocol": "yamux", "padding": True},
}


@dataclass(frozen=True)
class Link:
    """One way to put things together."""

    protocol: str
    transport: str
    tls: str
    mux: str

    def __str__(self) -> str:
        return f"{self.protocol}-{self.transport}-{self.tls}-{self.mux}"

    def server(self, certificate: Certificate) -> dict[str, Any]:
        """An inbound, as both makers have it."""
        half = {"type": self.protocol, "listen": LOOPBACK, **_PROTOCOLS[self.protocol][0], **self._transport()}
        if self.tls != "none":
            files = {"certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
            half["tls"] = {"enabled": True, "min_version": self.tls, "max_version": self.tls, **files}
        if self.mux != "none":
            half["multiplex"] = {"enabled": True, "padding": self.mux == "padded"}
        return half

    def client(self, certificate: Certificate) -> dict[str, Any]:
        """An outbound, as both makers have it."""
        half = {"type": self.protocol, "server": LOOPBACK, **_PROTOCOLS[self.protocol][1], **self._transport()}
        if self.tls != "none":
            trusted = {"server_name": NAME, "certificate_path": str(certificate.authority)}
            half["tls"] = {"enabled": True, "min_version": self.tls, "max_version": self.tls, **trusted}
        if (mux := _MUX[self.mux]) is not None:
            half["multiplex"] = mux
        return half

    def _transport(self) -> dict[str, Any]:
        transport = _TRANSPORTS[self.transport]
        return {} if transport is None else {"transport": transport}


def _links(protocols: Sequence[str]) -> list[Link]:
    everything = [Link(*choices) for choices in itertools.product(protocols, _TRANSPORTS, _TLS, _MUX)]
    return everything if _FULL else _pairwise(everything)


def _pairwise(links: Iterable[Link]) -> list[Link]:
    """As few of them, about, as have each pair of choices that there is."""
    left = list(links)
    wanted = set().union(*map(_pairs, left))
    chosen = []
    while wanted:
        best = max(left, key=lambda link: len(_pairs(link) & wanted))
        chosen.append(best)
        wanted -= _pairs(best)
    return chosen


def _pairs(link: Link) -> set[tuple[str, ...]]:
    choices = [f"{name}={getattr(link, name)}" for name in ("protocol", "transport", "tls", "mux")]
    return set(itertools.combinations(choices, 2))


# sing-box has neither transports nor TLS for Shadowsocks.
_THEIRS = [*_links(["trojan"]), *(Link("shadowsocks", "tcp", "none", mux) for mux in _MUX)]
_OWN = _links(list(_PROTOCOLS))

_Config = tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]


def _clients(halves: Sequence[dict[str, Any]], servers: Sequence[int]) -> tuple[_Config, list[int]]:
    """A SOCKS5 port for each outbound, and what leads from one to the other."""
    ports = free_ports(len(halves))
    inbounds = [{"type": "mixed", "tag": f"i{port}", "listen": LOOPBACK, "listen_port": port} for port in ports]
    outbounds = [
        half | {"tag": f"o{port}", "server_port": server}
        for half, port, server in zip(halves, ports, servers, strict=True)
    ]
    rules = [{"inbound": f"i{port}", "outbound": f"o{port}"} for port in ports]
    return (inbounds, outbounds, {"rules": rules}), ports


def _servers(halves: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[int]]:
    ports = free_ports(len(halves))
    return [half | {"listen_port": port} for half, port in zip(halves, ports, strict=True)], ports


def _gproxy(processes: Processes, config: _Config) -> Process:
    inbounds, outbounds, route = config
    return processes.gproxy({"inbounds": inbounds, "outbounds": outbounds, "route": route})


def _check(links: Sequence[Link], ports: Sequence[int], far: Far, *proxies: Process) -> None:
    """Raises AssertionError with every link that fails, and with what the proxies of ours say of sessions that did."""
    failed = {}
    for link, port in zip(links, ports, strict=True):
        try:
            echo(port, (LOOPBACK, far.tcp.port), _SIZE)
            echo(port, ("localhost", far.tcp.port), 1)
        except (AssertionError, OSError) as error:
            failed[str(link)] = repr(error)
    said = [
        line for proxy in proxies for line in proxy.log.splitlines() if "session" in line and not line.endswith(" ok")
    ]
    assert not failed, "\n".join(said)


def test_gproxy_serves_sing_box(processes: Processes, certificate: Certificate, far: Far) -> None:
    inbounds, servers = _servers([link.server(certificate) for link in _THEIRS])
    config, ports = _clients([link.client(certificate) for link in _THEIRS], servers)
    ours = _gproxy(processes, (inbounds, [{"type": "direct"}], {}))
    peers.sing_box(processes, *config)
    _check(_THEIRS, ports, far, ours)


def test_sing_box_serves_gproxy(processes: Processes, certificate: Certificate, far: Far) -> None:
    inbounds, servers = _servers([link.server(certificate) for link in _THEIRS])
    config, ports = _clients([link.client(certificate) for link in _THEIRS], servers)
    peers.sing_box(processes, inbounds)
    ours = _gproxy(processes, config)
    _check(_THEIRS, ports, far, ours)


def test_gproxy_serves_gproxy(processes: Processes, certificate: Certificate, far: Far) -> None:
    """Where sing-box has less, too; and each end of a stream goes through alone."""
    inbounds, servers = _servers([link.server(certificate) for link in _OWN])
    config, ports = _clients([link.client(certificate) for link in _OWN], servers)
    _gproxy(processes, (inbounds, [{"type": "direct"}], {}))
    _gproxy(processes, config)
    _check(_OWN, ports, far)
    assert {str(link): half_closes(port) for link, port in zip(_OWN, ports, strict=True)} == {
        str(link): "both" for link in _OWN
    }
