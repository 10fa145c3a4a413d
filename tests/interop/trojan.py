"""Trojan, half by half: servers and clients of every maker, gproxy's among them.

A server is started with a certificate and the port of its web site, and says where it listens; a client is told that,
and gives a SOCKS5 port. What each of them can, as far as the tests have to know, stands in PEERS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.interop import peers
from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate

PASSWORD, OTHER = "pw1", "pw2"
PROTOCOLS = ["h2", "http/1.1"]

# -- servers ----------------------------------------------------------------------------------------------------------


def trojan_server(processes: Processes, certificate: Certificate, site: int) -> int:
    """trojan-gfw's server; its port."""
    port = free_port()
    files = {"cert": str(certificate.chain), "key": str(certificate.key), "key_password": "", "dhparam": ""}
    server = {
        "run_type": "server", "local_addr": LOOPBACK, "local_port": port, "remote_addr": LOOPBACK, "remote_port": site,
        "password": [PASSWORD, OTHER],
        "ssl": _SSL | files | {
            "prefer_server_cipher": True, "alpn_port_override": {}, "session_timeout": 600, "plain_http_response": "",
        },
        "tcp": _TCP | {"prefer_ipv4": True}, "mysql": {"enabled": False},
    }  # fmt: skip
    _trojan(processes, server)
    return port


def sing_box_server(processes: Processes, certificate: Certificate, site: int) -> int:
    """sing-box with a trojan inbound; its port."""
    port = free_port()
    inbound = {
        "type": "trojan", "listen": LOOPBACK, "listen_port": port, "users": [{"name": "me", "password": PASSWORD}],
        "fallback": {"server": LOOPBACK, "server_port": site}, "tls": _tls_server(certificate),
    }  # fmt: skip
    peers.sing_box(processes, [inbound])
    return port


def xray_server(processes: Processes, certificate: Certificate, site: int) -> int:
    """Xray with a trojan inbound; its port."""
    return _ray_server(peers.xray, processes, certificate, site)


def v2ray_server(processes: Processes, certificate: Certificate, site: int) -> int:
    """v2ray with a trojan inbound; its port."""
    return _ray_server(peers.v2ray, processes, certificate, site)


def _ray_server(start: Callable[..., None], processes: Processes, certificate: Certificate, site: int) -> int:
    port = free_port()
    files = {"certificateFile": str(certificate.chain), "keyFile": str(certificate.key)}
    inbound = {
        "listen": LOOPBACK, "port": port, "protocol": "trojan",
        "settings": {"clients": [{"password": PASSWORD}], "fallbacks": [{"dest": f"{LOOPBACK}:{site}"}]},
        "streamSettings": {
            "network": "tcp", "security": "tls", "tlsSettings": {"certificates": [files], "alpn": ["http/1.1"]},
        },
    }  # fmt: skip
    start(processes, [inbound], {"protocol": "freedom"})
    return port


