"""How gproxy goes out: from which address, interface and namespace, in which family, and with which socket options."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.clients import Refused, association, connect, everything, exactly, socks5, socks5_request, tunnel
from tests.e2e.proxy import Launcher, Proxy, outbound
from tests.e2e.servers import serving, silent_port
from tests.e2e.tools import needs, shown, timer
from tests.support.netns import new_network
from tests.support.origin import HELLO, Server, http_origin, tcp_echo, udp_echo
from tests.support.ports import LOOPBACK
from tests.support.procs import curl

BOTH = {"hosts": f"{LOOPBACK} both.test\n::1 both.test\n"}


def test_the_source_address(launch: Launcher) -> None:
    names: list[str] = []
    proxy = launch(outbounds=(outbound("direct", inet4_bind_address="127.0.0.9", inet6_bind_address="::1"),))
    for host, wanted in ((LOOPBACK, "127.0.0.9"), ("::1", "::1")):
        with serving(lambda sock: names.append(sock.getpeername()[0]), host) as server:
            sock, bound = socks5(proxy.port, (host, server.port))
            with sock:
                everything(sock)
            assert (bound[0], names.pop()) == (wanted, wanted)


def test_a_source_port_that_is_chosen_late(launch: Launcher, site: Server) -> None:
    proxy = launch(outbounds=(outbound("direct", inet4_bind_address="127.0.0.9", bind_address_no_port=True),))
    assert curl("-x", proxy.url("http"), f"http://{site.authority}/") == HELLO


def test_marks_and_interfaces(launch: Launcher, echo: Server, stack: ExitStack) -> None:
    needs("ss")
    proxy = launch(outbounds=(outbound("direct", routing_mark="0x4d", bind_interface="lo"),))
    stack.enter_context(tunnel(proxy.port, (echo.host, echo.port)))
    line = shown("ss", "-tneH", "state", "established", f"dport = :{echo.port}")
    assert "fwmark:0x4d" in line
    assert "%lo:" in line


def test_an_interface_that_is_not_there(launch: Launcher, echo: Server) -> None:
    proxy = launch(outbounds=(outbound("direct", bind_interface="nosuch0"),))
    with pytest.raises(Refused) as refused:
        tunnel(proxy.port, (echo.host, echo.port))
    assert refused.value.code == 1
    assert "No such device" in proxy.session(status="dial-failed")["detail"]


def test_keep_alive(launch: Launcher, echo: Server, stack: ExitStack) -> None:
    needs("ss")
    seen = []
    for options in ({}, {"tcp_keep_alive": "77s"}, {"disable_tcp_keep_alive": True}):
        proxy = launch(outbounds=(outbound("direct", **options),))
        with tunnel(proxy.port, (echo.host, echo.port)):
            seen.append(timer(f"dport = :{echo.port}"))
        proxy.session(status="ok")
    usual, own, none = seen
    assert re.match(r"keepalive,(4min\d+sec|5min)", usual), usual
    assert re.match(r"keepalive,1min1\dsec", own), own
    assert not none


def test_fast_open(launch: Launcher, site: Server) -> None:
    Path("/proc/sys/net/ipv4/tcp_fastopen").write_text("519")
    queued = "TCPFastOpenActive"

    def active() -> int:
        names, values = (line.split() for line in Path("/proc/thread-self/net/netstat").read_text().splitlines()[:2])
        return int(values[names.index(queued)])

    with socket.create_server((LOOPBACK, 0)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        proxy = launch(outbounds=(outbound("direct", tcp_fast_open=True),))
        before = active()
        with tunnel(proxy.port, (LOOPBACK, server.getsockname()[1])) as sock:
            sock.sendall(b"early")
            opened, _ = server.accept()
            with opened:
                opened.settimeout(10)
                assert opened.recv(10) == b"early"
                opened.sendall(b"answer")
            assert everything(sock) == b"answer"
        assert active() == before + 1
    assert curl("-x", proxy.url("http"), f"http://{site.authority}/") == HELLO


def test_multi_path(launch: Launcher, echo: Server, stack: ExitStack) -> None:
    needs("ss")
    proxy = launch(outbounds=(outbound("direct", tcp_multi_path=True),))
    sock = stack.enter_context(tunnel(proxy.port, (echo.host, echo.port)))
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    assert f":{echo.port}" in shown("ss", "-MnaH")


def test_a_namespace(launch: Launcher, site: Server) -> None:
    needs("ip")
    with ExitStack() as there:  # a site in another network, which only that outbound can reach
        made, over = threading.Event(), threading.Event()
        ports: list[int] = []

        def live() -> None:
            with new_network(), http_origin() as origin, udp_echo() as datagrams:
                ports.extend((origin.port, datagrams.port, threading.get_native_id()))
                made.set()
                over.wait(30)

        thread = threading.Thread(target=live)
        thread.start()
        there.callback(thread.join)
        there.callback(over.set)
        assert made.wait(10)
        port, datagram_port, native = ports
        there_path = f"/proc/{os.getpid()}/task/{native}/ns/net"
        proxy = launch(
            outbounds=(outbound("direct"), outbound("direct", tag="there", netns=there_path)),
            rules=({"port": [port, datagram_port], "outbound": "there"},),
        )
        assert curl("-x", proxy.url("socks5h"), f"http://{LOOPBACK}:{port}/") == HELLO
        with association(proxy.port) as client:
            assert client.ask(b"there", (LOOPBACK, datagram_port)) == b"there"
        assert curl("-x", proxy.url("socks5h"), f"http://{site.authority}/") == HELLO
    assert {session["outbound"] for session in proxy.wait_sessions(3, status="ok")} == {"there", "direct"}


def test_a_namespace_that_is_not_there(launch: Launcher, echo: Server) -> None:
    proxy = launch(outbounds=(outbound("direct", netns="no-such-namespace"),))
    with pytest.raises(Refused) as refused:
        tunnel(proxy.port, (echo.host, echo.port))
    assert refused.value.code == 1
    proxy.session(status="dial-failed")


def test_both_families_of_a_name(launch: Launcher) -> None:
    """Whichever address of a name answers is taken, and one that is refused costs nothing."""
    needs("unshare", "mount")
    proxy = launch(etc=BOTH)
    for host in (LOOPBACK, "::1"):
        with tcp_echo(host) as server, tunnel(proxy.port, ("both.test", server.port)) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
    proxy.wait_sessions(2, status="ok")


def test_a_family_that_does_not_answer(launch: Launcher, stack: ExitStack) -> None:
    """Happy eyeballs: the other family is tried after `fallback_delay`, long before the first one has timed out."""
    needs("unshare", "mount")
    port = stack.enter_context(silent_port("::1"))
    stack.enter_context(serving(lambda sock: sock.sendall(b"four"), port=port))
    proxy = launch(
        etc=BOTH,
        outbounds=(outbound("direct", fallback_delay="100ms", connect_timeout="10s"),),
        rules=({"domain": "both.test", "action": "resolve", "strategy": "prefer_ipv6"},),
    )
    began = time.monotonic()
    with tunnel(proxy.port, ("both.test", port)) as sock:
        assert everything(sock) == b"four"
    assert 0.09 < time.monotonic() - began < 3


def test_a_name_server_that_is_silent(launch: Launcher, site: Server, stack: ExitStack) -> None:
    """Whoever waits for it waits alone: other names, addresses and the log go on."""
    needs("unshare", "mount")
    silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    silent.bind((LOOPBACK, 53))
    hosts = f"{LOOPBACK} known.test\n"
    proxy = launch(
        etc={"resolv.conf": f"nameserver {LOOPBACK}\n", "hosts": hosts},
        outbounds=(outbound("direct", connect_timeout="8s"),),
    )
    waiting = [stack.enter_context(connect(proxy.port)) for _ in range(30)]
    for number, sock in enumerate(waiting):
        sock.sendall(socks5_request((f"name{number}.test", 80)))
    silent.settimeout(10)
    silent.recv(1000)
    for host in (site.host, "known.test"):
        assert curl("-x", proxy.url("socks5h"), f"http://{host}:{site.port}/", seconds=7) == HELLO
        proxy.session(target=f"{host}:{site.port}", status="ok")
    assert not proxy.sessions(status="dial-timeout")
    for sock in waiting:
        assert exactly(sock, 4)[2:] == b"\x05\x06"
    proxy.wait_sessions(30, status="dial-timeout")


def test_a_target_that_does_not_answer(launch: Launcher, stack: ExitStack) -> None:
    port = stack.enter_context(silent_port())
    proxy = launch(outbounds=(outbound("direct", connect_timeout="300ms"),))
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        tunnel(proxy.port, (LOOPBACK, port))
    assert refused.value.code == 6
    assert 0.25 < time.monotonic() - began < 3
    status = ("-o", "/dev/null", "-w", "%{http_code}")
    assert curl("-x", proxy.url("http"), *status, f"http://{LOOPBACK}:{port}/") == b"504"
    proxy.wait_sessions(2, status="dial-timeout")


def test_where_no_road_leads(proxy: Proxy) -> None:
    """A network without a route is told at once, and not after a timeout."""
    for target in (("198.51.100.7", 80), ("2001:db8::7", 80)):
        with pytest.raises(Refused) as refused:
            tunnel(proxy.port, target)
        assert refused.value.code == 4
    proxy.wait_sessions(2, status="dial-unreachable")
