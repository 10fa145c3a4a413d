"""gproxy's HTTP client with servers of other makers."""

from __future__ import annotations

import hashlib

import pytest

from tests.interop import peers
from tests.interop.lab import credentials, fetch, through
from tests.interop.peers import USER
from tests.support.origin import HELLO, Server, digest
from tests.support.ports import LOOPBACK, free_port
from tests.support.procs import Processes, ProcessFailed

BOTH = pytest.mark.parametrize("user", [None, USER])


def check_site(port: int, site: Server) -> None:
    """A page by address and by name, a body that is long enough for every pump, and a request that is forwarded."""
    for host in (LOOPBACK, "localhost"):
        assert fetch(f"socks5h://{LOOPBACK}:{port}", f"http://{host}:{site.port}/") == HELLO
    body = fetch(f"http://{LOOPBACK}:{port}", f"http://{site.authority}/bytes/3000001")
    assert hashlib.sha256(body).hexdigest() == digest(3_000_001)


@BOTH
def test_sing_box(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    server = peers.sing_box_server(processes, "http", user)
    check_site(through(processes, "http", {"server_port": server, **credentials(user)}), site)


@BOTH
def test_squid(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    server = peers.squid(processes, passwords=user is not None)
    check_site(through(processes, "http", {"server_port": server, **credentials(user)}), site)


@BOTH
def test_tinyproxy(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    server = peers.tinyproxy(processes, user=user, connect_ports=[site.port])
    check_site(through(processes, "http", {"server_port": server, **credentials(user)}), site)


@BOTH
def test_pproxy(user: tuple[str, str] | None, processes: Processes, site: Server) -> None:
    login = f"#{user[0]}:{user[1]}" if user else ""
    server = peers.pproxy(processes, "http://{port}/" + login)
    check_site(through(processes, "http", {"server_port": server, **credentials(user)}), site)


def test_privoxy(processes: Processes, site: Server) -> None:
    server = peers.privoxy(processes, "forward / .")
    check_site(through(processes, "http", {"server_port": server}), site)


def test_a_chain(processes: Processes, site: Server) -> None:
    first, second = peers.squid(processes), peers.sing_box_server(processes, "http", USER)
    far = {"server_port": second, "tag": "far", "detour": "near", **credentials(USER)}
    check_site(through(processes, "http", far, {"server_port": first, "tag": "near"}), site)


def test_refusals_reach_the_client(processes: Processes, site: Server) -> None:
    squid = peers.squid(processes, passwords=True)
    for options in (
        {"server_port": squid},
        {"server_port": squid, **credentials(("u", "wrong"))},
        {"server_port": peers.tinyproxy(processes, connect_ports=[1])},
        {"server_port": free_port()},
    ):
        port = through(processes, "http", options)
        with pytest.raises(ProcessFailed, match="502"):
            fetch(f"http://{LOOPBACK}:{port}", f"http://{site.authority}/", "-p")
