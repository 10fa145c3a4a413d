"""gproxy's SOCKS client with servers of other makers."""

from __future__ import annotations

import hashlib

import pytest

from tests.interop import peers
from tests.interop.lab import credentials, fetch, socks5_udp, through
from tests.interop.peers import SYSTEM_USER, USER
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed


def check_site(port: int, site: Server) -> None:
    """A page by address and by name, and a body that is long enough for every pump."""
    for host in (LOOPBACK, "localhost"):
        assert fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{host}:{site.port}/") == HELLO
    body = fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/bytes/3000001")
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)


@pytest.mark.parametrize("version", ["4", "5"])
def test_dante(version: str, processes: Processes, site: Server) -> None:
    check_site(through(processes, "socks", {"server_port": peers.dante(processes), "version": version}), site)


def test_dante_with_a_password(processes: Processes, site: Server, udp_echo_server: Server) -> None:
    server = peers.dante(processes, passwords=True)
    port = through(processes, "socks", {"server_port": server, **credentials(SYSTEM_USER)})
    check_site(port, site)
    socks5_udp(port, (udp_echo_server.host, udp_echo_server.port))


@pytest.mark.parametrize("user", [None, USER])
def test_microsocks(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    check_site(
        through(processes, "socks", {"server_port": peers.microsocks(processes, user), **credentials(user)}), site
    )


@pytest.mark.parametrize("scheme", ["socks5", "socks4"])
def test_pproxy(scheme: str, processes: Processes, site: Server) -> None:
    server = peers.pproxy(processes, f"{scheme}://{{port}}")
    check_site(through(processes, "socks", {"server_port": server, "version": scheme[-1]}), site)


@pytest.mark.parametrize(("version", "user"), [("4", None), ("4a", None), ("5", None), ("5", USER)])
def test_sing_box(version: str, user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    server = peers.sing_box_server(processes, "socks", user)
    check_site(through(processes, "socks", {"server_port": server, "version": version, **credentials(user)}), site)


def test_a_password_that_sing_box_does_not_ask_for(processes: Processes, site: Server) -> None:
    server = peers.sing_box_server(processes, "socks")
    check_site(through(processes, "socks", {"server_port": server, **credentials(USER)}), site)


@pytest.mark.parametrize(("peer", "longest"), [("dante", 60000), ("sing-box", 16000)])  # sing-box cuts what is longer
def test_datagrams(peer: str, longest: int, processes: Processes, udp_echo_server: Server) -> None:
    server = peers.dante(processes) if peer == "dante" else peers.sing_box_server(processes, "mixed")
    port = through(processes, "socks", {"server_port": server})
    for size in (0, 4, 1400, longest):
        socks5_udp(port, (udp_echo_server.host, udp_echo_server.port), b"x" * size)


def test_a_chain_carries_datagrams_too(processes: Processes, site: Server, udp_echo_server: Server) -> None:
    first, second = peers.sing_box_server(processes, "socks"), peers.sing_box_server(processes, "socks", USER)
    far = {"server_port": second, "tag": "far", "detour": "near", **credentials(USER)}
    port = through(processes, "socks", far, {"server_port": first, "tag": "near"})
    check_site(port, site)
    socks5_udp(port, (udp_echo_server.host, udp_echo_server.port))


def test_refusals_reach_the_client(processes: Processes) -> None:
    for make in (peers.microsocks, peers.dante):
        port = through(processes, "socks", {"server_port": make(processes)})
        with pytest.raises(ProcessFailed, match=r"\(5\)"):
            fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{free_port()}/")
    wrong = through(
        processes, "socks", {"server_port": peers.microsocks(processes, USER), **credentials(("u", "wrong"))}
    )
    nobody = through(processes, "socks", {"server_port": free_port()})
    for port, code in ((wrong, 1), (nobody, 5)):
        with pytest.raises(ProcessFailed, match=rf"\({code}\)"):
            fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{free_port()}/")
