"""Where clients come in: unix sockets, ranges of ports, IPv6, and what the kernel is told about each socket."""

from __future__ import annotations

import re
import socket
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.clients import connect, everything, socks5, tunnel
from tests.e2e.proxy import Launcher, inbound
from tests.e2e.tools import needs, shown, side_link, timer
from tests.support.origin import HELLO, Server, http_origin
from tests.support.ports import LOOPBACK, listening
from tests.support.procs import curl

IPPROTO_MPTCP = 262
GET = b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_sockets(abstract: bool, launch: Launcher, site: Server, tmp_path: Path) -> None:
    path = "gproxy-e2e" if abstract else str(tmp_path / "in.sock")
    proxy = launch(inbound("mixed", listen=f"unix:{'@' if abstract else ''}{path}"))
    name = "\0" + path if abstract else path
    with tunnel(name, (site.host, site.port)) as sock:
        sock.sendall(GET)
        assert everything(sock).endswith(HELLO)
    with connect(name) as sock:
        sock.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % site.authority.encode())
        assert everything(sock).endswith(HELLO)
    proxy.wait_sessions(2, status="ok")
    if not abstract:
        assert curl("-x", f"socks5h://localhost{path}", f"http://{site.authority}/") == HELLO
        assert stat.S_ISSOCK(Path(path).stat().st_mode)
    proxy.stop_now()
    assert not Path(path).exists()


def test_a_unix_socket_that_was_left_behind(launch: Launcher, site: Server, tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    launch(inbound("mixed", listen=f"unix:{path}"))
    with tunnel(str(path), (site.host, site.port)) as sock:
        sock.sendall(GET)
        assert everything(sock).endswith(HELLO)


def test_ranges_of_ports(launch: Launcher, site: Server) -> None:
    first = 21000
    ranges = [f"{first}-{first + 5}", f"{first + 10}-{first + 11}"]
    proxy = launch(inbound("mixed", listen=LOOPBACK, listen_ports=ranges, listen_port=first + 20))
    for port in (*range(first, first + 6), first + 10, first + 11, first + 20):
        assert curl("-x", f"http://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO
    assert not listening(first + 6)
    proxy.wait_sessions(9, status="ok")


@pytest.mark.parametrize("listen", ["::1", "::"])
def test_ipv6(listen: str, launch: Launcher) -> None:
    port = 21080
    proxy = launch(inbound("mixed", listen=listen, listen_port=port))
    with http_origin("::1") as origin:
        assert curl("-x", f"socks5h://[::1]:{port}", f"http://{origin.authority}/") == HELLO
        assert curl("-x", f"http://[::1]:{port}", f"http://{origin.authority}/") == HELLO
        assert curl("-x", f"http://[::1]:{port}", "-p", f"http://{origin.authority}/") == HELLO
        sock, bound = socks5(port, ("::1", origin.port), host="::1")
        with sock:
            assert bound[0] == "::1"
        if listen == "::":
            assert curl("-x", f"socks5h://{LOOPBACK}:{port}", f"http://{origin.authority}/") == HELLO
            assert proxy.wait_sessions(5)[-1]["source"].startswith(f"{LOOPBACK}:")
    assert {session["target"] for session in proxy.sessions()} == {origin.authority}


def test_keep_alive(launch: Launcher, echo: Server, stack: ExitStack) -> None:
    needs("ss")
    proxy = launch(
        inbound("mixed", tag="usual"),
        inbound("mixed", tag="own", tcp_keep_alive="77s", tcp_keep_alive_interval="11s"),
        inbound("mixed", tag="none", disable_tcp_keep_alive=True),
    )
    for port in proxy.ports:
        stack.enter_context(tunnel(port, (echo.host, echo.port)))
    usual, own, none = (timer(f"sport = :{port}") for port in proxy.ports)
    assert re.match(r"keepalive,(4min\d+sec|5min)", usual), usual
    assert re.match(r"keepalive,1min1\dsec", own), own
    assert not none
    stack.close()
    proxy.wait_sessions(3, status="ok")


def test_marks_and_interfaces(launch: Launcher, site: Server) -> None:
    needs("ip", "ss")
    side_link()
    proxy = launch(
        inbound("mixed", tag="marked", routing_mark=77),
        inbound("mixed", tag="lo", listen="0.0.0.0", listen_port=21081, bind_interface="lo"),
        inbound("mixed", tag="side", listen="0.0.0.0", listen_port=21082, bind_interface="side0"),
    )
    assert "fwmark:0x4d" in shown("ss", "-tlneH", f"sport = :{proxy.port}")
    assert "%lo:21081" in shown("ss", "-tlnH", "sport = :21081")
    assert "%side0:21082" in shown("ss", "-tlnH", "sport = :21082")
    for port in (proxy.port, 21081):
        assert curl("-x", f"http://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO
    with pytest.raises(ConnectionRefusedError):
        connect(21082)


def test_fast_open(launch: Launcher, site: Server) -> None:
    Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("519")  # client and server, without cookies, in this namespace
    proxy = launch(inbound("mixed", tcp_fast_open=True))
    with socket.socket() as sock:
        sock.settimeout(10)
        request = b"GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % site.authority.encode()
        sock.sendto(request, socket.MSG_FASTOPEN, (LOOPBACK, proxy.port))
        assert everything(sock).endswith(HELLO)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5] & 32  # TCPI_OPT_SYN_DATA


def test_multi_path(launch: Launcher, site: Server) -> None:
    proxy = launch(inbound("mixed", tcp_multi_path=True), inbound("mixed", tag="plain"))
    needs("ss")
    assert f":{proxy.port} " in shown("ss", "-MlnH")
    assert f":{proxy.ports[1]} " not in shown("ss", "-MlnH")
    for port in proxy.ports:
        assert curl("-x", f"socks5h://{LOOPBACK}:{port}", f"http://{site.authority}/") == HELLO
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as sock:
        sock.settimeout(10)
        sock.connect((LOOPBACK, proxy.port))
        sock.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % site.authority.encode())
        assert everything(sock).endswith(HELLO)
