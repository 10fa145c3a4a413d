"""The peers: each function starts one on free ports and says where it listens. `USER` is what they authenticate.

As servers, for gproxy's outbounds: sing_box, dante, microsocks, tinyproxy, squid, pproxy, haproxy_accept, nginx_accept.
As clients of gproxy's inbounds: sing_box, pproxy, privoxy, tinyproxy, proxychains, haproxy_send and _socks4, and curl.
Those that speak Shadowsocks, with xray and v2ray, are put to use in tests.interop.shadowsocks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.interop.lab import program
from tests.support.ports import LOOPBACK, free_port, free_ports
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate

USER = ("u", "pw1")
SYSTEM_USER = ("peeruser", "pw1")  # dante asks the system; setup.sh makes it


def sing_box(
    processes: Processes,
    inbounds: Sequence[Mapping[str, Any]],
    outbounds: Sequence[Mapping[str, Any]] = ({"type": "direct"},),
    route: Mapping[str, Any] | None = None,
) -> None:
    """sing-box with these inbounds and outbounds; the first outbound is the one that is used."""
    config = {
        "log": {"level": "debug"},
        "inbounds": list(inbounds),
        "outbounds": list(outbounds),
        "route": dict(route or {}),
    }
    path = _write(processes, "sing-box.json", json.dumps(config))
    ports = [item["listen_port"] for item in inbounds if item.get("network") != "udp"]
    datagrams = [
        item["listen_port"]
        for item in inbounds
        if item["type"] in ("shadowsocks", "direct") and item.get("network") != "tcp"
    ]
    processes.start(program("sing-box"), "run", "-c", str(path), tcp=ports, udp=datagrams)


def sing_box_server(processes: Processes, kind: str, user: tuple[str, str] | None = None) -> int:
    """A `socks`, `http` or `mixed` server; its port."""
    port = free_port()
    users = [{"username": user[0], "password": user[1]}] if user else []
    sing_box(processes, [{"type": kind, "listen": LOOPBACK, "listen_port": port, "users": users}])
    return port


def sing_box_client(processes: Processes, outbound: Mapping[str, Any]) -> int:
    """A mixed inbound that goes out through `outbound`, which leads to gproxy; its port."""
    port = free_port()
    sing_box(processes, [{"type": "mixed", "listen": LOOPBACK, "listen_port": port}], [outbound])
    return port


def xray(processes: Processes, inbounds: Sequence[Mapping[str, Any]], outbound: Mapping[str, Any]) -> None:
    """Xray with these inbounds and one outbound. As `freedom` it takes care that local targets may be reached."""
    if outbound["protocol"] == "freedom":
        outbound = {**outbound, "settings": {"finalRules": [{"action": "allow"}]}}
    _ray(processes, "xray", inbounds, outbound)


def v2ray(processes: Processes, inbounds: Sequence[Mapping[str, Any]], outbound: Mapping[str, Any]) -> None:
    """v2ray with these inbounds and one outbound."""
    _ray(processes, "v2ray", inbounds, outbound)


def _ray(processes: Processes, name: str, inbounds: Sequence[Mapping[str, Any]], outbound: Mapping[str, Any]) -> None:
    config = {"log": {"loglevel": "info"}, "inbounds": list(inbounds), "outbounds": [dict(outbound)]}
    path = _write(processes, f"{name}.json", json.dumps(config))
    arguments = ("-config",) if name == "v2ray" else ()
    ports = [item["port"] for item in inbounds]
    datagrams = [item["port"] for item in inbounds if "udp" in item["settings"].get("network", "")]
    processes.start(program(name), *arguments, str(path), tcp=ports, udp=datagrams)


def dante(processes: Processes, *, passwords: bool = False) -> int:
    """SOCKS4, SOCKS5 and UDP ASSOCIATE, or SOCKS5 with SYSTEM_USER's password; its port. It has no SOCKS4A."""
    port = free_port()
    rule = "socksmethod: username\n  " if passwords else ""
    config = f"""
logoutput: stderr
internal: {LOOPBACK} port = {port}
external: {LOOPBACK}
clientmethod: none
socksmethod: {"username" if passwords else "none"}
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0
  {rule}command: bind connect udpassociate }}
socks pass {{ from: 0.0.0.0/0 to: 127.0.0.0/8
  {rule}command: bindreply udpreply }}
"""
    pid = _path(processes, "danted.pid")
    processes.start(program("danted"), "-f", str(_write(processes, "danted.conf", config)), "-p", str(pid), tcp=[port])
    return port


