"""The promises of a Dialer (gproxy/base/iface.py)."""

from __future__ import annotations

import logging
import socket as consts
from _socket import gaierror, socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import IP, UNSPECIFIED, Address
from gproxy.base.errors import DialError
from gproxy.base.iface import Dialer
from gproxy.base.session import DialOptions, Session
from gproxy.base.wiring import OutboundWiring
from gproxy.net import resolve
from gproxy.net.direct import SystemDialer
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp
from gproxy.protocol.direct.options import DirectOutboundOptions
from gproxy.protocol.direct.outbound import DirectOutbound
from gproxy.rt.deadline import deadline
from gproxy.rt.group import Group
from gproxy.rt.sync import sleep
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")
LOOPBACK6 = IPv6Address("::1")


class Late(Exception):
    """A deadline of a test."""


def system(connect_timeout: float = 5.0) -> Dialer:
    return SystemDialer(SocketOptions(), connect_timeout, fallback_delay=0.01)


def direct(connect_timeout: float = 5.0) -> Dialer:
    via = system(connect_timeout)
    wiring = OutboundWiring("out", lambda session: via.dial(session.target, session), via, logging.getLogger("test"))
    return DirectOutbound(DirectOutboundOptions(type="direct"), wiring)


@pytest.fixture(params=[system, direct])
def make(request: pytest.FixtureRequest) -> Callable[..., Dialer]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def dialer(make: Callable[..., Dialer]) -> Dialer:
    return make()


@pytest.fixture
def listener() -> Iterator[socket]:
    with listening("127.0.0.1") as sock:
        yield sock


def listening(host: str, backlog: int = 16) -> _Closing:
    sock = socket(consts.AF_INET6 if ":" in host else consts.AF_INET, consts.SOCK_STREAM)
    sock.bind((host, 0))
    sock.listen(backlog)
    sock.setblocking(False)
    return _Closing(sock)


class _Closing:
    """A socket for a `with` block: those of `_socket` have none."""

    def __init__(self, sock: socket) -> None:
        self.sock = sock

    def __enter__(self) -> socket:
        return self.sock

    def __exit__(self, *error: object) -> None:
        self.sock.close()


@pytest.fixture
def full() -> Iterator[Address]:
    """A port whose queue is full: the kernel drops further attempts, as a dead host would."""
    with listening("127.0.0.1", backlog=0) as sock:
        waiting = []
        for _ in range(4):
            one = socket(consts.AF_INET, consts.SOCK_STREAM)
            one.setblocking(False)
            one.connect_ex(sock.getsockname())
            waiting.append(one)
        yield port_of(sock)
        for one in waiting:
            one.close()


def port_of(sock: socket) -> Address:
    return Address(LOOPBACK, sock.getsockname()[1])


def session_to(target: Address, **facts: object) -> Session:
    return Session(1, "tcp", "in", UNSPECIFIED, target, **facts)  # type: ignore[arg-type]


def answer(monkeypatch: pytest.MonkeyPatch, *ips: IP | Exception) -> list[str]:
    """Let the system's resolver say this; gives the names that it was asked for."""
    asked: list[str] = []

    def getaddrinfo(domain: str, *_: object) -> list[tuple[object, ...]]:
        asked.append(domain)
        for ip in ips:
            if isinstance(ip, Exception):
                raise ip
        return [(0, 0, 0, "", (str(ip), 0)) for ip in ips]

    monkeypatch.setattr(resolve, "getaddrinfo", getaddrinfo)
    return asked


def dial(dialer: Dialer, target: Address, **facts: object) -> DialError:
    """The DialError that dialling there ends in."""
    with pytest.raises(DialError) as caught:
        dialer.dial(target, session_to(target, **facts))
    return caught.value


def test_a_stream_to_the_target(dialer: Dialer, listener: socket) -> None:
    stream = dialer.dial(port_of(listener), session_to(port_of(listener)))
    bound = stream.bound()
    fd, name = listener._accept()
    peer = socket(fileno=fd)
    assert bound == Address(LOOPBACK, name[1])
    stream.sendall(b"hello")
    assert peer.recv(16) == b"hello"
    stream.close()
    peer.close()


def test_refused(dialer: Dialer) -> None:
    target = Address(LOOPBACK, free_port())
    error = dial(dialer, target)
    assert error.word == "dial-refused"
    assert str(target) in str(error)


def test_no_answer(make: Callable[..., Dialer], full: Address) -> None:
    assert dial(make(0.02), full).reason == "timeout"


def test_an_outer_deadline_leaves_no_socket_behind(dialer: Dialer, full: Address) -> None:
    with pytest.raises(Late), deadline(0.01, Late()):
        dialer.dial(full, session_to(full))


def test_a_kill_leaves_no_socket_behind(dialer: Dialer, full: Address) -> None:
    with Group("test") as group:
        group.spawn(dialer.dial, full, session_to(full))
        sleep(0)
        group.kill()


def test_unreachable(dialer: Dialer) -> None:
    assert dial(dialer, Address(IPv4Address("255.255.255.255"), 9)).reason == "unreachable"