def gproxy_servers(
    processes: Processes, *inbounds: dict[str, Any], rules: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """gproxy with these inbounds; their ports."""
    ports = free_ports(len(inbounds))
    common = {"type": "trojan", "listen": LOOPBACK}
    config = [common | inbound | {"listen_port": port} for inbound, port in zip(inbounds, ports, strict=True)]
    processes.gproxy({"inbounds": config, "route": {"rules": list(rules)}})
    return ports


def server_half(certificate: Certificate, site: int, **tls: Any) -> dict[str, Any]:
    """An inbound of gproxy's, for users with either password."""
    return {
        "users": [{"name": "me", "password": PASSWORD}, {"name": "you", "password": OTHER}],
        "fallback": {"server": LOOPBACK, "server_port": site},
        "tls": _tls_server(certificate) | tls,
    }


# -- clients ----------------------------------------------------------------------------------------------------------


def trojan_client(
    processes: Processes, certificate: Certificate, server: int, password: str = PASSWORD, name: str = NAME
) -> int:
    """trojan-gfw's client; its SOCKS5 port."""
    port = free_port()
    verify = {"verify": True, "verify_hostname": True, "cert": str(certificate.authority), "sni": name}
    client = {
        "run_type": "client", "local_addr": LOOPBACK, "local_port": port, "remote_addr": LOOPBACK,
        "remote_port": server, "password": [password], "ssl": _SSL | verify, "tcp": _TCP,
    }  # fmt: skip
    _trojan(processes, client)
    return port


def sing_box_client(
    processes: Processes, certificate: Certificate, server: int, password: str = PASSWORD, name: str = NAME
) -> int:
    """sing-box with a trojan outbound; its SOCKS5 port."""
    outbound = {"type": "trojan", "server": LOOPBACK, "server_port": server, "password": password}
    return peers.sing_box_client(processes, outbound | {"tls": _tls_client(certificate, name)})


def xray_client(
    processes: Processes, certificate: Certificate, server: int, password: str = PASSWORD, name: str = NAME
) -> int:
    """Xray with a trojan outbound; its SOCKS5 port."""
    return _ray_client(peers.xray, processes, certificate, server, password, name)


def v2ray_client(
    processes: Processes, certificate: Certificate, server: int, password: str = PASSWORD, name: str = NAME
) -> int:
    """v2ray with a trojan outbound; its SOCKS5 port."""
    return _ray_client(peers.v2ray, processes, certificate, server, password, name)


def _ray_client(
    start: Callable[..., None], processes: Processes, certificate: Certificate, server: int, password: str, name: str
) -> int:
    port = free_port()
    inbound = {"listen": LOOPBACK, "port": port, "protocol": "socks", "settings": {"udp": True, "ip": LOOPBACK}}
    trusted = {"usage": "verify", "certificateFile": str(certificate.authority)}
    tls = {"serverName": name, "disableSystemRoot": True, "certificates": [trusted]}
    outbound = {
        "protocol": "trojan",
        "settings": {"servers": [{"address": LOOPBACK, "port": server, "password": password}]},
        "streamSettings": {"network": "tcp", "security": "tls", "tlsSettings": tls},
    }
    start(processes, [inbound], outbound)
    return port


def gproxy_clients(processes: Processes, *outbounds: dict[str, Any]) -> list[int]:
    """gproxy with a SOCKS5 port for each of these outbounds."""
    ports = free_ports(len(outbounds))
    inbounds = [{"type": "mixed", "tag": f"i{port}", "listen": LOOPBACK, "listen_port": port} for port in ports]
    common = {"type": "trojan", "server": LOOPBACK}
    config = [common | outbound | {"tag": f"o{port}"} for outbound, port in zip(outbounds, ports, strict=True)]
    rules = [{"inbound": f"i{port}", "outbound": f"o{port}"} for port in ports]
    processes.gproxy({"inbounds": inbounds, "outbounds": config, "route": {"rules": rules}})
    return ports


def client_half(
    certificate: Certificate, server: int, password: str = PASSWORD, name: str = NAME, **tls: Any
) -> dict[str, Any]:
    """An outbound of gproxy's."""
    return {"server_port": server, "password": password, "tls": _tls_client(certificate, name) | tls}


# -- what is said to each ---------------------------------------------------------------------------------------------

_SSL = {
    "cipher": "", "cipher_tls13": "", "alpn": PROTOCOLS, "reuse_session": True, "session_ticket": False, "curves": "",
}  # fmt: skip
_TCP = {"no_delay": True, "keep_alive": True, "reuse_port": False, "fast_open": False, "fast_open_qlen": 20}


def _trojan(processes: Processes, config: dict[str, Any]) -> None:
    path = processes.folder / f"trojan-{config['local_port']}.json"
    path.write_text(json.dumps({"log_level": 1} | config), "utf-8")
    processes.start(program("trojan"), str(path), tcp=[config["local_port"]])


def _tls_server(certificate: Certificate) -> dict[str, Any]:
    files = {"certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
    return {"enabled": True, "alpn": PROTOCOLS, **files}


def _tls_client(certificate: Certificate, name: str) -> dict[str, Any]:
    return {"enabled": True, "server_name": name, "certificate_path": str(certificate.authority)}


def only(version: str) -> dict[str, str]:
    """One version of TLS."""
    return {"min_version": version, "max_version": version}


# -- who can what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """A maker's two halves.

    `longest`: the longest datagram that it carries. `half_close`: the ends that its client, or its server, lets through
    alone (see traffic.half_closes), with gproxy at the other end.
    """

    server: Callable[..., int]
    client: Callable[..., int]
    longest: int
    client_half_close: str = "none"
    server_half_close: str = "none"


PEERS = {
    "trojan": Peer(trojan_server, trojan_client, 8000),
    "sing-box": Peer(sing_box_server, sing_box_client, 15000, "both", "both"),
    "Xray": Peer(xray_server, xray_client, 8000),
    "v2ray": Peer(v2ray_server, v2ray_client, 1900),
}
