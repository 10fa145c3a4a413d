"""What UdpConn promises beyond a PacketConn; the rest is in tests/conformance/test_packets.py."""

from __future__ import annotations

import socket as consts
from ipaddress import IPv4Address, IPv6Address

import pytest

from gproxy.base.address import IP, Address, Host
from gproxy.base.errors import DialError
from gproxy.net import udp as room
from gproxy.net.tcp import SocketOptions
from gproxy.net.udp import UdpConn, bind_udp, open_udp
from tests.support.ports import free_port

pytestmark = pytest.mark.usefixtures("no_leaks")

LOOPBACK = IPv4Address("127.0.0.1")
LOOPBACK6 = IPv6Address("::1")


def closing(*conns: UdpConn) -> None:
    for conn in conns:
        conn.close()


def test_a_name_needs_a_resolver() -> None:
    conn = UdpConn(bind_udp(LOOPBACK, 0))
    with pytest.raises(DialError) as caught:
        conn.send_to(b"x", Address("site.test", 53))
    assert caught.value.reason == "dns"
    conn.close()


def test_a_name_keeps_its_address() -> None:
    asked: list[str] = []

    def resolve(domain: str) -> tuple[IP, ...]:
        asked.append(domain)
        return (LOOPBACK6, LOOPBACK)

    peer = UdpConn(bind_udp(LOOPBACK, 0))
    conn = UdpConn(bind_udp(LOOPBACK, 0), resolve)
    for _ in range(3):
        conn.send_to(b"x", Address("site.test", peer.bound().port))  # an IPv4 socket takes the IPv4 address
        assert bytes(peer.recv_from()[0]) == b"x"
    assert asked == ["site.test"]
    closing(conn, peer)


def test_an_address_of_the_wrong_family() -> None:
    conn = UdpConn(bind_udp(LOOPBACK, 0))
    with pytest.raises(DialError) as caught:
        conn.send_to(b"x", Address(LOOPBACK6, 53))
    assert caught.value.reason == "unreachable"
    conn.close()


def test_a_closed_port_disturbs_neither_sending_nor_receiving() -> None:
    conn, peer = UdpConn(bind_udp(LOOPBACK, 0)), UdpConn(bind_udp(LOOPBACK, 0))
    nobody = Address(LOOPBACK, free_port())
    conn.connect(nobody)
    for _ in range(3):
        conn.send_to(b"x", nobody)  # the refusal of one is reported by the next
    closing(conn)
    conn = UdpConn(bind_udp(LOOPBACK, 0))
    conn.send_to(b"x", nobody)
    peer.send_to(b"hello", conn.bound())
    assert conn.recv_from() == (b"hello", peer.bound())
    closing(conn, peer)


@pytest.mark.parametrize("by", ["targets", "answers"])
def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(room, "_KNOWN", 8)
    conn = UdpConn(bind_udp(LOOPBACK, 0), lambda domain: (LOOPBACK,))
    for number in range(50):
        if by == "targets":
            conn.send_to(b"x", Address(f"site{number}.test", 10_000 + number))
        else:
            conn._address(("127.0.0.1", 10_000 + number))
        assert len(conn._targets) <= 8
        assert len(conn._names) <= 9
    conn.close()


def test_forgetting_does_not_take_the_name_from_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_KNOWN", 8)
    peer, conn = UdpConn(bind_udp(LOOPBACK, 0)), UdpConn(bind_udp(LOOPBACK, 0), lambda domain: (LOOPBACK,))
    target = Address("site.test", peer.bound().port)
    for number in range(50):
        conn._address(("127.0.0.2", 10_000 + number))  # many others answer
        conn.send_to(b"x", target)
        peer.send_to(b"y", peer.recv_from()[1])
        assert conn.recv_from()[1] == target
    closing(conn, peer)


def test_the_source_address_decides_the_family() -> None:
    four, six = SocketOptions(inet4_bind_address=LOOPBACK), SocketOptions(inet6_bind_address=LOOPBACK6)
    both = SocketOptions(inet4_bind_address=LOOPBACK, inet6_bind_address=LOOPBACK6)
    targets: list[tuple[SocketOptions, Host, int]] = [
        (SocketOptions(), LOOPBACK, consts.AF_INET6),
        (SocketOptions(), "peer.test", consts.AF_INET6),
        (four, LOOPBACK, consts.AF_INET),
        (four, LOOPBACK6, consts.AF_INET6),
        (four, "peer.test", consts.AF_INET),
        (six, LOOPBACK, consts.AF_INET),
        (six, LOOPBACK6, consts.AF_INET6),
        (six, "peer.test", consts.AF_INET6),
        (both, LOOPBACK, consts.AF_INET),
        (both, LOOPBACK6, consts.AF_INET6),
    ]
    for options, target, family in targets:
        sock = open_udp(options, target)
        assert sock.family == family
        assert sock.getsockname()[1] > 0
        sock.close()


def test_a_machine_without_version_six(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SocketOptions.make

    def make(self: SocketOptions, family: int, kind: int, protocol: int = 0) -> object:
        if family == consts.AF_INET6:
            raise OSError(97, "address family not supported")
        return real(self, family, kind, protocol)

    monkeypatch.setattr(SocketOptions, "make", make)
    sock = open_udp(SocketOptions(), LOOPBACK)
    assert sock.family == consts.AF_INET
    sock.close()


@pytest.mark.parametrize("fragment", [True, False])
def test_fragmentation_is_asked_of_the_kernel(fragment: bool) -> None:
    sock = open_udp(SocketOptions(udp_fragment=fragment), LOOPBACK)
    assert sock.getsockopt(consts.IPPROTO_IPV6, 23) == (1 if fragment else 2)
    sock.close()


def test_a_port_in_use_leaves_no_socket() -> None:
    conn = UdpConn(bind_udp(LOOPBACK, 0))
    with pytest.raises(OSError):
        bind_udp(LOOPBACK, conn.bound().port)
    conn.close()
