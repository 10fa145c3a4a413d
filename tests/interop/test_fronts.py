"""Web servers of others in front of WebSockets, which have TLS on one side or on both.

HAProxy takes no `httpupgrade`: it answers 400 to an upgrade to `websocket` without a Sec-WebSocket-Key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from tests.interop.lab import program
from tests.interop.test_plugins import our_client, our_server, sing_box_client
from tests.interop.test_transports import check
from tests.interop.traffic import MIB, Far, at_once, echo, far
from tests.interop.transports import (
    IN_FIELD,
    IN_PATH,
    WS,
    Link,
    gproxy_clients,
    gproxy_servers,
    nginx,
    sing_box_clients,
)
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

LINKS = [Link("trojan", transport, tls=True) for transport in (WS, IN_PATH, IN_FIELD | {"path": "/field"})]


def haproxy(processes: Processes, certificate: Certificate, places: Mapping[str, int], *, again: bool = False) -> int:
    """A front with TLS that hands these paths to these ports, where TLS is spoken `again` or not; its port."""
    port = free_port()
    both = processes.folder / f"both-{port}.pem"
    both.write_bytes(certificate.chain.read_bytes() + certificate.key.read_bytes())
    sealed = f" ssl verify required ca-file {certificate.authority} sni str({NAME}) verifyhost {NAME}" if again else ""
    names = {path: f"b{number}" for number, path in enumerate(places)}
    choices = "".join(f"  use_backend {name} if {{ path_beg {path} }}\n" for path, name in names.items())
    backends = "".join(f"backend {names[path]}\n  server s {LOOPBACK}:{to}{sealed}\n" for path, to in places.items())
    config = f"""
global
  maxconn 200
defaults
  mode http
  timeout connect 3s
  timeout client 20s
  timeout server 20s
  timeout tunnel 60s
frontend front
  bind {LOOPBACK}:{port} ssl crt {both} alpn http/1.1
{choices}
{backends}
"""
    path = processes.folder / f"haproxy-{port}.cfg"
    path.write_text(config, "utf-8")
    processes.start(program("haproxy"), "-f", str(path), "-db", tcp=[port])
    return port


@pytest.mark.parametrize("again", [False, True])
def test_haproxy(again: bool, processes: Processes, far: Far, certificate: Certificate) -> None:
    behind = [Link(link.protocol, link.transport, tls=again) for link in LINKS]
    servers = gproxy_servers(processes, certificate, behind)
    paths = [str(link.transport["path"]) for link in LINKS]
    front = haproxy(processes, certificate, dict(zip(paths, servers, strict=True)), again=again)
    for clients in (gproxy_clients, sing_box_clients):
        for link, port in zip(LINKS, clients(processes, certificate, LINKS, [front] * len(LINKS)), strict=True):
            check(port, link, far)
        at_once(port, (LOOPBACK, far.tcp.port))


@pytest.mark.parametrize("client", [our_client, sing_box_client])
def test_v2ray_plugin_behind_nginx(
    client: Callable[..., int], processes: Processes, far: Far, certificate: Certificate
) -> None:
    """Datagrams go past the plugin, and so past nginx, to where nobody is: streams only."""
    behind = our_server(processes, ("v2ray-plugin", "server;path=/there;mux=0"))
    front = nginx(processes, certificate, {"/there": behind})
    options = f"tls;host={NAME};path=/there;cert={certificate.authority};mux=0"
    port = client(processes, ("v2ray-plugin", options), front)
    at_once(port, (LOOPBACK, far.tcp.port))
    echo(port, (LOOPBACK, far.tcp.port), MIB)