def microsocks(processes: Processes, user: tuple[str, str] | None = None) -> int:
    """SOCKS5 for TCP; its port."""
    port = free_port()
    login = ("-u", user[0], "-P", user[1]) if user else ()
    processes.start(program("microsocks"), "-i", LOOPBACK, "-p", str(port), *login, tcp=[port])
    return port


def tinyproxy(
    processes: Processes, *, user: tuple[str, str] | None = None, upstream: str = "", connect_ports: Sequence[int] = ()
) -> int:
    """An HTTP proxy; its port. `upstream` (`socks5 127.0.0.1:1080`) makes it a client. CONNECT: `connect_ports`."""
    port = free_port()
    lines = [f"Port {port}", f"Listen {LOOPBACK}", "Timeout 60", "LogLevel Info", "MaxClients 50", "Allow 127.0.0.1"]
    lines += [f"ConnectPort {one}" for one in connect_ports]
    lines += [f"BasicAuth {user[0]} {user[1]}"] if user else []
    lines += [f"Upstream {upstream}"] if upstream else []
    path = _write(processes, "tinyproxy.conf", "\n".join(lines) + "\n")
    processes.start(program("tinyproxy"), "-d", "-c", str(path), tcp=[port])
    return port


def sealed(processes: Processes, certificate: Certificate, to: int) -> int:
    """A port that leads to another one of ours within TLS, by socat: who it is has to be proved."""
    port = free_port()
    there = f"OPENSSL:{LOOPBACK}:{to},cafile={certificate.authority},commonname={NAME},snihost={NAME}"
    processes.start(program("socat"), f"TCP-LISTEN:{port},bind={LOOPBACK},fork,reuseaddr", there, tcp=[port])
    return port


def unsealed(processes: Processes, certificate: Certificate, to: int) -> int:
    """A port with TLS that leads to another one of ours, by socat."""
    port = free_port()
    here = (
        f"OPENSSL-LISTEN:{port},bind={LOOPBACK},fork,reuseaddr,cert={certificate.chain},key={certificate.key},verify=0"
    )
    processes.start(program("socat"), here, f"TCP:{LOOPBACK}:{to}", tcp=[port])
    return port


def squid(processes: Processes, *, passwords: bool = False, certificate: Certificate | None = None) -> int:
    """An HTTP proxy, with USER's password if `passwords`, and TLS if there is a certificate; its port."""
    port = free_port()
    home = processes.open_folder()
    helper = home / "auth"
    helper.write_text(
        f'#!/bin/sh\nwhile read -r u p; do [ "$u $p" = "{USER[0]} {USER[1]}" ] && echo OK || echo ERR; done\n'
    )
    helper.chmod(0o755)
    login = f"auth_param basic program {helper}\nauth_param basic realm peers\nacl authed proxy_auth REQUIRED\n"
    shown = f"tls-cert={certificate.chain} tls-key={certificate.key}" if certificate else ""
    config = f"""
http{"s" if certificate else ""}_port {LOOPBACK}:{port} {shown}
{login if passwords else ""}
http_access {"allow authed" if passwords else "allow all"}
http_access deny all
cache deny all
access_log none
cache_log {home}/cache.log
pid_filename none
coredump_dir {home}
netdb_filename none
pinger_enable off
shutdown_lifetime 1 seconds
visible_hostname peer.test
"""
    processes.start(program("squid"), "-N", "-f", str(_write(processes, "squid.conf", config)), tcp=[port])
    return port


def privoxy(processes: Processes, forward: str) -> int:
    """An HTTP proxy that goes out as `forward` says (`forward-socks5 / 127.0.0.1:1080 .`); its port."""
    port = free_port()
    config = f"confdir /etc/privoxy\nlisten-address {LOOPBACK}:{port}\ntoggle 0\nenforce-blocks 0\n{forward}\n"
    processes.start(program("privoxy"), "--no-daemon", str(_write(processes, "privoxy.conf", config)), tcp=[port])
    return port


