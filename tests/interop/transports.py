"""The V2Ray transports, half by half: one process of each maker has all of its links, each with a port of its own.

A link is a protocol in a transport, with TLS or without. sing-box has no transports for Shadowsocks, and Trojan without
TLS is not what v2ray and Xray take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.interop import peers
from tests.interop.lab import program, start_gproxy
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate

METHOD, PASSWORD = "aes-128-gcm", "pw1"
PROTOCOL_FIELD = "Sec-WebSocket-Protocol"


@dataclass(frozen=True)
class Link:
    """`transport` is gproxy's table, and sing-box's."""

    protocol: str
    transport: Mapping[str, Any]
    tls: bool = False

    def __str__(self) -> str:
        early = self.transport.get("early_data_header_name", "path") if "max_early_data" in self.transport else ""
        return "+".join(filter(None, (self.protocol, self.transport["type"], early, "tls" if self.tls else "")))


WS = {"type": "ws", "path": "/ws", "headers": {"Host": NAME}}
IN_PATH = {"type": "ws", "path": "/early/", "max_early_data": 2048}
IN_FIELD = WS | {"max_early_data": 2048, "early_data_header_name": PROTOCOL_FIELD}
UPGRADE = {"type": "httpupgrade", "path": "/up", "host": NAME}
BODIES = {"type": "http", "path": "/bodies", "host": [NAME]}
GRPC = {"type": "grpc", "service_name": "Gun"}
GRPC_PATH = {"type": "grpc", "service_name": "a/b", "idle_timeout": "1s", "ping_timeout": "5s"}

Ports = list[int]


# -- servers ----------------------------------------------------------------------------------------------------------


def gproxy_servers(processes: Processes, certificate: Certificate, links: Sequence[Link]) -> Ports:
    """gproxy with an inbound for each link; their ports."""
    ports = free_ports(len(links))
    inbounds = [_inbound(link, port, certificate) for link, port in zip(links, ports, strict=True)]
    start_gproxy(processes, {"inbounds": inbounds})
    return ports


def sing_box_servers(processes: Processes, certificate: Certificate, links: Sequence[Link]) -> Ports:
    """sing-box with an inbound for each link; their ports."""
    ports = free_ports(len(links))
    peers.sing_box(processes, [_inbound(link, port, certificate) for link, port in zip(links, ports, strict=True)])
    return ports


def _inbound(link: Link, port: int, certificate: Certificate) -> dict[str, Any]:
    inbound = {"type": link.protocol, "listen": LOOPBACK, "listen_port": port, "transport": link.transport}
    if link.protocol == "trojan":
        inbound |= {"users": [{"name": "me", "password": PASSWORD}]}
    else:
        inbound |= {"method": METHOD, "password": PASSWORD, "network": "tcp"}
    if link.tls:
        files = {"certificate_path": str(certificate.chain), "key_path": str(certificate.key)}
        inbound["tls"] = {"enabled": True, **files}
    return inbound


def xray_servers(processes: Processes, certificate: Certificate, links: Sequence[Link]) -> Ports:
    """Xray with an inbound for each link; their ports."""
    return _ray_servers(processes, "xray", certificate, links)


def v2ray_servers(processes: Processes, certificate: Certificate, links: Sequence[Link]) -> Ports:
    """v2ray with an inbound for each link; their ports."""
    return _ray_servers(processes, "v2ray", certificate, links)


def _ray_servers(processes: Processes, name: str, certificate: Certificate, links: Sequence[Link]) -> Ports:
    ports = free_ports(len(links))
    inbounds = []
    for link, port in zip(links, ports, strict=True):
        settings: dict[str, Any] = {"method": METHOD, "password": PASSWORD, "network": "tcp"}
        if link.protocol == "trojan":
            settings = {"clients": [{"password": PASSWORD}]}
        stream = _ray_stream(link)
        if link.tls:
            files = {"certificateFile": str(certificate.chain), "keyFile": str(certificate.key)}
            stream |= {"security": "tls", "tlsSettings": {"certificates": [files]}}
        inbounds.append(
            {
                "listen": LOOPBACK, "port": port, "protocol": link.protocol, "settings": settings,
                "streamSettings": stream,
            }
        )  # fmt: skip
    direct = {"protocol": "freedom", "settings": {"finalRules": [{"action": "allow"}]} if name == "xray" else {}}
    _ray(processes, name, inbounds, [direct])
    return ports


# -- clients ----------------------------------------------------------------------------------------------------------


def gproxy_clients(
    processes: Processes, certificate: Certificate, links: Sequence[Link], servers: Sequence[int]
) -> Ports:
    """gproxy with an outbound for each link to these servers; their SOCKS5 ports."""
    ports, config = _clients(certificate, links, servers)
    start_gproxy(processes, config)
    return ports


def sing_box_clients(
    processes: Processes, certificate: Certificate, links: Sequence[Link], servers: Sequence[int]
) -> Ports:
    """sing-box with an outbound for each link to these servers; their SOCKS5 ports."""
    ports, config = _clients(certificate, links, servers)
    peers.sing_box(processes, config["inbounds"], config["outbounds"], config["route"])
    return ports


def _clients(certificate: Certificate, links: Sequence[Link], servers: Sequence[int]) -> tuple[Ports, dict[str, Any]]:
    ports = free_ports(len(links))
    tags = [f"{number}" for number in range(len(links))]
    inbounds = [
        {"type": "mixed", "tag": tag, "listen": LOOPBACK, "listen_port": port}
        for tag, port in zip(tags, ports, strict=True)
    ]
    outbounds = [
        {"tag": tag, **_outbound(link, server, certificate)}
        for tag, link, server in zip(tags, links, servers, strict=True)
    ]
    rules = [{"inbound": tag, "outbound": tag} for tag in tags]
    return ports, {"inbounds": inbounds, "outbounds": outbounds, "route": {"rules": rules}}


def _outbound(link: Link, server: int, certificate: Certificate) -> dict[str, Any]:
    outbound = {"type": link.protocol, "server": LOOPBACK, "server_port": server, "transport": link.transport}
    outbound |= {"password": PASSWORD}
    if link.protocol == "shadowsocks":
        outbound |= {"method": METHOD}
    if link.tls:
        outbound["tls"] = {"enabled": True, "server_name": NAME, "certificate_path": str(certificate.authority)}
    return outbound


def xray_clients(
    processes: Processes, certificate: Certificate, links: Sequence[Link], servers: Sequence[int], **ws: Any
) -> Ports:
    """Xray with an outbound for each link to these servers; their SOCKS5 ports. `ws`: more settings of WebSockets."""
    return _ray_clients(processes, "xray", certificate, links, servers, ws)


def v2ray_clients(
    processes: Processes, certificate: Certificate, links: Sequence[Link], servers: Sequence[int]
) -> Ports:
    """v2ray with an outbound for each link to these servers; their SOCKS5 ports."""
    return _ray_clients(processes, "v2ray", certificate, links, servers, {})


def _ray_clients(
    processes: Processes,
    name: str,
    certificate: Certificate,
    links: Sequence[Link],
    servers: Sequence[int],
    ws: Mapping[str, Any],
) -> Ports:
    ports = free_ports(len(links))
    inbounds, outbounds, rules = [], [], []
    for number, (link, server, port) in enumerate(zip(links, servers, ports, strict=True)):
        settings = {"udp": True, "ip": LOOPBACK}
        inbounds.append(
            {"tag": f"in{number}", "listen": LOOPBACK, "port": port, "protocol": "socks", "settings": settings}
        )
        to = {"address": LOOPBACK, "port": server, "password": PASSWORD}
        to |= {"method": METHOD} if link.protocol == "shadowsocks" else {}
        stream = _ray_stream(link, ws)
        if link.tls:
            trusted = {"usage": "verify", "certificateFile": str(certificate.authority)}
            spoken = "h2" if link.transport["type"] in ("http", "grpc") else "http/1.1"
            tls = {"serverName": NAME, "disableSystemRoot": True, "certificates": [trusted], "alpn": [spoken]}
            stream |= {"security": "tls", "tlsSettings": tls}
        outbounds.append(
            {"tag": f"out{number}", "protocol": link.protocol, "settings": {"servers": [to]}, "streamSettings": stream}
        )
        rules.append({"type": "field", "inboundTag": [f"in{number}"], "outboundTag": f"out{number}"})
    _ray(processes, name, inbounds, outbounds, rules)
    return ports


def _ray_stream(link: Link, ws: Mapping[str, Any] | None = None) -> dict[str, Any]:
    transport = link.transport
    if transport["type"] == "httpupgrade":
        return {"network": "httpupgrade", "httpupgradeSettings": {key: transport[key] for key in ("path", "host")}}
    if transport["type"] == "grpc":
        settings = {"serviceName": transport["service_name"], "permit_without_stream": True, "idle_timeout": 10}
        settings |= {"multiMode": transport.get("multi", False)}
        return {"network": "grpc", "grpcSettings": settings}
    if transport["type"] == "http":
        return {"network": "http", "httpSettings": {key: transport[key] for key in ("path", "host")}}
    early = f"?ed={transport['max_early_data']}" if "max_early_data" in transport else ""
    settings = {"path": transport["path"] + early, "host": NAME, "headers": {"Host": NAME}, **(ws or {})}
    return {"network": "ws", "wsSettings": settings}


def _ray(
    processes: Processes,
    name: str,
    inbounds: Sequence[Mapping[str, Any]],
    outbounds: Sequence[Mapping[str, Any]],
    rules: Sequence[Mapping[str, Any]] = (),
) -> None:
    if name == "xray":  # it wants the Host in one place
        for each in (*inbounds, *outbounds):
            each.get("streamSettings", {}).get("wsSettings", {}).pop("headers", None)
    config = {
        "log": {"loglevel": "info"}, "inbounds": inbounds, "outbounds": outbounds, "routing": {"rules": list(rules)},
    }  # fmt: skip
    path = processes.folder / f"{name}-{inbounds[0]['port']}.json"
    path.write_text(json.dumps(config), "utf-8")
    arguments = ("-config",) if name == "v2ray" else ()
    processes.start(program(name), *arguments, str(path), tcp=[inbound["port"] for inbound in inbounds])


def nginx(
    processes: Processes, certificate: Certificate, places: Mapping[str, int], calls: Mapping[str, int] | None = None
) -> int:
    """A web server with TLS, which hands upgrades at these paths to these ports, and has a page at `/`; its port.

    `calls`: the same for what is handed on by HTTP/2, which nginx does with gRPC.
    """
    port = free_port()
    home = processes.folder / f"nginx-{port}"
    home.mkdir()
    locations = "".join(
        f"location {path} {{ proxy_pass http://{LOOPBACK}:{to}; proxy_http_version 1.1; proxy_set_header Host $host; "
        "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 60s; }\n"
        for path, to in places.items()
    )
    locations += "".join(
        f"location {path} {{ grpc_pass grpc://{LOOPBACK}:{to}; grpc_set_header Host $host; grpc_read_timeout 60s; "
        "client_max_body_size 0; client_body_timeout 60s; }\n"
        for path, to in (calls or {}).items()
    )
    config = f"""