def test_a_name_that_nobody_knows(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, gaierror(consts.EAI_NONAME, "Name or service not known"))
    error = dial(dialer, Address("nowhere.test", 80))
    assert error.reason == "dns"
    assert "nowhere.test" in str(error)


def test_a_name_without_addresses(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch)
    assert dial(dialer, Address("empty.test", 80)).reason == "dns"


def test_a_name(dialer: Dialer, listener: socket, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, LOOPBACK)
    target = Address("site.test", port_of(listener).port)
    dialer.dial(target, session_to(target)).close()
    assert asked == ["site.test"]


def test_addresses_that_a_rule_has_found_are_used(
    dialer: Dialer, listener: socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch)
    target = Address("site.test", port_of(listener).port)
    dialer.dial(target, session_to(target, addresses=(LOOPBACK,))).close()
    assert asked == []


def test_they_are_not_used_for_a_server_on_the_way(
    dialer: Dialer, listener: socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, LOOPBACK)
    server = Address("proxy.test", port_of(listener).port)
    session = session_to(Address("site.test", 80), addresses=(IPv4Address("192.0.2.1"),))
    dialer.dial(server, session).close()
    assert asked == ["proxy.test"]


def test_a_dead_family_is_overtaken(
    make: Callable[..., Dialer], full: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The preferred family does not answer: after the delay the other one is tried, and nothing is left behind."""
    answer(monkeypatch, LOOPBACK, LOOPBACK6)
    six = socket(consts.AF_INET6, consts.SOCK_STREAM)
    six.setsockopt(consts.IPPROTO_IPV6, consts.IPV6_V6ONLY, 1)
    six.bind(("::1", full.port))
    six.listen(4)
    stream = make().dial(Address("site.test", full.port), session_to(Address("site.test", full.port)))
    bound = stream.bound()
    assert bound is not None
    assert bound.host == LOOPBACK6
    stream.close()
    six.close()


def test_a_refusing_family_is_overtaken_at_once(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, LOOPBACK6, LOOPBACK)
    with listening("127.0.0.1") as sock:
        target = Address("site.test", port_of(sock).port)
        with deadline(4, Late()):
            session = session_to(target, dial=DialOptions(fallback_delay=60))
            dialer.dial(target, session).close()


def test_two_dead_families_end_in_one_timeout(
    make: Callable[..., Dialer], full: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, LOOPBACK, IPv4Address("127.0.0.2"), LOOPBACK6)
    with listening("127.0.0.2", 0):
        error = dial(make(0.05), Address("site.test", full.port))
    assert error.reason in {"timeout", "refused"}


def test_datagrams_reach_any_address(dialer: Dialer) -> None:
    peers = [UdpConn(bind_udp(ip, 0)) for ip in (LOOPBACK, LOOPBACK6, LOOPBACK)]
    conn = dialer.dial_packet(peers[0].bound(), session_to(peers[0].bound()))
    for peer in peers:
        conn.send_to(b"ping", peer.bound())
        data, source = peer.recv_from()
        assert bytes(data) == b"ping"
        peer.send_to(b"pong", source)
        data, source = conn.recv_from()
        assert (bytes(data), source) == (b"pong", peer.bound())
        peer.close()
    conn.close()


def test_datagrams_to_a_name_come_back_from_the_name(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, LOOPBACK)
    peer = UdpConn(bind_udp(LOOPBACK, 0))
    target = Address("site.test", peer.bound().port)
    conn = dialer.dial_packet(target, session_to(target))
    for _ in range(2):
        conn.send_to(b"ping", target)
        peer.send_to(b"pong", peer.recv_from()[1])
        assert conn.recv_from()[1] == target
    assert asked == ["site.test"]
    conn.close()
    peer.close()


def test_a_rule_may_leave_answers_from_a_name_as_they_are(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, LOOPBACK)
    peer = UdpConn(bind_udp(LOOPBACK, 0))
    target = Address("site.test", peer.bound().port)
    session = session_to(target, dial=DialOptions(udp_disable_domain_unmapping=True))
    conn = dialer.dial_packet(target, session)
    conn.send_to(b"ping", target)
    peer.send_to(b"pong", peer.recv_from()[1])
    assert conn.recv_from()[1] == peer.bound()
    conn.close()
    peer.close()


def test_a_connected_one_hears_its_target_only(dialer: Dialer) -> None:
    peer, stranger = UdpConn(bind_udp(LOOPBACK, 0)), UdpConn(bind_udp(LOOPBACK, 0))
    conn = dialer.dial_packet(peer.bound(), session_to(peer.bound(), dial=DialOptions(udp_connect=True)))
    conn.send_to(b"ping", peer.bound())
    source = peer.recv_from()[1]
    stranger.send_to(b"let me in", source)
    peer.send_to(b"pong", source)
    assert bytes(conn.recv_from()[0]) == b"pong"
    for one in (conn, peer, stranger):
        one.close()


def test_a_connected_one_to_an_unknown_name(dialer: Dialer, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, gaierror(consts.EAI_NONAME, "Name or service not known"))
    target = Address("nowhere.test", 53)
    with pytest.raises(DialError) as caught:
        dialer.dial_packet(target, session_to(target, dial=DialOptions(udp_connect=True)))
    assert caught.value.reason == "dns"
