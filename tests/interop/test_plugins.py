"""SIP003 plugins: simple-obfs built in, against its makers' programs and sing-box, and programs beside gproxy."""

from __future__ import annotations

import pytest

from tests.interop import peers
from tests.interop.lab import program, through
from tests.interop.shadowsocks import gproxy_server
from tests.interop.traffic import MIB, Far, at_once, check_datagrams, echo, far
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Process, Processes
from tests.support.tls import NAME, Certificate

__all__ = ["far"]

METHOD, PASSWORD = "aes-128-gcm", "pw1"
BULK = 8 * MIB

Half = tuple[str, str]
"""A plugin and its options."""

OBFS = [
    ("obfs=http", "obfs=http;obfs-host=peer.test"),
    ("obfs=http;obfs-host=peer.test", "obfs=http;obfs-host=peer.test"),
    ("obfs=http;reverse_proxy", "obfs=http;obfs-host=peer.test"),
    ("obfs=tls", "obfs=tls;obfs-host=peer.test"),
]
V2RAY = [("server", ""), ("server;path=/x;mux=0", "path=/x;host=peer.test;mux=0")]


def check(port: int, far: Far) -> None:
    """Streams through the plugin, and datagrams past it."""
    for target in ((LOOPBACK, far.tcp.port), ("::1", far.tcp6.port), ("localhost", far.tcp.port)):
        echo(port, target, 1)
    for size in (100, 1400, 5000, 40000, BULK):
        echo(port, (LOOPBACK, far.tcp.port), size)
    at_once(port, (LOOPBACK, far.tcp.port))
    check_datagrams(port, far, 1400)


# -- halves -----------------------------------------------------------------------------------------------------------


def libev_server(processes: Processes, plugin: Half) -> int:
    """ss-server behind a plugin; the port."""
    port = free_port()
    _libev(processes, "ss-server", plugin, port, udp=[port], tcp=[port])
    return port


def libev_client(processes: Processes, plugin: Half, server: int) -> int:
    """ss-local in front of a plugin; its SOCKS5 port."""
    port = free_port()
    process = _libev(processes, "ss-local", plugin, server, "-b", LOOPBACK, "-l", str(port), tcp=[port])
    process.wait_log(_LISTENS[plugin[0]])  # it does not wait for its plugin
    return port


_LISTENS = {"obfs-local": "[simple-obfs] INFO: listening at", "ss-v2ray-plugin": "started"}


def _libev(processes: Processes, name: str, plugin: Half, port: int, *more: str, **ports: list[int]) -> Process:
    return processes.start(
        program(name), "-s", LOOPBACK, "-p", str(port), "-k", PASSWORD, "-m", METHOD, "-u",
        "--plugin", program(plugin[0]), "--plugin-opts", plugin[1], *more, **ports,
    )  # fmt: skip


def sing_box_client(processes: Processes, plugin: Half, server: int) -> int:
    """sing-box with a plugin of its own; its SOCKS5 port."""
    return peers.sing_box_client(processes, {"type": "shadowsocks", "server": LOOPBACK, **_options(plugin, server)})


def our_server(processes: Processes, plugin: Half) -> int:
    """gproxy behind a plugin; the port."""
    return gproxy_server(processes, METHOD, PASSWORD, plugin=plugin[0], plugin_opts=plugin[1])


def our_client(processes: Processes, plugin: Half, server: int) -> int:
    """gproxy in front of a plugin; its SOCKS5 port."""
    return through(processes, "shadowsocks", _options(plugin, server))


def _options(plugin: Half, server: int) -> dict[str, object]:
    return {
        "server_port": server, "method": METHOD, "password": PASSWORD, "plugin": plugin[0], "plugin_opts": plugin[1],
    }  # fmt: skip


# -- simple-obfs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("server", "client"), OBFS)
def test_its_makers_own_halves(server: str, client: str, processes: Processes, far: Far) -> None:
    """Before gproxy is blamed."""
    port = libev_server(processes, ("obfs-server", server))
    check(libev_client(processes, ("obfs-local", client), port), far)


@pytest.mark.parametrize(("server", "client"), OBFS)
def test_our_client_and_obfs_server(server: str, client: str, processes: Processes, far: Far) -> None:
    port = libev_server(processes, ("obfs-server", server))
    check(our_client(processes, ("obfs-local", client), port), far)


@pytest.mark.parametrize(("server", "client"), OBFS)
def test_our_server_and_obfs_local(server: str, client: str, processes: Processes, far: Far) -> None:
    port = our_server(processes, ("obfs-server", server))
    check(libev_client(processes, ("obfs-local", client), port), far)


