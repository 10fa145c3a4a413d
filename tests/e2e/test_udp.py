"""Datagrams through SOCKS5 associations and through tunnels: all sizes, many clients, and how their sessions end."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from tests.e2e.clients import Association, association, packed, tunnel
from tests.e2e.proxy import Launcher, Proxy, inbound, outbound
from tests.support.origin import Server, udp_echo
from tests.support.ports import LOOPBACK
from tests.support.wait import wait_until

SIZES = [1, 2, 500, 1400, 1500, 9000, 60_000]


def payload(size: int) -> bytes:
    return bytes(number * 7 % 251 for number in range(size))


def client() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(10)
    return sock


def test_sizes_through_socks(proxy: Proxy, udp_echo_server: Server) -> None:
    target = (udp_echo_server.host, udp_echo_server.port)
    with association(proxy.port) as client:
        for size in SIZES:
            assert client.ask(payload(size), target) == payload(size)
    session = proxy.session(network="udp")
    assert session["status"] == "ok"
    assert session["up"] == session["down"] == sum(SIZES)


def test_a_name_answers_by_its_name(proxy: Proxy, udp_echo_server: Server) -> None:
    with association(proxy.port) as client:
        assert client.ask(b"ping", ("localhost", udp_echo_server.port)) == b"ping"
    assert proxy.session(network="udp")["target"] == f"localhost:{udp_echo_server.port}"


def test_sizes_through_a_tunnel(launch: Launcher, udp_echo_server: Server) -> None:
    port = udp_echo_server.port
    proxy = launch(inbound("direct", override_address="localhost", override_port=port))
    with client() as sock:
        sock.connect((LOOPBACK, proxy.port))
        for size in SIZES:
            sock.send(payload(size))
            assert sock.recv(65535) == payload(size)
    proxy.stop_now()  # the session would last for five minutes
    session = proxy.session(network="udp", status="closed-drained")
    assert session["target"] == f"localhost:{port}"
    assert session["up"] == session["down"] == sum(SIZES)


def test_many_clients(launch: Launcher, udp_echo_server: Server) -> None:
    port = udp_echo_server.port
    tunnel_port = inbound("direct", override_address=LOOPBACK, override_port=port, tag="tunnel", udp_timeout="5s")
    proxy = launch(inbound("mixed"), tunnel_port)
    with ExitStack() as stack:
        associations = [stack.enter_context(association(proxy.ports[0])) for _ in range(60)]
        plain = [stack.enter_context(client()) for _ in range(200)]
        for number, one in enumerate(associations):
            one.send(b"a%d" % number, (LOOPBACK, port))
        assert [one.receive()[0] for one in associations] == [b"a%d" % number for number in range(60)]
        for first in range(0, 200, 50):  # more at once would be more than the echo's socket can hold
            some = plain[first : first + 50]
            for sock in some:
                sock.sendto(b"p%d" % sock.fileno(), (LOOPBACK, proxy.ports[1]))
            assert [sock.recv(100) for sock in some] == [b"p%d" % sock.fileno() for sock in some]
        # Silence ends the sessions of the tunnel; who comes again has a new one.
        proxy.wait_sessions(200, inbound="tunnel", status="ok", seconds=40)
        plain[0].sendto(b"again", (LOOPBACK, proxy.ports[1]))
        assert plain[0].recv(100) == b"again"
    proxy.wait_sessions(60, inbound="in", status="ok")
    proxy.stop_now()


def test_one_association_reaches_many_targets(proxy: Proxy) -> None:
    """Full cone: one port for all targets, and whoever knows it may answer."""
    with ExitStack() as stack:
        targets = [stack.enter_context(udp_echo()) for _ in range(20)]
        stranger = stack.enter_context(client())
        seen = stack.enter_context(client())
        seen.bind((LOOPBACK, 0))
        one = stack.enter_context(association(proxy.port))
        for server in targets:
            one.send(b"to %d" % server.port, (LOOPBACK, server.port))
        assert {one.receive() for _ in targets} == {
            (b"to %d" % server.port, packed((LOOPBACK, server.port))) for server in targets
        }
        one.send(b"who?", seen.getsockname())
        mapped = seen.recvfrom(100)[1]
        stranger.sendto(b"unasked", mapped)
        assert one.receive() == (b"unasked", packed((LOOPBACK, stranger.getsockname()[1])))
    proxy.session(network="udp", status="ok")


def test_an_association_ends_with_its_control_connection(proxy: Proxy, udp_echo_server: Server) -> None:
    target = (udp_echo_server.host, udp_echo_server.port)
    one = Association(proxy.port)
    assert one.ask(b"x", target) == b"x"
    one.control.close()
    proxy.session(network="udp", status="ok")
    wait_until(lambda: proxy.sockets() == proxy.before, "sockets are left")
    one.sock.sendto(b"\0\0\0" + packed(target) + b"x", one.relay)
    one.sock.setblocking(False)
    with pytest.raises((BlockingIOError, ConnectionRefusedError)):
        one.sock.recv(100)
    one.close()


def test_strangers_are_not_heard(proxy: Proxy, udp_echo_server: Server) -> None:
    target = (udp_echo_server.host, udp_echo_server.port)
    with association(proxy.port) as one, client() as stranger:
        assert one.ask(b"mine", target) == b"mine"
        stranger.sendto(b"\0\0\0" + packed(target) + b"stranger", one.relay)
        for bad in (b"", b"\0", b"\0\0\1" + packed(target) + b"fragment", b"\0\0\0\x09xx", b"\xff" * 100):
            one.sock.sendto(bad, one.relay)
        assert one.ask(b"still", target) == b"still"
    session = proxy.session(network="udp", status="ok")
    assert session["up"] == len(b"mine" + b"still")


def test_through_two_proxies(launch: Launcher, udp_echo_server: Server) -> None:
    last = launch(inbound("socks", users=[{"username": "u", "password": "p"}]))
    first = launch(outbounds=(outbound("socks", last.port, username="u", password="p"),))
    target = (udp_echo_server.host, udp_echo_server.port)
    with association(first.port) as one:
        for size in (1, 1400, 60_000):
            assert one.ask(payload(size), target) == payload(size)
    assert last.session(network="udp")["user"] == "u"
    assert first.session(network="udp")["outbound"] == "socks"


def test_datagrams_where_none_can_go(launch: Launcher, udp_echo_server: Server) -> None:
    proxy = launch(
        outbounds=(outbound("direct"), outbound("http", 1)),
        rules=({"port": [7], "outbound": "http"}, {"port": [9], "action": "reject"}),
    )
    with association(proxy.port) as one:
        one.send(b"x", (LOOPBACK, 7))
        one.send(b"x", (LOOPBACK, 9))
        one.send(b"x", ("no-such-name.invalid", 53))
        one.send(b"x", (LOOPBACK, 1))  # nobody listens there
        assert one.ask(b"good", (udp_echo_server.host, udp_echo_server.port)) == b"good"
    assert proxy.session(network="udp")["status"] == "dial-declined"


def test_ipv6_datagrams(proxy: Proxy) -> None:
    with udp_echo("::1") as server, association(proxy.port) as one:
        assert one.ask(b"six", ("::1", server.port)) == b"six"
    assert proxy.session(network="udp")["target"] == f"[::1]:{server.port}"


def test_streams_and_datagrams_on_one_tunnel(launch: Launcher, echo: Server) -> None:
    with udp_echo() as datagrams:
        proxy = launch(
            inbound("direct", override_port=echo.port, network="tcp"),
            inbound("direct", tag="other", override_port=datagrams.port, network="udp"),
        )
        with socket.create_connection((LOOPBACK, proxy.ports[0]), 10) as sock:
            sock.sendall(b"tcp")
            assert sock.recv(10) == b"tcp"
        with client() as sock:
            sock.sendto(b"udp", (LOOPBACK, proxy.ports[1]))
            assert sock.recv(10) == b"udp"
        assert proxy.session(network="tcp")["target"] == f"{LOOPBACK}:{echo.port}"
        with pytest.raises(ConnectionRefusedError):
            tunnel(proxy.ports[1], (LOOPBACK, 1))
        proxy.stop_now()