def proxychains(processes: Processes, proxy: str, *command: str) -> list[str]:
    """The command line that runs `command` through `proxy` (`socks5 127.0.0.1 1080 user password`)."""
    config = f"strict_chain\nproxy_dns\ntcp_read_time_out 8000\ntcp_connect_time_out 8000\n[ProxyList]\n{proxy}\n"
    return [program("proxychains4"), "-q", "-f", str(_write(processes, "proxychains.conf", config)), *command]


def pproxy(processes: Processes, listen: str, *remotes: str) -> int:
    """pproxy; its port. `listen` and `remotes` as it has them, `{port}` in `listen` stands for the port: `socks5://…`."""
    port = free_port()
    chain = [part for remote in remotes for part in ("-r", remote)]
    processes.start(program("pproxy"), "-l", listen.format(port=f"{LOOPBACK}:{port}"), *chain, tcp=[port])
    return port


def haproxy_accept(processes: Processes) -> int:
    """A site that requires a PROXY header, version 1 or 2, and answers what it was told: `src=… dst=…`; its port."""
    port = free_port()
    text = r'"src=%ci:%cp dst=%[dst]:%[dst_port]\n"'
    _haproxy(processes, f"""
frontend accept
  bind {LOOPBACK}:{port} accept-proxy
  mode http
  http-request return status 200 content-type text/plain lf-string {text}
""", [port])  # fmt: skip
    return port


def haproxy_send(processes: Processes, to: int) -> dict[int, int]:
    """Two doors that hand connections to the port `to` with a PROXY header in front: the port of each version."""
    first, second = free_ports(2)
    _haproxy(processes, f"""
listen v1
  bind {LOOPBACK}:{first}
  mode tcp
  server s {LOOPBACK}:{to} send-proxy
listen v2
  bind {LOOPBACK}:{second}
  mode tcp
  server s {LOOPBACK}:{to} send-proxy-v2 proxy-v2-options unique-id
  unique-id-format id-%ts
""", [first, second])  # fmt: skip
    return {1: first, 2: second}


def haproxy_socks4(processes: Processes, proxy: int, target: int) -> int:
    """A door to the port `target` through the SOCKS4 server at the port `proxy`; its port."""
    port = free_port()
    _haproxy(processes, f"""
listen via_socks4
  bind {LOOPBACK}:{port}
  mode tcp
  server s {LOOPBACK}:{target} socks4 {LOOPBACK}:{proxy}
""", [port])  # fmt: skip
    return port


def _haproxy(processes: Processes, sections: str, ports: list[int]) -> None:
    head = "global\n  maxconn 200\ndefaults\n  timeout connect 3s\n  timeout client 20s\n  timeout server 20s\n"
    processes.start(program("haproxy"), "-f", str(_write(processes, "haproxy.cfg", head + sections)), "-db", tcp=ports)


def nginx_accept(processes: Processes, *, http2: bool = False) -> int:
    """A site that requires a PROXY header, version 1 or 2, and answers what it was told: `src=… dst=…`; its port.

    `http2`: it speaks that and nothing else, without TLS.
    """
    port = free_port()
    home = _path(processes, "nginx")
    home.mkdir()
    answer = "src=$proxy_protocol_addr:$proxy_protocol_port dst=$proxy_protocol_server_addr:$proxy_protocol_server_port"
    config = f"""
worker_processes 1; pid {home}/pid; error_log {home}/err.log info; daemon off; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  server {{ listen {LOOPBACK}:{port} proxy_protocol{" http2" if http2 else ""};
    location / {{ default_type text/plain; return 200 "{answer}\\n"; }} }}
}}
"""
    path = _write(processes, "nginx.conf", config)
    processes.start(program("nginx"), "-c", str(path), "-e", f"{home}/err.log", "-p", str(home), tcp=[port])
    return port


def _path(processes: Processes, name: str) -> Path:
    """A path in the test's folder that was not used before."""
    number = len(os.listdir(processes.folder))
    return processes.folder / f"{number}-{name}"


def _write(processes: Processes, name: str, text: str) -> Path:
    path = _path(processes, name)
    path.write_text(text, "utf-8")
    return path