@pytest.mark.parametrize(("server", "client"), OBFS)
def test_our_server_and_sing_box(server: str, client: str, processes: Processes, far: Far) -> None:
    port = our_server(processes, ("obfs-server", server))
    check(sing_box_client(processes, ("obfs-local", client), port), far)


@pytest.mark.parametrize(("server", "client"), OBFS)
def test_both_halves_of_ours(server: str, client: str, processes: Processes, far: Far) -> None:
    port = our_server(processes, ("obfs-server", server))
    check(our_client(processes, ("obfs-local", client), port), far)


# -- v2ray-plugin -----------------------------------------------------------------------------------------------------

PLAIN = ("server;path=/x;mux=0", "path=/x;host=peer.test;mux=0")


def _sealed(certificate: Certificate) -> Half:
    server = f"server;tls;host={NAME};cert={certificate.chain};key={certificate.key};mux=0"
    return server, f"tls;host={NAME};cert={certificate.authority};mux=0"


@pytest.mark.parametrize("sealed", [False, True])
def test_our_v2ray_plugin_and_its_makers_server(
    sealed: bool, processes: Processes, far: Far, certificate: Certificate
) -> None:
    server, client = _sealed(certificate) if sealed else PLAIN
    port = libev_server(processes, ("ss-v2ray-plugin", server))
    check(our_client(processes, ("v2ray-plugin", client), port), far)


@pytest.mark.parametrize("sealed", [False, True])
def test_our_v2ray_plugin_and_its_makers_client(
    sealed: bool, processes: Processes, far: Far, certificate: Certificate
) -> None:
    server, client = _sealed(certificate) if sealed else PLAIN
    port = our_server(processes, ("v2ray-plugin", server))
    check(libev_client(processes, ("ss-v2ray-plugin", client), port), far)


@pytest.mark.parametrize("sealed", [False, True])
def test_our_v2ray_plugin_and_sing_box(sealed: bool, processes: Processes, far: Far, certificate: Certificate) -> None:
    server, client = _sealed(certificate) if sealed else PLAIN
    port = our_server(processes, ("v2ray-plugin", server))
    check(sing_box_client(processes, ("v2ray-plugin", client), port), far)


@pytest.mark.parametrize("sealed", [False, True])
def test_both_halves_of_our_v2ray_plugin(
    sealed: bool, processes: Processes, far: Far, certificate: Certificate
) -> None:
    server, client = _sealed(certificate) if sealed else PLAIN
    port = our_server(processes, ("v2ray-plugin", server))
    check(our_client(processes, ("v2ray-plugin", client), port), far)


def test_its_certificate_in_one_line(processes: Processes, far: Far, certificate: Certificate) -> None:
    server, _ = _sealed(certificate)
    lines = certificate.authority.read_text("ascii").splitlines()
    raw = "".join(lines[1:-1]).replace("=", "\\=")
    port = our_server(processes, ("v2ray-plugin", server))
    check(our_client(processes, ("v2ray-plugin", f"tls;host={NAME};certRaw={raw};mux=0"), port), far)


# -- programs ---------------------------------------------------------------------------------------------------------

PROGRAMS = [*((server, client, "obfs-server", "obfs-local") for server, client in OBFS[-2:])] + [
    (server, client, "ss-v2ray-plugin", "ss-v2ray-plugin") for server, client in V2RAY
]


@pytest.mark.parametrize(("server", "client", "of_server", "of_client"), PROGRAMS)
def test_a_program_on_our_way_out(
    server: str, client: str, of_server: str, of_client: str, processes: Processes, far: Far
) -> None:
    port = libev_server(processes, (of_server, server))
    check(our_client(processes, (program(of_client), client), port), far)


@pytest.mark.parametrize(("server", "client", "of_server", "of_client"), PROGRAMS)
def test_a_program_on_our_way_in(
    server: str, client: str, of_server: str, of_client: str, processes: Processes, far: Far
) -> None:
    port = our_server(processes, (program(of_server), server))
    check(libev_client(processes, (of_client, client), port), far)


def test_a_program_s_name_is_looked_for_in_the_path(processes: Processes, far: Far) -> None:
    program("ss-v2ray-plugin")
    port = our_server(processes, ("ss-v2ray-plugin", "server"))
    check(our_client(processes, ("ss-v2ray-plugin", ""), port), far)


def test_a_program_of_ours_and_sing_box_s_own(processes: Processes, far: Far) -> None:
    """Without its multiplexing, which breaks off long streams with the plugin's makers, too."""
    server, client = V2RAY[1]
    port = our_server(processes, (program("ss-v2ray-plugin"), server))
    check(sing_box_client(processes, ("v2ray-plugin", client), port), far)