worker_processes 1; pid {home}/pid; error_log {home}/err.log info; daemon off; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{ listen {LOOPBACK}:{port} ssl http2; server_name {NAME};
    ssl_certificate {certificate.chain}; ssl_certificate_key {certificate.key}; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ default_type text/plain; return 200 "the front page"; }}
    {locations} }}
}}
"""
    path = home / "nginx.conf"
    path.write_text(config, "utf-8")
    processes.start(program("nginx"), "-c", str(path), "-e", f"{home}/err.log", "-p", str(home), tcp=[port])
    return port


# -- who can what -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Maker:
    """A maker's halves, and the links that it knows.

    `waits`: its client waits for the first payload. `longest`: the longest datagram that it carries.
    """

    servers: Callable[..., Ports]
    clients: Callable[..., Ports]
    links: tuple[Link, ...]
    waits: bool = False
    longest: int = 5000


_ALL = (WS, IN_PATH, IN_FIELD, UPGRADE)

MAKERS = {
    "sing-box": Maker(
        sing_box_servers,
        sing_box_clients,
        tuple(Link("trojan", transport, tls) for transport in _ALL for tls in (False, True)),
    ),
    "xray": Maker(
        xray_servers,
        xray_clients,
        (
            *(Link("shadowsocks", transport) for transport in (WS, IN_FIELD, UPGRADE)),
            Link("shadowsocks", WS, tls=True),
            *(Link("trojan", transport, tls=True) for transport in (IN_FIELD, UPGRADE)),
        ),
        waits=True,
    ),
    "v2ray": Maker(
        v2ray_servers,
        v2ray_clients,
        (Link("shadowsocks", WS), Link("shadowsocks", WS, tls=True), Link("trojan", WS, tls=True)),
        waits=True,
        longest=1500,
    ),
    "gproxy": Maker(
        gproxy_servers,
        gproxy_clients,
        (*(Link("shadowsocks", transport) for transport in _ALL), *(Link("trojan", each, tls=True) for each in _ALL)),
    ),
}
